"""What analytics read of records: every form that the feeds of Zeek and Suricata give, and none that is odd."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.analytics_events import feature, findings

from dsmil.analytics.reading import host_of, look
from dsmil.analytics.records import Connection, Lookup, Named, Record
from dsmil.detections.analytics import Analytics
from dsmil.sources._feed import RawRecord, Reader
from dsmil.sources.suricata_eve import SuricataEve
from dsmil.sources.zeek_json import ZeekJson
from dsmil.sources.zeek_tsv import ZeekTsv
from dsmil.testing.factories import make_event
from dsmil.testing.feeds import read_file

ENDS = {"id.orig_h": "10.0.0.7", "id.resp_h": "192.0.2.1", "id.resp_p": 443}
FLOW = (
    '{"timestamp":"2026-11-24T10:00:30.000000+0000","flow_id":77,"event_type":"flow","src_ip":"10.0.0.7",'
    '"dest_ip":"192.0.2.1","dest_port":443,"proto":"TCP","app_proto":"tls","flow":{"pkts_toclient":%d,'
    '"bytes_toserver":300,"bytes_toclient":500,"start":"2026-11-24T10:00:00.000000+0000"},'
    '"tcp":{"tcp_flags_tc":"%s"}}'
)


def zeek(payload: dict[str, Any]) -> tuple[str, Record | None]:
    return look(make_event(payload, source="zeek", ts=1000.0))


def eve(line: str) -> tuple[str, Record | None]:
    return look(Reader(SuricataEve()).event(RawRecord(line.encode(), "eve.json:1"), 1.0))


@pytest.mark.parametrize(
    "ends",
    [
        ENDS,
        {"id_orig_h": "10.0.0.7", "id_resp_h": "192.0.2.1", "id_resp_p": 443},
        {"id": {"orig_h": "10.0.0.7", "resp_h": "192.0.2.1", "resp_p": 443}},
    ],
    ids=["dots", "underscores", "levels"],
)
@pytest.mark.parametrize("kind", [{"_path": "conn"}, {"_path": "open_conn"}, {"@stream": "conn"}, {}])
def test_a_connection_of_zeek(ends: dict[str, Any], kind: dict[str, Any]) -> None:
    payload = {"proto": "TCP", "uid": "C1", "service": "ssl", "conn_state": "S0", "orig_bytes": 5, "resp_bytes": 0}
    feed, seen = zeek(ends | payload | kind)
    assert feed == "zeek/conn"
    assert seen == Connection(
        ts=1000.0,
        src="10.0.0.7",
        dst="192.0.2.1",
        port=443,
        proto="tcp",
        uid="C1",
        service="ssl",
        sent=5,
        received=0,
        failed=True,
    )


def test_names_of_zeek() -> None:
    http = {"method": "CONNECT", "host": "Evil.example:443", "trans_depth": 1, "uid": "C1"}
    assert zeek(ENDS | http)[1] == Named(
        ts=1000.0, src="10.0.0.7", dst="192.0.2.1", port=443, uid="C1", name="evil.example"
    )
    again = zeek(ENDS | http | {"trans_depth": 2})[1]
    assert isinstance(again, Named)
    assert again.again
    ssl = zeek(ENDS | {"cipher": "X", "server_name": "evil.example"})[1]
    assert isinstance(ssl, Named)
    assert ssl.name == "evil.example"


def test_look_ups_of_zeek_leave_out_those_of_the_link() -> None:
    asked = ENDS | {"query": "A.Example.", "qtype_name": "txt", "rcode_name": "NXDOMAIN"}
    assert zeek(asked | {"id.resp_p": 53})[1] == Lookup(
        ts=1000.0, src="10.0.0.7", name="a.example", kind="TXT", missing=True
    )
    assert zeek(asked | {"id.resp_p": 5353})[1] is None


def test_a_flow_of_suricata_begins_when_it_began() -> None:
    feed, seen = eve(FLOW % (4, "1b"))
    assert feed == "suricata/flow"
    assert isinstance(seen, Connection)
    assert (seen.ts, seen.uid, seen.sent, seen.received, seen.failed) == (1795514400.0, "77", 300, 500, False)


@pytest.mark.parametrize(
    ("start", "ts"),
    [
        ("2026-11-24T11:30:00.500000+0100", 1795516200.5),
        ("1969-12-31T00:00:00.000000+0000", 1795514430.0),
        ("", 1795514430.0),
    ],
)
def test_a_flow_of_a_capture_is_dated_before_it_began(start: str, ts: float) -> None:
    """With ``-r``, Suricata dates all flows when the capture begins: none of them began then."""
    seen = eve((FLOW % (4, "1b")).replace("2026-11-24T10:00:00.000000+0000", start))[1]
    assert seen is not None
    assert seen.ts == ts


@pytest.mark.parametrize(
    ("packets", "flags", "failed"), [(0, "00", True), (1, "14", True), (1, "16", False), (2, "?", False)]
)
def test_a_flow_that_was_refused(packets: int, flags: str, failed: bool) -> None:  # noqa: FBT001 - a parameter
    seen = eve(FLOW % (packets, flags))[1]
    assert isinstance(seen, Connection)
    assert seen.failed is failed


def test_an_answer_whose_question_was_missed_is_no_failure() -> None:
    late = (FLOW % (0, "00")).replace('"dest_port":443', '"src_port":443,"dest_port":50123')
    seen = eve(late)[1]
    assert isinstance(seen, Connection)
    assert seen.failed is None


def test_names_and_look_ups_of_suricata() -> None:
    head = (
        '{"timestamp":"2026-11-24T10:00:00Z","src_ip":"10.0.0.7","dest_ip":"192.0.2.1","dest_port":53,"flow_id":7,'
    )
    tls = eve(head + '"event_type":"tls","tls":{"sni":"Evil.example"}}')[1]
    http = eve(head + '"event_type":"http","http":{"hostname":"evil.example","http_method":"CONNECT"}}')[1]
    assert isinstance(tls, Named)
    assert isinstance(http, Named)
    assert (tls.name, tls.uid, http.name) == ("evil.example", "7", "evil.example")
    query = eve(head + '"event_type":"dns","dns":{"type":"query","rrname":"a.example","rrtype":"TXT"}}')[1]
    assert query == Lookup(ts=1795514400.0, src="10.0.0.7", name="a.example", kind="TXT")
    answer = eve(
        head.replace('"dest_port":53', '"src_port":53') + '"event_type":"dns","dns":{"type":"answer",'
        '"rrname":"a.example","rrtype":"A","rcode":"NXDOMAIN"}}'
    )[1]
    assert answer == Lookup(
        ts=1795514400.0, src="192.0.2.1", name="a.example", kind="A", missing=True, is_answer=True
    )
    newer = eve(
        head + '"event_type":"dns","dns":{"type":"request","queries":[{"rrname":"b.example","rrtype":"A"}]}}'
    )
    assert isinstance(newer[1], Lookup)
    assert newer[1].name == "b.example"


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"_path": "conn"},
        {"_path": 7, "conn_state": 7, "id.orig_h": 7, "id.resp_h": []},
        ENDS | {"_path": "dns", "query": 7},
        ENDS | {"_path": "ntp"},
        {"call_id": "x", "trans_depth": 0, "method": "INVITE"},
    ],
)
def test_odd_records_tell_nothing(payload: dict[str, Any]) -> None:
    assert zeek(payload)[1] is None


@pytest.mark.parametrize("odd", [True, -1, float("inf"), 1 << 70, "12", None, []])
def test_odd_counts_are_no_counts(odd: Any) -> None:
    seen = zeek(ENDS | {"_path": "conn", "orig_bytes": odd})[1]
    assert isinstance(seen, Connection)
    assert seen.sent is None


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("A.example:443", "a.example"),
        ("[fe80::1]:80", "fe80::1"),
        ("fe80::1", "fe80::1"),
        ("a.example.", "a.example"),
    ],
)
def test_hosts_lose_their_ports(text: str, host: str) -> None:
    assert host_of(text) == host


def test_other_feeds_are_named_and_tell_nothing() -> None:
    assert look(make_event({"conn_state": "SF"}, source="falco")) == ("falco", None)


def test_json_and_text_logs_of_the_same_traffic_tell_the_same(fixtures: Path) -> None:
    folder = fixtures / "zeek_brimdata_zed"
    text = [look(e) for e in read_file(ZeekTsv(), folder / "zeek-default" / "dns.log.gz").events]
    json = [look(e) for e in read_file(ZeekJson(), folder / "zeek-json" / "dns.json.gz").events][: len(text)]
    assert text == json
    assert sum(record is not None for _, record in text) > 500


def test_suricata_alone_is_enough_for_a_beacon_and_a_tunnel() -> None:
    reader, chance = Reader(SuricataEve()), random.Random(1)
    lines: list[tuple[float, str]] = []
    for n in range(150):
        when = 1795514400 + 60 * n
        ends = f'"src_ip":"10.0.0.7","dest_ip":"192.0.2.1","flow_id":{n},'
        began, ended = _iso(when), _iso(when + 3)
        tls = f'{{"timestamp":"{began}",{ends}"dest_port":443,"event_type":"tls","tls":{{"sni":"c2.example"}}}}'
        flow = (
            f'{{"timestamp":"{ended}",{ends}"dest_port":443,"proto":"TCP","event_type":"flow","flow":{{"start":"{began}",'
            '"bytes_toserver":300,"bytes_toclient":500,"pkts_toclient":4}}'
        )
        name = f'"rrname":"{chance.getrandbits(160):x}.t.example","rrtype":"TXT"'
        for kind, rcode in (("query", ""), ("answer", ',"rcode":"NOERROR"')):
            dns = f'"event_type":"dns","dns":{{"type":"{kind}",{name}{rcode}}}'
            lines.append((when + 5, f'{{"timestamp":"{_iso(when + 5)}",{ends}"dest_port":53,{dns}}}'))
        lines += [(when, tls), (when + 3, flow)]
    events = [reader.event(RawRecord(line.encode(), "eve.json:1"), 1.0) for _, line in sorted(lines)]
    found = findings(Analytics(), events)
    beacon = [one for one in found if one.payload["rule"]["id"] == "beacon"][-1]
    tunnel = [one for one in found if one.payload["rule"]["id"] == "dns-tunnel"][-1]
    assert beacon.payload["matched"]["dest"] == "c2.example"
    assert feature(beacon, "size")["value"] == 1.0
    assert feature(tunnel, "unique_share")["value"] == 1.0, "answers are no further questions"


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
