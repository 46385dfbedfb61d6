"""From records of feeds to Sigma's log sources and field names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dsmil.sources
from dsmil.registry import discover
from dsmil.sigma import sources
from dsmil.sigma.rule import LogSource
from dsmil.sigma.sources import feed_names, read
from dsmil.sources.zeek_json import ZeekJson
from dsmil.testing.feeds import read_file

SYSMON = "Microsoft-Windows-Sysmon/Operational"


def origin(feed: str, record: dict[str, Any]) -> sources.Origin:
    known = read(feed, record)
    assert known is not None
    return known[1]


def field(feed: str, record: dict[str, Any], name: str) -> Any:
    known = read(feed, record)
    assert known is not None
    return known[0][name]


XML = {
    "Event": {
        "System": {
            "Provider": {"#attributes": {"Name": "Service Control Manager", "Guid": "x"}},
            "EventID": {"#attributes": {"Qualifiers": 16384}, "#text": 7045},
            "Channel": "System",
            "Computer": "ws1",
            "Execution": {"#attributes": {"ProcessID": 4, "ThreadID": 8}},
        },
        "EventData": {"ImagePath": "C:\\x.exe", "Data": {"#attributes": {"Name": "n"}, "#text": "inner"}},
    }
}
BEAT = {
    "winlog": {"channel": "Security", "event_id": "4688", "event_data": {"NewProcessName": "C:\\A.exe"}},
    "message": "text",
}
FLAT = {"Channel": SYSMON, "EventID": 1, "Image": "C:\\A.exe"}
AUDIT = {
    "types": ["SYSCALL", "EXECVE"],
    "records": [
        {"type": "SYSCALL", "fields": {"exe": "/bin/ls", "a0": "55aa"}},
        {"type": "EXECVE", "fields": {"argv": ["ls", "-l"]}},
    ],
    "command_line": "ls -l",
}
MADE = {
    "records": [
        {"type": "SYSCALL", "fields": {"exe": "/usr/bin/tee"}},
        {"type": "CWD", "fields": {"cwd": "/etc"}},
        {"type": "PATH", "fields": {"name": "cron.d", "nametype": "PARENT"}},
        {"type": "PATH", "fields": {"name": "cron.d/a", "nametype": "CREATE"}},
    ],
}
EXPORTED = {
    "@stream": "dns",
    "id_orig_h": "192.0.2.7",
    "id_resp_h": "192.0.2.53",
    "query": "a.example",
    "trans_id": 1,
}
DEFENDER = {"Channel": "Microsoft-Windows-Windows Defender/Operational", "EventID": 1116, "Threat Name": "PWS:A"}


@pytest.mark.parametrize(
    ("feed", "record", "name", "value"),
    [
        ("windows", XML, "EventID", "7045"),
        ("windows", XML, "Provider_Name", "service control manager"),
        ("windows", XML, "ImagePath", "c:\\x.exe"),
        ("windows", XML, "Data", "inner"),
        ("windows", XML, "ProcessID", "4"),
        ("windows", BEAT, "EventID", "4688"),
        ("windows", BEAT, "Image", "c:\\a.exe"),
        ("windows", BEAT, "NewProcessName", "c:\\a.exe"),
        ("windows", BEAT, "Message", "text"),
        ("windows", FLAT, "Image", "c:\\a.exe"),
        ("auditd", AUDIT, "a0", "ls"),
        ("auditd", AUDIT, "a1", "-l"),
        ("auditd", AUDIT, "CommandLine", "ls -l"),
        ("auditd", AUDIT, "Image", "/bin/ls"),
        ("auditd", AUDIT, "type", ("syscall", "execve")),
        ("auditd", MADE, "TargetFilename", ("/etc/cron.d/a",)),
        ("auditd", MADE, "Image", "/usr/bin/tee"),
        ("windows", DEFENDER, "Signature", "pws:a"),
        ("zeek", EXPORTED, "id.orig_h", "192.0.2.7"),
        ("zeek", EXPORTED, "dst_ip", "192.0.2.53"),
        ("zeek", {"_path": "dns", "qtype_name": "A"}, "record_type", "a"),
        ("suricata", {"event_type": "http", "http": {"url": "/x"}}, "cs-uri", "/x"),
    ],
)
def test_fields_have_the_names_that_rules_use(feed: str, record: dict[str, Any], name: str, value: object) -> None:
    assert field(feed, record, name) == value


@pytest.mark.parametrize(
    ("feed", "record", "categories", "services"),
    [
        ("windows", XML, set(), {"system"}),
        ("windows", BEAT, {"process_creation"}, {"security"}),
        ("windows", FLAT, {"process_creation"}, {"sysmon"}),
        ("windows", FLAT | {"EventID": "1", "Channel": SYSMON.upper()}, {"process_creation"}, {"sysmon"}),
        ("windows", {"Channel": SYSMON, "EventID": 13}, {"registry_event", "registry_set"}, {"sysmon"}),
        (
            "windows",
            {"Channel": SYSMON, "EventID": 12, "EventType": "DeleteValue"},
            {"registry_event", "registry_delete"},
            {"sysmon"},
        ),
        ("windows", {"Channel": "Elsewhere", "EventID": 1}, set(), set()),
        ("auditd", AUDIT, {"process_creation"}, {"auditd"}),
        ("auditd", {"records": [{"type": "USER_LOGIN", "fields": {}}]}, set(), {"auditd"}),
        ("syslog", {"app": "sshd", "message": "x"}, set(), {"syslog", "sshd", "auth"}),
        ("auditd", MADE, {"file_event"}, {"auditd"}),
        ("windows", DEFENDER, {"antivirus"}, {"windefend"}),
        ("zeek", {"_path": "http"}, {"proxy", "webserver"}, {"http"}),
        ("zeek", EXPORTED, {"dns"}, {"dns"}),
        ("zeek", {"trans_id": 1, "query": "a.example"}, {"dns"}, {"dns"}),
        ("zeek", {"ts": 1.0, "conn_state": "SF"}, {"firewall", "network_connection"}, {"conn"}),
        ("zeek", {"ts": 1.0, "name": "x"}, set(), set()),
        ("cloudtrail", {}, set(), {"cloudtrail"}),
    ],
)
def test_records_are_known_by_their_own_fields(
    feed: str, record: dict[str, Any], categories: set[str], services: set[str]
) -> None:
    found = origin(feed, record)
    assert (set(found.categories), set(found.services)) == (categories, services)


def test_a_rule_is_about_records_that_agree_in_every_part_it_names() -> None:
    found = origin("windows", FLAT)
    for yes in (
        LogSource("windows"),
        LogSource("", "process_creation"),
        LogSource("windows", "process_creation"),
        LogSource("windows", "", "sysmon"),
        LogSource("windows", "process_creation", "sysmon"),
    ):
        assert found.includes(yes)
    others = (LogSource("linux", "process_creation"), LogSource("windows", "file_event"), LogSource("", "", "x"))
    assert not any(found.includes(one) for one in others)


def test_a_feed_without_rules_is_unknown_and_what_is_remembered_is_bounded() -> None:
    assert read("no-such-feed", {}) is None
    assert {"windows", "zeek", "suricata", "auditd", "syslog"} <= set(feed_names())
    for n in range(5000):
        read("windows", {"Channel": f"made up {n}"})
    assert len(sources._feeds()["windows"].seen) <= sources._MOST


LOGS = {"conn", "dns", "http", "ssl", "x509", "dce_rpc", "kerberos", "smb_files", "smb_mapping", "notice"}


def test_public_zeek_records_are_known_also_when_they_do_not_say_their_log(fixtures: Path) -> None:
    asked = told = 0
    for path in sorted((fixtures / "zeek_otrf_apt29_day1").rglob("*_*.log*")):
        log = path.name.partition("_")[2].partition(".")[0]
        for event in read_file(ZeekJson(), path).events if log in LOGS else ():
            assert origin("zeek", event.payload).services == {log}, path.name
            plain = {name: value for name, value in event.payload.items() if name != "@stream"}
            services = origin("zeek", plain).services
            assert services <= {log}, path.name
            asked, told = asked + 1, told + len(services)
    assert asked > 1000
    assert told > 0.97 * asked, "the rest has nothing but the ends of a connection"


def test_every_feed_of_records_is_known_to_rules() -> None:
    known = {source.source for source in discover(dsmil.sources, "SOURCE").values()}
    assert known - set(feed_names()) == {"alertmanager", "ocsf"}, "their records are judgements already"


ODD: list[dict[str, Any]] = [{"Event": {}}, {"Event": {"System": [], "EventData": "x"}}, {"winlog": {}}, {}]


@pytest.mark.parametrize("record", ODD)
def test_records_of_odd_shapes_are_read_all_the_same(record: dict[str, Any]) -> None:
    assert origin("windows", record).product == "windows"
