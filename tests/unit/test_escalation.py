"""Severity escalation, exactly as documented."""

from __future__ import annotations

import math

import pytest

from dsmil.events.model import Severity
from dsmil.fusion.severity import ACUTE_STRESS, CRISIS, escalate
from dsmil.fusion.shrink import Reading

LOW, MEDIUM, HIGH, CRITICAL = Severity


def reading(**metrics: float) -> Reading:
    return Reading(metrics=metrics, rejected={}, ts=1.0)


def after(severity: Severity, **metrics: float) -> Severity:
    return escalate(severity, reading(**metrics))[0]


def test_the_documented_thresholds() -> None:
    assert (CRISIS, ACUTE_STRESS) == (0.8, 0.7)


@pytest.mark.parametrize("severity", Severity)
@pytest.mark.parametrize("crisis", [0.8, math.nextafter(0.8, 1), 0.95, 1.0])
def test_crisis_makes_everything_critical(severity: Severity, crisis: float) -> None:
    assert after(severity, crisis_level=crisis) is CRITICAL


@pytest.mark.parametrize("severity", Severity)
@pytest.mark.parametrize("crisis", [0.0, 0.7, 0.79, math.nextafter(0.8, 0)])
def test_below_the_crisis_threshold_nothing_happens(severity: Severity, crisis: float) -> None:
    assert escalate(severity, reading(crisis_level=crisis)) == (severity, ())


@pytest.mark.parametrize("stress", [0.7, math.nextafter(0.7, 1), 0.9, 1.0])
@pytest.mark.parametrize(
    ("severity", "raised"), [(LOW, MEDIUM), (MEDIUM, HIGH), (HIGH, CRITICAL), (CRITICAL, CRITICAL)]
)
def test_acute_stress_raises_by_one_level(severity: Severity, raised: Severity, stress: float) -> None:
    assert after(severity, risk_acute_stress=stress) is raised


@pytest.mark.parametrize("severity", Severity)
@pytest.mark.parametrize("stress", [0.0, 0.5, math.nextafter(0.7, 0)])
def test_below_the_stress_threshold_nothing_happens(severity: Severity, stress: float) -> None:
    assert escalate(severity, reading(risk_acute_stress=stress)) == (severity, ())


def test_crisis_wins_over_stress_and_is_the_only_reason() -> None:
    severity, reasons = escalate(LOW, reading(crisis_level=0.8, risk_acute_stress=0.7))
    assert severity is CRITICAL
    assert [reason["rule"] for reason in reasons] == ["shrink-crisis"]


def test_stress_counts_while_there_is_no_crisis() -> None:
    assert after(LOW, crisis_level=0.79, risk_acute_stress=0.7) is MEDIUM


def test_a_reading_without_the_crisis_metric_still_has_stress() -> None:
    assert after(MEDIUM, risk_acute_stress=0.9, entropy=1.0) is HIGH


@pytest.mark.parametrize("severity", Severity)
def test_no_reading_changes_nothing(severity: Severity) -> None:
    assert escalate(severity, None) == (severity, ())


@pytest.mark.parametrize("severity", Severity)
def test_other_metrics_do_not_escalate(severity: Severity) -> None:
    calm = reading(
        lbi_hyperfocus_density=1.0,
        sentiment_score=0.0,
        entropy=1.0,
        cognitive_load_index=1.0,
        emotional_intensity_score=1.0,
        linguistic_complexity_index=1.0,
        anomaly_score=99.0,
    )
    assert escalate(severity, calm) == (severity, ())
    assert escalate(severity, reading()) == (severity, ())


@pytest.mark.parametrize("metrics", [{"crisis_level": 1.0}, {"risk_acute_stress": 1.0}])
def test_what_is_critical_already_has_no_reason(metrics: dict[str, float]) -> None:
    assert escalate(CRITICAL, reading(**metrics)) == (CRITICAL, ())


def test_the_shape_of_a_crisis_reason() -> None:
    assert escalate(MEDIUM, reading(crisis_level=0.85))[1] == (
        {
            "rule": "shrink-crisis",
            "metric": "crisis_level",
            "value": 0.85,
            "threshold": 0.8,
            "from": "MEDIUM",
            "to": "CRITICAL",
        },
    )


def test_the_shape_of_a_stress_reason() -> None:
    assert escalate(LOW, reading(risk_acute_stress=0.75))[1] == (
        {
            "rule": "shrink-acute-stress",
            "metric": "risk_acute_stress",
            "value": 0.75,
            "threshold": 0.7,
            "from": "LOW",
            "to": "MEDIUM",
        },
    )
