"""OCSF Detection Findings: what the class requires is there, its numbers agree, nothing of the event is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from dsmil.events.model import Entity, Severity
from dsmil.events.streams import StreamName
from dsmil.fusion.fuse import fuse
from dsmil.fusion.ocsf import detection_finding
from dsmil.fusion.shrink import parse_reading
from dsmil.sources.ocsf import SOURCE as OCSF
from dsmil.testing.factories import make_event
from dsmil.testing.feeds import read_file

#: Attributes that version 1.4.0 requires of the class, and of the objects that are used.
REQUIRED = "activity_id category_uid class_uid finding_info metadata severity_id time type_uid".split()
ENTITIES = (
    Entity("ip", "192.0.2.7", "src"),
    Entity("port", "443", "dest"),
    Entity("registry", r"HKLM\Software\Run"),
)


def published(**fields: Any) -> dict[str, Any]:
    return fuse(make_event({"rule": "r1"}, **fields), StreamName.L3_OUT, None).to_dict()


def published_with(payload: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return fuse(make_event(payload, **fields), StreamName.L3_OUT, None).to_dict()


def full() -> dict[str, Any]:
    return published(
        severity=Severity.HIGH,
        entities=ENTITIES,
        techniques=("T1059.001", "T1105"),
        score=0.735,
        evidence=("e1", "e2"),
        correlation_id="c1",
        origin="eve.json:7",
    )


@pytest.mark.parametrize("event", [published(), full()], ids=["least", "full"])
def test_what_the_class_requires_is_there_and_agrees(event: dict[str, Any]) -> None:
    found = detection_finding(event, "words")
    assert [name for name in REQUIRED if name not in found] == []
    assert (found["class_uid"], found["category_uid"]) == (2004, 2)
    assert found["type_uid"] == found["class_uid"] * 100 + found["activity_id"]
    assert found["metadata"]["version"] == "1.4.0"
    assert found["metadata"]["product"]["vendor_name"]
    assert found["metadata"]["uid"] == event["event_id"]
    assert found["finding_info"]["uid"] == event.get("correlation_id", event["event_id"])
    assert found["finding_info"]["title"] == "words"
    assert isinstance(found["time"], int)
    assert found["time"] == round(event["ts"] * 1000)


@pytest.mark.parametrize(("severity", "number"), list(zip(Severity, (2, 3, 4, 5), strict=True)))
def test_severities_have_their_numbers(severity: Severity, number: int) -> None:
    assert detection_finding(published(severity=severity), "x")["severity_id"] == number


def test_entities_techniques_and_evidence_have_their_places() -> None:
    found = detection_finding(full(), "x")
    assert [(o["name"], o["type_id"], o["value"]) for o in found["observables"]] == [
        ("src.ip", 2, "192.0.2.7"),
        ("dest.port", 11, "443"),
        ("registry", 99, r"HKLM\Software\Run"),
    ]
    assert found["finding_info"]["attacks"] == [
        {"technique": {"uid": "T1059"}, "sub_technique": {"uid": "T1059.001"}},
        {"technique": {"uid": "T1105"}},
    ]
    assert found["finding_info"]["related_events"] == [{"uid": "e1"}, {"uid": "e2"}]
    assert found["confidence_score"] == 74
    assert found["metadata"]["correlation_uid"] == "c1"
    assert found["metadata"]["log_name"] == "eve.json:7"


def attacks(tactics: list[str], *techniques: str) -> Any:
    event = fuse(make_event({"tactics": tactics}, techniques=techniques), StreamName.L3_OUT, None)
    return detection_finding(event.to_dict(), "x")["finding_info"]["attacks"]


def test_one_tactic_is_that_of_every_technique_and_several_stand_by_themselves() -> None:
    access = {"uid": "TA0006", "name": "Credential Access"}
    assert attacks(["TA0006"], "T1003") == [{"technique": {"uid": "T1003"}, "tactic": access}]
    assert attacks(["credential-access"]) == [{"tactic": access}]
    assert attacks(["Credential Access", "Our Own"], "T1003") == [
        {"technique": {"uid": "T1003"}},
        {"tactic": access},
        {"tactic": {"name": "Our Own"}},
    ]


def test_the_rule_is_the_analytic() -> None:
    payload = {"detector": "l3-sigma", "rule": {"id": "r-1", "name": "A rule", "revision": "2026-11-29+ab"}}
    found = detection_finding(fuse(make_event(payload), StreamName.L3_OUT, None).to_dict(), "x")
    assert found["finding_info"]["analytic"] == {
        "type_id": 1,
        "type": "Rule",
        "name": "A rule",
        "uid": "r-1",
        "version": "2026-11-29+ab",
        "category": "l3-sigma",
    }
    assert found["metadata"]["event_code"] == "r-1"


def test_both_severities_of_an_escalation_are_told() -> None:
    reading = parse_reading({"crisis_level": 0.9}, 1.0)
    found = detection_finding(fuse(make_event(severity="MEDIUM"), StreamName.L3_OUT, reading).to_dict(), "x")
    assert (found["severity_id"], found["severity"]) == (5, "Critical")
    (raised,) = found["enrichments"]
    assert (raised["name"], raised["value"], raised["data"]["original_severity"]) == ("severity_id", "3", "MEDIUM")
    assert raised["data"]["escalation"][0]["metric"] == "crisis_level"


def test_a_later_revision_of_a_group_updates_the_same_finding() -> None:
    first, later = (
        detection_finding(
            published_with({"revision": revision}, correlation_id="g1", event_id=f"e{revision}"), "x"
        )
        for revision in (1, 2)
    )
    assert (first["activity_name"], first["type_uid"]) == ("Create", 200401)
    assert (later["activity_name"], later["type_uid"]) == ("Update", 200402)
    assert first["finding_info"]["uid"] == later["finding_info"]["uid"] == "g1"
    assert (first["metadata"]["uid"], later["metadata"]["uid"]) == ("e1", "e2")


def test_a_group_of_layer_4_is_one_finding_that_grows() -> None:
    payload = {
        "detector": "l4-fusion",
        "rule": {"id": "group", "name": "Three findings about ws1", "revision": "3"},
        "group": {"members": 12, "start": 10.0, "end": 70.0},
    }
    event = fuse(make_event(payload, source_layer=4, correlation_id="g1"), StreamName.L4_OUT, None).to_dict()
    found = detection_finding(event, "x")
    assert (found["activity_name"], found["finding_info"]["uid"], found["count"]) == ("Update", "g1", 12)
    assert (found["start_time"], found["end_time"]) == (10_000, 70_000)
    assert (found["finding_info"]["analytic"]["type_id"], found["finding_info"]["analytic"]["type"]) == (
        99,
        "Correlation",
    )


def test_a_correlated_finding_tells_how_many_events_and_when() -> None:
    found = detection_finding(published_with({"correlation": {"start": 10.0, "end": 25.5, "events": 20}}), "x")
    assert (found["start_time"], found["end_time"], found["count"]) == (10_000, 25_500, 20)
    assert found["finding_info"]["related_events_count"] == 20


@pytest.mark.parametrize("event", [published(), full()], ids=["least", "full"])
def test_nothing_of_the_event_is_lost(event: dict[str, Any]) -> None:
    there = msgspec.json.decode(msgspec.json.encode(detection_finding(event, "x")))
    assert there["unmapped"] == msgspec.json.decode(msgspec.json.encode(event))


def test_our_own_feed_reads_what_is_exported(tmp_path: Path) -> None:
    exported = tmp_path / "findings.json"
    lines = [msgspec.json.encode(detection_finding(event, "x")) for event in (published(), full())]
    exported.write_bytes(b"\n".join(lines) + b"\n")
    reading = read_file(OCSF(), exported)
    assert (dict(reading.dead), len(reading.events)) == ({}, 2)
    assert reading.events[1].severity is Severity.HIGH
    assert Entity("ip", "192.0.2.7") in {Entity(e.type, e.value) for e in reading.events[1].entities}
