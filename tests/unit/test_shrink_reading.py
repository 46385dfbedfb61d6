"""What of SHRINK's answer is believed, and when it is worth an alert."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dsmil.fusion.shrink import ALERT_AT, RANGES, Reading, alerts, parse_reading

DOCUMENTED = {
    "risk_acute_stress": 0.35,
    "crisis_level": 0.12,
    "lbi_hyperfocus_density": 0.58,
    "sentiment_score": 0.5,
    "entropy": 0.7,
}


def parsed(document: dict[str, Any]) -> Reading:
    reading = parse_reading(document, 100.0)
    assert reading is not None
    return reading


def test_the_documented_answer_is_read_whole() -> None:
    reading = parsed(DOCUMENTED)
    assert reading.metrics == DOCUMENTED
    assert reading.rejected == {}
    assert (reading.ts, reading.age_s, reading.recorded) == (100.0, 0.0, False)


@pytest.mark.parametrize("document", [None, [], "text", 5, True, [DOCUMENTED]])
def test_an_answer_that_is_no_object_is_no_reading(document: object) -> None:
    assert parse_reading(document, 100.0) is None


def test_an_empty_answer_is_a_reading_of_nothing() -> None:
    reading = parsed({})
    assert (reading.metrics, reading.rejected) == ({}, {})


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (math.nan, "not finite"),
        (math.inf, "not finite"),
        (-math.inf, "not finite"),
        (True, "bool is not a number"),
        (False, "bool is not a number"),
        ("0.9", "str is not a number"),
        (None, "NoneType is not a number"),
        ([0.9], "list is not a number"),
        ({}, "dict is not a number"),
        (1.0000001, "1.0000001 is outside 0-1"),
        (-0.0000001, "-1e-07 is outside 0-1"),
        (90, "90 is outside 0-1"),
    ],
)
@pytest.mark.parametrize("metric", ["crisis_level", "risk_acute_stress", "entropy"])
def test_a_bad_metric_is_rejected_with_its_reason_and_the_others_stay(metric: str, value: Any, why: str) -> None:
    reading = parsed(DOCUMENTED | {metric: value})
    assert reading.rejected == {metric: why}
    assert reading.metrics == {k: v for k, v in DOCUMENTED.items() if k != metric}


@pytest.mark.parametrize("value", [10**400, -(10**400)], ids=["huge", "-huge"])
@pytest.mark.parametrize("metric", ["crisis_level", "anomaly_score"])
def test_an_integer_beyond_a_double_is_rejected(metric: str, value: int) -> None:
    reading = parsed(DOCUMENTED | {metric: value})
    assert metric in reading.rejected
    assert metric not in reading.metrics


@pytest.mark.parametrize("metric", [m for m, (low, _) in RANGES.items() if low == 0.0])
def test_the_edges_of_a_range_are_inside_and_integers_are_numbers(metric: str) -> None:
    for value in (0, 1, 0.0, 1.0):
        read = parsed({metric: value}).metrics[metric]
        assert isinstance(read, float)
        assert read == value


@pytest.mark.parametrize("value", [-50.0, 0, 3.5, 1e12])
def test_the_anomaly_score_is_a_z_score_without_bounds(value: float) -> None:
    assert parsed({"anomaly_score": value}).metrics == {"anomaly_score": value}


def test_a_metric_nobody_knows_is_left_out() -> None:
    reading = parsed({"mood": 0.5, "ts": 5, "crisis_level": 0.1})
    assert (reading.metrics, reading.rejected) == ({"crisis_level": 0.1}, {})


def test_the_other_name_of_the_crisis_metric_is_accepted() -> None:
    assert parsed({"shrink_crisis_level": 0.9}).metrics == {"crisis_level": 0.9}
    assert parsed({"shrink_crisis_level": 9}).rejected == {"crisis_level": "9 is outside 0-1"}


@pytest.mark.parametrize("order", [1, -1])
def test_of_both_names_the_documented_one_counts(order: int) -> None:
    pairs = [("crisis_level", 0.1), ("shrink_crisis_level", 0.9)][::order]
    assert parsed(dict(pairs)).metrics == {"crisis_level": 0.1}


@pytest.mark.parametrize(("value", "recorded"), [(True, True), (False, False), ("yes", False), (1, False)])
def test_only_a_true_marks_a_recording(value: object, *, recorded: bool) -> None:
    reading = parsed(DOCUMENTED | {"recorded": value})
    assert reading.recorded is recorded
    assert ("recorded" in reading.snapshot()) is recorded


def test_a_snapshot_keeps_metrics_time_age_and_rejections() -> None:
    reading = Reading(metrics={"entropy": 0.5}, rejected={"crisis_level": "not finite"}, ts=7.0, age_s=1.23456)
    assert reading.snapshot() == {
        "entropy": 0.5,
        "ts": 7.0,
        "age_s": 1.235,
        "rejected": {"crisis_level": "not finite"},
    }


def test_the_documented_alert_thresholds() -> None:
    assert ALERT_AT == {
        "risk_acute_stress": 0.7,
        "crisis_level": 0.8,
        "lbi_hyperfocus_density": 0.8,
        "cognitive_load_index": 0.75,
        "emotional_intensity_score": 0.8,
        "linguistic_complexity_index": 0.7,
        "anomaly_score": 3.0,
    }


@pytest.mark.parametrize("metric", ALERT_AT)
def test_an_alert_begins_at_its_threshold(metric: str) -> None:
    threshold = ALERT_AT[metric]
    assert alerts(parsed({metric: math.nextafter(threshold, -math.inf)})) == []
    (alert,) = alerts(parsed({metric: threshold}))
    assert alert == {
        "id": f"{metric}:100.000",
        "ts": 100.0,
        "metric": metric,
        "value": threshold,
        "threshold": threshold,
        "severity": "CRITICAL" if metric == "crisis_level" else "HIGH",
    }


def test_metrics_without_a_threshold_and_rejected_ones_raise_no_alert() -> None:
    assert alerts(parsed({"sentiment_score": 1, "entropy": 1, "crisis_level": 80, "risk_acute_stress": "1"})) == []


def test_every_metric_at_once() -> None:
    assert len({alert["id"] for alert in alerts(parsed(dict.fromkeys(ALERT_AT, 1) | {"anomaly_score": 3}))}) == 7
