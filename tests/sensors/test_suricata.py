"""Suricata reads a capture that the test made: each record it writes is an event, its alert a finding."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NamedTuple

import pytest
from tests.sensors.suricata import watch
from tests.sensors.traffic import BEGIN, CLIENT, LISTENER, NAME, PAGE, RESOLVER, SERVER, conversations

from dsmil.analytics.reading import look
from dsmil.analytics.records import Lookup
from dsmil.detections.suricata_alert import DETECTOR
from dsmil.events.handling import Delivery, Publish
from dsmil.events.model import Event, EventCategory, Severity
from dsmil.events.streams import StreamName
from dsmil.sources.suricata_eve import SuricataEve
from dsmil.testing.feeds import read_file


class Log(NamedTuple):
    """Its log, read by the standard library and by us."""

    records: list[dict[str, Any]]
    events: list[Event]

    def of(self, event_type: str) -> list[Event]:
        return [event for event in self.events if event.payload["event_type"] == event_type]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    path = watch(tmp_path_factory.mktemp("suricata"), conversations())
    reading = read_file(SuricataEve(), path)
    assert (dict(reading.dead), reading.partial, reading.problem) == ({}, 0, "")
    return Log([json.loads(line) for line in path.read_text().splitlines()], reading.events)


def test_each_record_is_an_event_and_whole(log: Log) -> None:
    """Unknown fields stay; records of the same bytes, such as anomalies, are events of their own."""
    types = {record["event_type"] for record in log.records}
    assert types == {"alert", "dns", "http", "tls", "fileinfo", "flow", "anomaly", "stats"}
    assert [event.payload for event in log.events] == log.records
    assert len({event.event_id for event in log.events}) == len(log.records)
    assert {event.category for event in log.events} == {EventCategory.NETWORK, EventCategory.SYSTEM}
    assert {event.severity for event in log.events} == {Severity.LOW}


def test_its_packets_were_sound(log: Log) -> None:
    (stats,) = log.of("stats")
    assert stats.category is EventCategory.SYSTEM
    assert stats.payload["stats"]["decoder"]["invalid"] == 0
    assert stats.payload["stats"]["tcp"]["invalid_checksum"] == 0


def test_events_have_the_times_of_the_packets(log: Log) -> None:
    assert [event.ts for event in log.events] == [
        datetime.fromisoformat(record["timestamp"]).timestamp() for record in log.records
    ]
    assert [event.ts for event in log.of("dns")] == [BEGIN, BEGIN + 0.5]
    assert [event.ts for event in log.of("alert")] == [BEGIN + 3]
    flows = [look(event)[1] for event in log.of("flow")]
    assert sorted(flow.ts for flow in flows if flow) == [BEGIN + second for second in range(5)]


@pytest.mark.parametrize(
    ("event_type", "about"),
    [
        ("dns", {("ip", CLIENT, "src"), ("ip", RESOLVER, "dest"), ("port", "53", "dest"), ("domain", NAME, "")}),
        ("http", {("ip", CLIENT, "src"), ("ip", SERVER, "dest"), ("port", "80", "dest"), ("host", NAME, "")}),
        ("tls", {("ip", CLIENT, "src"), ("ip", SERVER, "dest"), ("port", "443", "dest"), ("host", NAME, "")}),
        ("fileinfo", {("ip", CLIENT, "dest"), ("ip", SERVER, "src"), ("host", NAME, ""), ("file", PAGE, "")}),
        ("alert", {("ip", CLIENT, "src"), ("ip", LISTENER, "dest"), ("port", "5140", "dest")}),
    ],
)
def test_events_name_whom_they_are_about(log: Log, event_type: str, about: set[tuple[str, str, str]]) -> None:
    found = [{(one.type, one.value, one.role) for one in event.entities} for event in log.of(event_type)]
    assert any(about <= entities for entities in found), found


def test_its_look_up_is_one_question_with_its_answer(log: Log) -> None:
    asked = [look(event)[1] for event in log.of("dns")]
    assert asked == [
        Lookup(ts=BEGIN, src=CLIENT, name=NAME, kind="A"),
        Lookup(ts=BEGIN + 0.5, src=CLIENT, name=NAME, kind="A", missing=False, is_answer=True),
    ]


def test_its_alert_is_a_finding_and_nothing_else_is(log: Log) -> None:
    deliveries = [Delivery(stream=StreamName.L3_IN, entry_id="1-0", event=event) for event in log.events]
    published = [one for one in DETECTOR().handle(deliveries) if isinstance(one, Publish)]
    ((stream, finding),) = [output for outcome in published for output in outcome.outputs]
    (alert,) = log.of("alert")
    assert stream is StreamName.L3_OUT
    assert finding.payload["rule"] == {"id": "1:1000001", "name": "the word", "revision": "3"}
    assert (finding.severity, finding.techniques) == (Severity.HIGH, ("T1041",))
    assert (finding.ts, finding.entities, finding.evidence) == (alert.ts, alert.entities, (alert.event_id,))
