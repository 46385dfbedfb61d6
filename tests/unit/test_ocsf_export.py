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
    assert found["finding_info"]["uid"] == event["event_id"]
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
