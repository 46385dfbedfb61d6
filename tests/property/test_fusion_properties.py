"""Fusion over all severities and readings: never lower, a reason exactly for each change."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dsmil.events.model import Severity, create_event
from dsmil.events.streams import StreamName
from dsmil.fusion.fuse import fuse
from dsmil.fusion.severity import ACUTE_STRESS, CRISIS, escalate
from dsmil.fusion.shrink import ALERT_AT, RANGES, alerts, parse_reading

NAMES = st.sampled_from([*RANGES, "shrink_crisis_level", "recorded", "ts", "mood"])
VALUES = (
    st.floats()
    | st.floats(0, 1)
    | st.sampled_from([0.7, 0.8, math.nextafter(0.7, 0), math.nextafter(0.8, 0), 0, 1, 10**400, -(10**400)])
    | st.integers()
    | st.booleans()
    | st.none()
    | st.text(max_size=5)
    | st.lists(st.floats(), max_size=2)
)
ANSWERS = st.dictionaries(NAMES, VALUES, max_size=8)


@given(st.sampled_from(Severity), ANSWERS)
def test_escalation_never_lowers_and_has_a_reason_exactly_when_it_changes(
    severity: Severity, answer: dict[str, Any]
) -> None:
    reading = parse_reading(answer, 5.0)
    after, reasons = escalate(severity, reading)
    assert after >= severity
    assert bool(reasons) == (after is not severity)
    for reason in reasons:
        assert (reason["from"], reason["to"]) == (severity.value, after.value)
        assert reason["value"] >= reason["threshold"]


@given(st.sampled_from(Severity), ANSWERS)
def test_escalation_is_the_documented_table(severity: Severity, answer: dict[str, Any]) -> None:
    reading = parse_reading(answer, 5.0)
    assert reading is not None
    if reading.metrics.get("crisis_level", 0) >= CRISIS:
        expected = Severity.CRITICAL
    elif reading.metrics.get("risk_acute_stress", 0) >= ACUTE_STRESS:
        expected = severity.raised()
    else:
        expected = severity
    assert escalate(severity, reading)[0] is expected


@given(ANSWERS)
def test_each_metric_is_believed_or_rejected_never_both(answer: dict[str, Any]) -> None:
    reading = parse_reading(answer, 5.0)
    assert reading is not None
    named = {"crisis_level" if name == "shrink_crisis_level" else name for name in answer}
    assert not reading.metrics.keys() & reading.rejected.keys()
    assert reading.metrics.keys() | reading.rejected.keys() == named & RANGES.keys()
    for metric, value in reading.metrics.items():
        low, high = RANGES[metric]
        assert math.isfinite(value)
        assert low <= value <= high
    assert all(reading.rejected.values())


@given(st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers()))
def test_what_is_no_object_is_no_reading(answer: object) -> None:
    assert parse_reading(answer, 5.0) is None


@given(ANSWERS)
def test_alerts_are_exactly_the_metrics_at_their_threshold(answer: dict[str, Any]) -> None:
    reading = parse_reading(answer, 5.0)
    assert reading is not None
    assert {alert["metric"] for alert in alerts(reading)} == {
        metric for metric, value in reading.metrics.items() if value >= ALERT_AT.get(metric, math.inf)
    }


@given(
    st.sampled_from(Severity),
    st.none() | ANSWERS,
    st.sampled_from([StreamName.L3_OUT, StreamName.L4_OUT]),
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3),
)
def test_fusing_keeps_the_event_and_says_what_was_done(
    severity: Severity, answer: dict[str, Any] | None, stream: StreamName, payload: dict[str, Any]
) -> None:
    event = create_event(16, 3, "NETWORK", severity, payload, event_id="f-1", ts=5.0)
    reading = None if answer is None else parse_reading(answer, 5.0)
    soc = fuse(event, stream, reading)
    assert soc == fuse(event, stream, reading)
    assert (soc.event_id, soc.original_severity, soc.payload) == (event.event_id, severity, payload)
    assert soc.severity >= severity
    assert (soc.shrink_metrics is None) == (reading is None)
    assert event.severity is severity
