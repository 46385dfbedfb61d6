"""Events as rows: every field has its column or its place in ``context``."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dsmil.events.model import Entity, Event, Severity, create_event
from dsmil.events.streams import StreamName
from dsmil.fusion.fuse import fuse
from dsmil.fusion.shrink import Reading
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.rows import json_text, raw_row, soc_row
from dsmil.infrastructure.sql import statement

CRISIS = Reading(metrics={"crisis_level": 0.9}, rejected={}, ts=1.0)
CONTEXT = {
    "entities": [{"type": "ip", "value": "10.0.0.1", "role": "src"}],
    "techniques": ["T1046"],
    "evidence": ["r-1"],
    "origin": "eve.json:1",
    "flags": ["missing_time"],
    "extra": {"zz": [None]},
}


def full() -> Event:
    return create_event(
        16,
        3,
        "NETWORK",
        "MEDIUM",
        {"a": "é"},
        event_id="e-1",
        ts=5.5,
        ingest_ts=6.5,
        source="suricata",
        compartment="SIGNALS",
        correlation_id="g-1",
        entities=[Entity("ip", "10.0.0.1", "src")],
        techniques=["T1046"],
        score=0.25,
        evidence=["r-1"],
        origin="eve.json:1",
        flags=["missing_time"],
    ).replace(extra={"zz": [None]})


def written(db: HotPathDB, name: str, row: tuple[Any, ...]) -> dict[str, Any]:
    with db._ready().writing("test") as connection:
        connection.execute(statement(name), row)
    found = db.get_event(row[1])["raw" if name == "insert_raw" else "soc"]
    assert found is not None
    return found


def test_a_raw_row_has_every_field(db: HotPathDB) -> None:
    found = written(db, "insert_raw", raw_row(full(), "1-0"))
    del found["id"]
    assert found == {
        "ts": 5.5,
        "event_id": "e-1",
        "device_id": 16,
        "layer": 3,
        "source": "suricata",
        "compartment": "SIGNALS",
        "category": "NETWORK",
        "severity": "MEDIUM",
        "payload": {"a": "é"},
        "token_id": 0x8000 + 48,
        "clearance": 0x03030303,
        "processed": 0,
        "ingest_ts": 6.5,
        "context": CONTEXT | {"correlation_id": "g-1", "score": 0.25},
        "stream_id": "1-0",
    }


def test_a_soc_row_has_every_field(db: HotPathDB) -> None:
    found = written(db, "insert_soc", soc_row(fuse(full(), StreamName.L3_OUT, CRISIS), "2-0"))
    assert (found["severity"], found["original_severity"]) == ("CRITICAL", "MEDIUM")
    assert (found["source_device"], found["source_layer"], found["category"]) == (16, 3, "NETWORK")
    assert (found["ts"], found["ingest_ts"], found["stream_id"]) == (5.5, 6.5, "2-0")
    assert (found["correlation_id"], found["score"]) == ("g-1", 0.25)
    assert found["payload"] == {"a": "é"}
    assert found["escalation"][0]["rule"] == "shrink-crisis"
    assert found["shrink_metrics"] == {"crisis_level": 0.9, "ts": 1.0, "age_s": 0.0}
    assert found["signals"]["l3"]["device_id"] == 16
    assert found["context"] == CONTEXT | {"source": "suricata", "compartment": "SIGNALS"}


def test_an_event_with_the_least_has_no_context(db: HotPathDB) -> None:
    plain = create_event(16, 3, "NETWORK", "LOW", {}, event_id="e-1")
    found = written(db, "insert_raw", raw_row(plain))
    assert (found["context"], found["stream_id"]) == (None, None)


def test_a_score_of_zero_is_kept(db: HotPathDB) -> None:
    event = create_event(16, 3, "NETWORK", "LOW", {}, event_id="e-1", score=0.0)
    assert written(db, "insert_raw", raw_row(event))["context"] == {"score": 0.0}


def test_without_a_reading_the_column_is_null(db: HotPathDB) -> None:
    found = written(db, "insert_soc", soc_row(fuse(full(), StreamName.L3_OUT, None)))
    assert found["shrink_metrics"] is None
    assert found["escalation"] == []


def test_the_raw_row_of_a_soc_event_is_the_event_before_the_judgement() -> None:
    soc = fuse(full(), StreamName.L3_OUT, CRISIS)
    assert soc.severity is Severity.CRITICAL
    assert raw_row(soc, "1-0") == raw_row(full(), "1-0")


@pytest.mark.parametrize("value", [None, [], {}, [1.5, "é"], {"a": None}])
def test_json_text_is_compact_json(value: object) -> None:
    assert json.loads(json_text(value)) == value
    assert " " not in json_text(value)
