"""Why an event is what it is, in five stages."""

from __future__ import annotations

from typing import Any

import pytest

from dsmil.events import codec
from dsmil.events.model import create_event
from dsmil.events.streams import StreamName
from dsmil.fusion.explain import explain, explain_raw, reason_text
from dsmil.fusion.fuse import fuse
from dsmil.fusion.shrink import Reading
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.rows import raw_row, soc_row
from dsmil.infrastructure.sql import statement

RAW: dict[str, Any] = {
    "event_id": "r-1",
    "ts": 99.0,
    "ingest_ts": 100.0,
    "source": "suricata",
    "device_id": 5,
    "stream_id": "100000-0",
    "context": {"origin": "eve.json:7", "flags": ["missing_time"]},
}
SOC: dict[str, Any] = {
    "event_id": "f-1",
    "payload": {
        "detector": "l3-suricata-alert",
        "rule": {"id": "1:2", "name": "scan", "revision": "3"},
        "sensor_severity": 2,
        "matched": {"src_ip": "10.0.0.1"},
    },
    "context": {"techniques": ["T1046"], "evidence": ["r-1"]},
    "severity": "CRITICAL",
    "original_severity": "MEDIUM",
    "source_device": 16,
    "source_layer": 3,
    "signals": {"l3": {"decision": "scan"}},
    "shrink_metrics": {"crisis_level": 0.9, "age_s": 0.25},
    "escalation": [
        {
            "rule": "shrink-crisis",
            "metric": "crisis_level",
            "value": 0.9,
            "threshold": 0.8,
            "from": "MEDIUM",
            "to": "CRITICAL",
        }
    ],
    "stream_id": "1700000000123-4",
}


def test_the_five_stages_in_order() -> None:
    steps = explain(SOC, [RAW])
    assert [step.stage for step in steps] == ["source", "detection", "fusion", "escalation", "publication"]


def test_what_each_stage_says() -> None:
    source, detection, fusion, escalation, publication = explain(SOC, [RAW])
    assert source.text == "suricata record from eve.json:7, published by device 5"
    assert source.at == 100.0
    assert source.detail["flags"] == ["missing_time"]
    assert source.detail["event_time"] == 99.0
    assert detection.text == ("device 16 (layer 3) found it, rule 1:2 revision 3: scan; severity MEDIUM")
    assert detection.detail == {
        "detector": "l3-suricata-alert",
        "rule": {"id": "1:2", "name": "scan", "revision": "3"},
        "sensor_severity": 2,
        "matched": {"src_ip": "10.0.0.1"},
        "techniques": ["T1046"],
        "evidence": ["r-1"],
    }
    assert fusion.text == "judged with a SHRINK reading 0.2 s old"
    assert escalation.text == "MEDIUM -> CRITICAL by shrink-crisis: crisis_level 0.9 >= 0.8"
    assert escalation.detail == SOC["escalation"][0]
    assert publication.text == "published as CRITICAL: SOC_EVENTS entry 1700000000123-4"
    assert publication.at == 1700000000.123


def test_a_finding_without_rule_reading_or_place() -> None:
    bare = SOC | {"payload": {}, "context": None, "shrink_metrics": None, "escalation": [], "stream_id": None}
    detection, fusion, escalation, publication = explain(bare, [])
    assert "no rule named" in detection.text
    assert fusion.text == "no operator reading young enough to use: severity stays as found"
    assert escalation.text == "none: severity CRITICAL is the one that was found"
    assert publication.text == "published as CRITICAL: written to the store directly"
    assert publication.at is None


def test_a_recorded_reading_is_called_one() -> None:
    soc = SOC | {"shrink_metrics": {"age_s": 1.0, "recorded": True}}
    assert "recorded reading" in explain(soc, [])[1].text


def test_each_record_it_rests_on_is_a_step_of_its_own() -> None:
    steps = explain(SOC, [RAW, RAW | {"event_id": "r-2"}])
    assert [step.detail["event_id"] for step in steps if step.stage == "source"] == ["r-1", "r-2"]


def test_a_raw_event_has_its_source_only() -> None:
    (step,) = explain_raw(RAW | {"source": "", "context": None})
    assert step.text == "unnamed source record from a producer that gave no place, published by device 5"


def test_a_reason_in_words_even_when_half_of_it_is_missing() -> None:
    assert reason_text({"from": "LOW"}) == "LOW -> None by None: None None >= None"


def test_rows_of_the_real_store_are_explained(db: HotPathDB) -> None:
    record = create_event(5, 3, "NETWORK", "LOW", {}, event_id="r-1", source="suricata", origin="eve.json:1")
    found = create_event(16, 3, "NETWORK", "LOW", SOC["payload"], event_id="f-1", evidence=["r-1"])
    crisis = Reading(metrics={"crisis_level": 0.9}, rejected={}, ts=1.0)
    soc = codec.decode_soc(codec.encode(fuse(found, StreamName.L3_OUT, crisis)))
    with db._ready().writing("test") as connection:
        connection.execute(statement("insert_raw"), raw_row(record, "1-0"))
        connection.execute(statement("insert_soc"), soc_row(soc, "2000-0"))
    raw_found, soc_found = db.get_event("r-1")["raw"], db.get_event("f-1")["soc"]
    assert raw_found is not None
    assert soc_found is not None
    texts = [step.text for step in explain(soc_found, [raw_found])]
    assert texts[0] == "suricata record from eve.json:1, published by device 5"
    assert texts[3] == "LOW -> CRITICAL by shrink-crisis: crisis_level 0.9 >= 0.8"
    assert texts[4] == "published as CRITICAL: SOC_EVENTS entry 2000-0"


@pytest.mark.parametrize(
    "row",
    [
        {"payload": "plain text"},
        {"payload": ["a", "list"]},
        {"context": "plain text"},
        {"stream_id": "by hand"},
        {"shrink_metrics": {"age_s": None}},
        {"shrink_metrics": "calm"},
        {"escalation": ["because"]},
    ],
)
def test_a_row_written_by_somebody_s_sql_is_explained_as_far_as_it_goes(row: dict[str, Any]) -> None:
    """The documented columns may be filled by any sqlite3 shell, and text that is no JSON stays text."""
    assert [step.stage for step in explain(SOC | row, [])] == ["detection", "fusion", "escalation", "publication"]
