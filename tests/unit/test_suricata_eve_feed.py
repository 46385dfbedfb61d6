"""Suricata EVE as an event: on records of real sensors and on odd ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dsmil.errors import EventInvalid
from dsmil.events import codec
from dsmil.events.model import Entity, Event, EventCategory, Severity
from dsmil.sources._feed import RawRecord, Reader
from dsmil.sources._files import RecordFile
from dsmil.sources.suricata_eve import SuricataEve, entities

FILES = {
    "suricata_josevnz/test/eve-2.json.gz": 2401,
    "suricata_josevnz/test/eve_large.json.gz": 12245,
    "suricata_josevnz/test/eve_no_events.json.gz": 21,
    "suricata_josevnz/test/eve_payload.json.gz": 131,
    "suricata_josevnz/test/eve_udp_flow.json": 32,
    "suricata_frankhassanabad/samples/first-org-conf-2015/alerts-only.json.gz": 136,
    "suricata_frankhassanabad/samples/honeypot-2018/alerts-only.json.gz": 44,
    "suricata_frankhassanabad/samples/wrccdc-2017/alerts-only.json.gz": 161,
}


def records(path: Path) -> list[RawRecord]:
    return list(RecordFile(str(path), json_array=True))


def events(path: Path) -> list[Event]:
    reader = Reader(SuricataEve())
    return [reader.event(record, 2e9) for record in records(path)]


@pytest.mark.parametrize("name", FILES)
def test_every_record_of_the_public_logs_becomes_an_event(fixtures: Path, name: str) -> None:
    found = events(fixtures / name)
    assert len(found) == FILES[name]
    assert len({event.event_id for event in found}) == FILES[name]
    for event, record in zip(found, records(fixtures / name), strict=True):
        assert event.payload == json.loads(record.raw)
        assert event.ts < 2e9
        assert (event.source, event.source_device, event.severity) == ("suricata", 5, Severity.LOW)
        assert (event.category is EventCategory.SYSTEM) == (event.payload["event_type"] == "stats")
        assert codec.decode(codec.encode_checked(event)) == event


def test_a_record_of_a_public_log_in_detail(fixtures: Path) -> None:
    event = events(fixtures / "suricata_josevnz/test/eve-2.json.gz")[0]
    assert event.payload["timestamp"] == "2022-02-08T09:40:29.080710-0500"
    assert event.ts == pytest.approx(1644331229.08071)
    assert event.entities[:4] == (
        Entity("ip", "10.2.8.102", "src"),
        Entity("port", "49730", "src"),
        Entity("ip", "91.240.118.172", "dest"),
        Entity("port", "80", "dest"),
    )
    assert Entity("host", "91.240.118.172") in event.entities
    assert event.origin.endswith("eve-2.json.gz:1")


def test_names_of_the_public_logs_are_found(fixtures: Path) -> None:
    kinds = {e.type for event in events(fixtures / "suricata_josevnz/test/eve-2.json.gz") for e in event.entities}
    assert {"ip", "port", "host", "domain", "file"} <= kinds


def test_reading_a_public_log_twice_adds_nothing(fixtures: Path) -> None:
    path = fixtures / "suricata_josevnz/test/eve_payload.json.gz"
    assert [e.event_id for e in events(path)] == [e.event_id for e in events(path)]


def parse(**record: Any) -> tuple[Entity, ...]:
    return SuricataEve().parse({"event_type": "flow"} | record).entities


@pytest.mark.parametrize("record", [{}, {"event_type": None}, {"event_type": 5}, {"timestamp": "2023-01-01"}])
def test_a_record_without_an_event_type_is_not_eve(record: dict[str, Any]) -> None:
    with pytest.raises(EventInvalid) as caught:
        SuricataEve().parse(record)
    assert caught.value.cause == "not_eve"


def test_a_bad_time_is_refused_and_a_missing_one_is_not() -> None:
    with pytest.raises(EventInvalid, match="bad_time"):
        SuricataEve().parse({"event_type": "flow", "timestamp": 5})
    assert SuricataEve().parse({"event_type": "flow"}).ts is None


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"http": {"hostname": "h"}}, [Entity("host", "h")]),
        ({"tls": {"sni": "s"}}, [Entity("host", "s")]),
        ({"quic": {"sni": "q"}}, [Entity("host", "q")]),
        ({"smtp": {"helo": "m"}}, [Entity("host", "m")]),
        ({"dns": {"rrname": "d"}}, [Entity("domain", "d")]),
        ({"dns": {"query": [{"rrname": "d"}, {"rrname": "e"}]}}, [Entity("domain", "d"), Entity("domain", "e")]),
        ({"dns": {"queries": [{"rrname": "d"}, {"rrname": "d"}]}}, [Entity("domain", "d")]),
        ({"fileinfo": {"filename": "f", "sha256": "ab"}}, [Entity("file", "ab"), Entity("file", "f")]),
        ({"host": "sensor-1"}, [Entity("host", "sensor-1", "sensor")]),
        ({"src_ip": "::1", "dest_port": 0}, [Entity("ip", "::1", "src"), Entity("port", "0", "dest")]),
    ],
)
def test_where_eve_keeps_names(record: dict[str, Any], expected: list[Entity]) -> None:
    assert list(parse(**record)) == expected


@pytest.mark.parametrize(
    "record",
    [
        {"src_ip": 5, "src_port": 8.5, "dest_ip": "", "dest_port": True},
        {"http": "x", "tls": None, "dns": [], "fileinfo": 5},
        {"http": {"hostname": 5}, "dns": {"rrname": None, "query": "x", "queries": {"rrname": 7}}},
        {"dns": {"query": [None, 5, "x", {"rrname": 7}, {}]}},
        {"host": 5},
        {"host": ""},
    ],
)
def test_fields_of_an_odd_type_are_no_entities(record: dict[str, Any]) -> None:
    assert entities(record) == ()
