"""Variants of formats that no public file at hand has: written after their manuals, mapped as they mean it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dsmil.events.model import Event, Severity
from dsmil.services.feeds import find_source
from dsmil.testing.feeds import Reading, read_file

AUDIT_SOCKET = "type=SOCKADDR msg=audit(1700000002.000:46): saddr={}"
ZEEK_COMMAS = """#separator \\x2c
#set_separator,|
#empty_field,EMPTY
#unset_field,NIL
#path,http
#fields,ts,id.orig_h,tags,uri,resp_mime_types,flag,dur,vec
#types,time,addr,set[enum],string,vector[string],bool,interval,vector[double]
1700000000.5,10.0.0.1,A|B,/a\\x2cb,NIL,T,0.5,1.0|2.5
1700000001.5,fe80::1,EMPTY,EMPTY,EMPTY,F,NIL,EMPTY
#close,2024-01-01-01-00-00
"""


def read(feed: str, tmp_path: Path, *lines: str) -> Reading:
    path = tmp_path / "log"
    path.write_text("".join(line + "\n" for line in lines))
    return read_file(find_source(feed), path)


def one(feed: str, tmp_path: Path, *lines: str) -> Event:
    (event,) = read(feed, tmp_path, *lines).events
    return event


def named(event: Event) -> set[str]:
    return {f"{found.type} {found.value} {found.role}".strip() for found in event.entities}


def test_a_zeek_log_says_itself_how_it_is_parted_and_what_is_empty(tmp_path: Path) -> None:
    whole, hollow = read("zeek-tsv", tmp_path, *ZEEK_COMMAS.splitlines()).events
    assert {key: whole.payload[key] for key in ("tags", "uri", "flag", "dur", "vec")} == {
        "tags": ["A", "B"], "uri": "/a,b", "flag": True, "dur": 0.5, "vec": [1.0, 2.5]
    }  # fmt: skip
    assert "resp_mime_types" not in whole.payload
    assert {key: hollow.payload[key] for key in ("tags", "uri", "resp_mime_types", "flag", "vec")} == {
        "tags": [], "uri": "", "resp_mime_types": [], "flag": False, "vec": []
    }  # fmt: skip


@pytest.mark.parametrize(
    ("record", "entities"),
    [
        ({"_path": "weird", "name": "bad_TCP_checksum", "id.orig_h": "10.0.0.1"}, {"ip 10.0.0.1 src"}),
        ({"name": "\\svcctl", "action": "SMB::FILE_OPEN"}, {"file \\svcctl"}),
        ({"host": "10.0.0.1", "name": "MSIE", "software_type": "HTTP::BROWSER"}, {"ip 10.0.0.1"}),
        ({"host": "www.example"}, {"host www.example"}),
        ({"client": "SSH-2.0-OpenSSH_9"}, set()),
        ({"client": "al/EXAMPLE", "service": "krbtgt"}, {"user al/EXAMPLE"}),
        ({"id": {"orig_h": "10.0.0.1", "orig_p": 1}}, {"ip 10.0.0.1 src", "port 1 src"}),
    ],
)
def test_a_field_of_zeek_means_what_it_means_in_its_log(
    tmp_path: Path, record: dict[str, object], entities: set[str]
) -> None:
    assert named(one("zeek-json", tmp_path, json.dumps({"ts": 1.5, **record}))) == entities


def test_techniques_in_the_metadata_of_a_signature_are_those_of_the_record(tmp_path: Path) -> None:
    alert = {"signature_id": 1, "metadata": {"mitre_technique_id": ["T1059", "T1110.001"]}}
    event = one("suricata-eve", tmp_path, json.dumps({"event_type": "alert", "alert": alert}))
    assert event.techniques == ("T1059", "T1110.001")


@pytest.mark.parametrize(
    ("digits", "socket", "entities"),
    [
        ("02000050010203040000000000000000", {"saddr_fam": "inet", "laddr": "1.2.3.4", "lport": "80"},
         {"ip 1.2.3.4 dest", "port 80 dest"}),
        ("0A0000160000000020010db8" + "00" * 11 + "01",
         {"saddr_fam": "inet6", "laddr": "2001:db8::1", "lport": "22"},
         {"ip 2001:db8::1 dest", "port 22 dest"}),
        ("01002F72756E2F6100", {"saddr_fam": "local", "path": "/run/a"}, {"file /run/a"}),
        ("0100002F746D70", {"saddr_fam": "local", "path": "@/tmp"}, {"file @/tmp"}),
        ("0100", {"saddr_fam": "local"}, set()),
        ("0200", {"saddr_fam": "inet"}, set()),
        ("1000", {"saddr_fam": "netlink"}, set()),
        ("020", None, set()),
        ("0000", None, set()),
    ],
)  # fmt: skip
def test_a_socket_address_is_read(
    tmp_path: Path, digits: str, socket: dict[str, str] | None, entities: set[str]
) -> None:
    event = one("auditd", tmp_path, AUDIT_SOCKET.format(digits))
    assert event.payload["records"][0].get("socket") == socket
    assert named(event) == entities


def test_a_name_that_auditd_did_not_find_is_no_user(tmp_path: Path) -> None:
    line = 'type=LOGIN msg=audit(1700000001.000:43): uid=0 auid=4294967295\x1dUID="root" AUID="unset"'
    event = one("auditd", tmp_path, line)
    assert named(event) == {"user root", "user 0"}
    assert event.payload["records"][0]["enriched"] == {"UID": "root"}


def test_numbers_of_types_are_read_as_their_names(tmp_path: Path) -> None:
    lines = (
        'type=1300 msg=audit(1700000006.000:50): syscall=2 exe="/bin/x"',
        'audit: type=UNKNOWN[1400] msg=audit(1700000006.000:50): apparmor="DENIED" name="/etc/shadow"',
    )
    event = one("auditd", tmp_path, *lines)
    assert (event.payload["types"], event.severity) == (["SYSCALL", "AVC"], Severity.MEDIUM)


def test_what_ausearch_writes_for_people_is_refused_with_the_remedy(tmp_path: Path) -> None:
    line = "type=SYSCALL msg=audit(11/14/2023 22:13:20.123:44) : arch=x86_64 auid=alice"
    reading = read("auditd", tmp_path, line)
    assert reading.dead == {"not_auditd": 1}


@pytest.mark.parametrize(
    ("line", "host", "seconds"),
    [
        ("<13>Oct 11 2023 22:14:15 host app: x", "host", 1697062455.0),
        ("<13>Oct 11 22:14:15 2023 host app: x", "host", 1697062455.0),
        ("<13>2023-10-11T22:14:15+02:00 host app: x", "host", 1697055255.0),
    ],
)
def test_a_year_may_stand_on_either_side(tmp_path: Path, line: str, host: str, seconds: float) -> None:
    event = one("syslog", tmp_path, line)
    assert (event.payload["host"], event.ts) == (host, seconds)


def test_an_ipv6_address_that_begins_as_a_year_is_a_host(tmp_path: Path) -> None:
    event = one("syslog", tmp_path, "<13>Oct  9 22:14:15 2001:db8::1 app: x")
    assert event.payload["host"] == "2001:db8::1"
    assert event.ingest_ts - event.ts < 366 * 86400


@pytest.mark.parametrize(
    ("delimiter", "between"), [("|", "|"), ("^", "^"), ("0x7c", "|"), ("x09", "\t"), ("", "\t"), ("x1F", "\x1f")]
)
def test_leef_names_its_delimiter(tmp_path: Path, delimiter: str, between: str) -> None:
    line = f"<13>Oct  9 22:14:15 h LEEF:2.0|V|P|1|ID|{delimiter}|src=10.0.0.1{between}dst=10.0.0.2"
    assert {"ip 10.0.0.1 src", "ip 10.0.0.2 dest"} <= named(one("syslog", tmp_path, line))


def test_a_connection_is_no_file_to_falco(tmp_path: Path) -> None:
    hit = {"rule": "R", "priority": "Notice", "output_fields": {"fd.name": "10.0.0.1:1->10.0.0.2:2"}}
    assert named(one("falco", tmp_path, json.dumps(hit))) == set()
    hit["output_fields"] = {"fd.name": "/etc/shadow"}
    assert named(one("falco", tmp_path, json.dumps(hit))) == {"file /etc/shadow"}


@pytest.mark.parametrize(
    ("feed", "key", "record"),
    [
        ("k8s-audit", "items", {"kind": "Event", "auditID": "a", "verb": "get"}),
        ("aws-cloudtrail", "Records", {"eventName": "X", "eventSource": "s3.amazonaws.com"}),
    ],
)
def test_records_may_follow_the_documents_that_hold_others(
    tmp_path: Path, feed: str, key: str, record: dict[str, object]
) -> None:
    document: dict[str, object] = {key: [record, record]}
    documents: list[dict[str, object]] = [document, record, document, {key: []}, record]
    lines = [json.dumps(made) for made in documents]
    reading = read(feed, tmp_path, *lines, "{ broken", json.dumps(record))
    assert len(reading.events) == 7
    assert reading.dead == {"malformed_json": 1}
    assert [event.origin.rpartition(":")[2] for event in reading.events] == ["1", "1", "2", "3", "3", "5", "7"]
