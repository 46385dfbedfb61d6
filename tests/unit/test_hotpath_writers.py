"""The documented writers of the hot store: True, or False and a logged reason."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from dsmil.infrastructure.hotpath_db import HotPathDB

EVENT: dict[str, Any] = {
    "event_id": "e-1",
    "device_id": 52,
    "layer": 8,
    "source": "soc-router",
    "compartment": "GENERAL",
    "category": "SECURITY",
    "severity": "HIGH",
    "payload": {"alert": "data"},
}


def rows(db: HotPathDB, table: str) -> int:
    return int(db.get_stats()["row_counts"][table])


def test_the_documented_call(db: HotPathDB) -> None:
    before = time.time()
    assert db.insert_event(**EVENT) is True
    (row,) = db.get_recent_events(layer=8, severity="HIGH", limit=10)
    assert {name: row[name] for name in EVENT} == EVENT
    assert before <= row["ts"] == row["ingest_ts"] <= time.time()
    assert (row["token_id"], row["clearance"], row["processed"]) == (0x809C, 0x08080808, 0)


def test_the_documented_arguments_by_position(db: HotPathDB) -> None:
    assert db.insert_event(*EVENT.values())
    assert db.insert_soc_event("s-1", "HIGH", "SOC", 52, 8, {"a": 1})
    assert db.update_device_status(52, 8, "Security Analytics", "ONLINE", 256.0, 10.0)
    assert db.update_layer_state(8, [51, 52], 1.5, 10.0)


def test_what_may_be_given_by_keyword(db: HotPathDB) -> None:
    assert db.insert_event(**EVENT, ts=5.0, token_id=1, clearance=2)
    (row,) = db.get_recent_events()
    assert (row["ts"], row["token_id"], row["clearance"]) == (5.0, 1, 2)
    assert row["ingest_ts"] > 1e9


def test_a_repeated_event_id_is_a_success_that_changes_nothing(db: HotPathDB) -> None:
    assert db.insert_event(**EVENT)
    assert db.insert_event(**EVENT | {"severity": "LOW", "payload": {"other": 1}}) is True
    (row,) = db.get_recent_events()
    assert (row["severity"], row["payload"]) == ("HIGH", {"alert": "data"})


def test_the_first_body_of_a_soc_event_stays(db: HotPathDB) -> None:
    assert db.insert_soc_event("s-1", "HIGH", "SOC", 52, 8, {"a": 1})
    assert db.insert_soc_event("s-1", "LOW", "AUTH", 15, 3, {"a": 2}) is True
    (row,) = db.get_recent_soc_events()
    assert (row["severity"], row["payload"]) == ("HIGH", {"a": 1})


def test_a_repeated_model_output_is_a_success_that_changes_nothing(db: HotPathDB) -> None:
    assert db.insert_model_output("o-1", 47, 7, "m", {"a": 1})
    assert db.insert_model_output("o-1", 47, 7, "m", {"a": 2}) is True
    assert [row["output_json"] for row in db.get_model_outputs()] == [{"a": 1}]


def test_severity_and_category_are_written_in_their_known_spelling(db: HotPathDB) -> None:
    for n, severity in enumerate(("info", "MODERATE", "critical", "WEIRD", None)):
        assert db.insert_event(**EVENT | {"event_id": f"e-{n}", "severity": severity, "category": "network"})
    found = {row["event_id"]: row["severity"] for row in db.get_recent_events()}
    assert found == {"e-0": "LOW", "e-1": "MEDIUM", "e-2": "CRITICAL", "e-3": "HIGH", "e-4": "HIGH"}
    assert {row["category"] for row in db.get_recent_events()} == {"NETWORK"}


def test_a_soc_event_with_all_it_can_have(db: HotPathDB) -> None:
    assert db.insert_soc_event(
        event_id="s-1",
        severity="CRITICAL",
        category="SOC",
        source_device=52,
        source_layer=8,
        payload={"a": [1, None]},
        signals={"l3": {"decision": "x"}},
        shrink_metrics={"crisis_level": 0.9},
        l8_enrichment={"processed_by": []},
        original_severity="moderate",
        ts=5.0,
    )
    (row,) = db.get_recent_soc_events(limit=1)
    assert (row["severity"], row["original_severity"], row["ts"]) == ("CRITICAL", "MEDIUM", 5.0)
    assert row["payload"] == {"a": [1, None]}
    assert row["signals"] == {"l3": {"decision": "x"}}
    assert row["shrink_metrics"] == {"crisis_level": 0.9}
    assert row["l8_enrichment"] == {"processed_by": []}
    assert row["escalation"] == []


def test_a_soc_event_with_the_least(db: HotPathDB) -> None:
    assert db.insert_soc_event("s-1", "HIGH", "SOC", 52, 8, {})
    (row,) = db.get_recent_soc_events()
    assert (row["signals"], row["shrink_metrics"], row["original_severity"]) == ({}, None, "HIGH")


def test_a_shrink_reading_fills_its_columns_and_keeps_the_rest(db: HotPathDB) -> None:
    metrics = {"crisis_level": 0.1, "risk_acute_stress": 0.2, "entropy": 0.3, "mood": 0.4}
    assert db.insert_shrink_metrics(metrics, ts=5.0)
    (row,) = db.get_shrink_metrics()
    assert (row["ts"], row["crisis_level"], row["risk_acute_stress"], row["entropy"]) == (5.0, 0.1, 0.2, 0.3)
    assert row["sentiment_score"] is None
    assert row["metrics_json"] == metrics


def test_the_other_name_of_the_crisis_metric_fills_its_column(db: HotPathDB) -> None:
    assert db.insert_shrink_metrics({"shrink_crisis_level": 0.9})
    assert db.get_shrink_metrics()[0]["crisis_level"] == 0.9


def test_a_model_output_with_all_it_can_have(db: HotPathDB) -> None:
    options = {"input_ref": "r", "score": 0.5, "tops_used": 2.0, "latency_ms": 1.5, "hardware": "NPU", "ts": 5.0}
    assert db.insert_model_output("o-1", 47, 7, "m", {"label": "x"}, **options)  # type: ignore[arg-type]
    (row,) = db.get_model_outputs(limit=5)
    assert {name: row[name] for name in options} == options
    assert (row["output_id"], row["device_id"], row["layer"], row["model"]) == ("o-1", 47, 7, "m")


def test_a_heartbeat_overwrites_what_it_says_and_keeps_the_rest(db: HotPathDB) -> None:
    assert db.update_device_status(52, 8, "Security Analytics", "ONLINE", memory_mb=256, metadata={"pid": 7})
    first = db.get_device_statuses()[0]["last_heartbeat"]
    assert db.update_device_status(52, 8, "Security Analytics", "BUSY", tops_allocated=10)
    (row,) = db.get_device_statuses()
    assert (row["status"], row["memory_mb"], row["tops_allocated"]) == ("BUSY", 256, 10)
    assert row["metadata"] == {"pid": 7}
    assert row["last_heartbeat"] >= first


def test_the_state_of_a_layer_takes_its_budget_by_default(db: HotPathDB) -> None:
    assert db.update_layer_state(8, [51, 52], 1.5, 10.0, event_count=7)
    (row,) = [row for row in db.get_layer_states() if row["layer"] == 8]
    assert row["active_devices"] == [51, 52]
    assert (row["memory_used_gb"], row["tops_used"], row["tops_available"]) == (1.5, 10.0, 80)
    assert row["event_count"] == 7
    assert db.update_layer_state(8, [], 0, 0, tops_available=5)
    assert [row["tops_available"] for row in db.get_layer_states() if row["layer"] == 8] == [5]


def test_layer_states_follow_the_heartbeats(db: HotPathDB) -> None:
    assert db.update_device_status(
        51, 8, "a", "ONLINE", memory_mb=1024, tops_allocated=5, metadata={"processed": 3}
    )
    assert db.update_device_status(52, 8, "b", "BUSY", memory_mb=512, tops_allocated=10, metadata={"processed": 4})
    assert db.update_device_status(53, 8, "c", "OFFLINE", memory_mb=4096, tops_allocated=99)
    assert db.refresh_layer_states()
    (row,) = [row for row in db.get_layer_states() if row["layer"] == 8]
    assert sorted(row["active_devices"]) == [51, 52]
    assert (row["memory_used_gb"], row["tops_used"], row["event_count"]) == (1.5, 15, 7)
    assert db.refresh_layer_states(heartbeat_s=-60)
    assert [row["active_devices"] for row in db.get_layer_states() if row["layer"] == 8] == [[]]


def refused(db: HotPathDB, call: Callable[[], bool]) -> None:
    """Check that a write answers False, logs why, and leaves the store usable and unchanged."""
    before = db.get_stats()["row_counts"]
    with capture_logs() as logged:
        assert call() is False
    assert [line["event"] for line in logged] == ["store.write_failed"]
    assert logged[0]["cause"]
    assert db.get_stats()["row_counts"] == before
    assert db.insert_event(**EVENT | {"event_id": "afterwards"})


@pytest.mark.parametrize(
    "change",
    [
        {"event_id": None},
        {"event_id": "\ud800"},
        {"event_id": ["e"]},
        {"device_id": 2**70},
        {"source": None},
        {"compartment": object()},
        {"ts": math.nan},
        {"ts": object()},
    ],
)
def test_a_bad_value_is_refused_and_logged(db: HotPathDB, change: dict[str, Any]) -> None:
    refused(db, lambda: db.insert_event(**EVENT | change))


@pytest.mark.parametrize(
    "change",
    [
        {"payload": {"a": object()}},
        {"payload": {"a": "\ud800"}},
        {"device_id": "fifty-two"},
        {"device_id": None},
        {"layer": None},
    ],
)
def test_a_bad_value_of_an_event_never_raises(db: HotPathDB, change: dict[str, Any]) -> None:
    refused(db, lambda: db.insert_event(**EVENT | change))


@pytest.mark.parametrize(
    "change",
    [{"device_id": -1}, {"device_id": 104}, {"layer": 99}, {"layer": "x"}, {"ts": "now"}, {"payload": "text"}],
)
def test_a_value_out_of_its_documented_range_is_refused(db: HotPathDB, change: dict[str, Any]) -> None:
    refused(db, lambda: db.insert_event(**EVENT | change))


WRITERS: dict[str, Callable[[HotPathDB, Any], bool]] = {
    "event payload": lambda db, bad: db.insert_event(**EVENT | {"payload": bad}),
    "soc payload": lambda db, bad: db.insert_soc_event("s", "HIGH", "SOC", 52, 8, bad),
    "soc signals": lambda db, bad: db.insert_soc_event("s", "HIGH", "SOC", 52, 8, {}, signals=bad),
    "shrink": lambda db, bad: db.insert_shrink_metrics(bad),
    "model": lambda db, bad: db.insert_model_output("o", 47, 7, "m", bad),
    "device": lambda db, bad: db.update_device_status(52, 8, "n", "ONLINE", metadata=bad),
    "layer": lambda db, bad: db.update_layer_state(8, [bad], 0, 0),
}


@pytest.mark.parametrize("bad", [{"a": object()}, {"a": "\ud800"}], ids=["object", "surrogate"])
@pytest.mark.parametrize("writer", WRITERS)
def test_what_json_cannot_say_is_refused_by_every_writer(db: HotPathDB, writer: str, bad: Any) -> None:
    refused(db, lambda: WRITERS[writer](db, bad))


@pytest.mark.parametrize("bad", [{"a": math.nan}, {"a": [math.inf]}], ids=["nan", "inf"])
@pytest.mark.parametrize("writer", ["event payload", "soc payload", "soc signals", "model"])
def test_no_writer_turns_nan_into_null(db: HotPathDB, writer: str, bad: Any) -> None:
    refused(db, lambda: WRITERS[writer](db, bad))


def test_a_layer_that_does_not_exist_is_refused(db: HotPathDB) -> None:
    refused(db, lambda: db.update_layer_state(42, [], 0, 0))


def test_statuses_and_hardware_outside_the_documented_words_are_refused(db: HotPathDB) -> None:
    refused(db, lambda: db.update_device_status(52, 8, "n", "SLEEPY"))
    refused(db, lambda: db.insert_model_output("o", 47, 7, "m", {}, hardware="TPU"))
    refused(db, lambda: db.insert_shrink_metrics({"entropy": [1]}))
    assert rows(db, "device_status") == 0
