"""Operator state as a reading: which metrics count, in which range, and when they are worth an alert."""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

#: Metric -> (lowest, highest) accepted value.
RANGES: Final[dict[str, tuple[float, float]]] = {
    "risk_acute_stress": (0.0, 1.0),
    "crisis_level": (0.0, 1.0),
    "lbi_hyperfocus_density": (0.0, 1.0),
    "sentiment_score": (0.0, 1.0),
    "entropy": (0.0, 1.0),
    "cognitive_load_index": (0.0, 1.0),
    "emotional_intensity_score": (0.0, 1.0),
    "linguistic_complexity_index": (0.0, 1.0),
    "anomaly_score": (-math.inf, math.inf),
}
#: Metric -> value from which it is an alert of its own.
ALERT_AT: Final[dict[str, float]] = {
    "risk_acute_stress": 0.7,
    "crisis_level": 0.8,
    "lbi_hyperfocus_density": 0.8,
    "cognitive_load_index": 0.75,
    "emotional_intensity_score": 0.8,
    "linguistic_complexity_index": 0.7,
    "anomaly_score": 3.0,
}
_OTHER_NAMES: Final = {"shrink_crisis_level": "crisis_level"}


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of SHRINK, reduced to what may be believed."""

    #: Metrics that are finite and in range.
    metrics: dict[str, float]
    #: Metrics that were not, and why: these count as not read.
    rejected: dict[str, str]
    #: When it was taken, Unix seconds.
    ts: float
    #: Seconds since then, filled in when the reading is used.
    age_s: float = 0.0
    #: Whether the values were played back from a recording.
    recorded: bool = False

    def snapshot(self) -> dict[str, Any]:
        """Return what a SOC event keeps of the reading it was judged by."""
        kept: dict[str, Any] = {**self.metrics, "ts": self.ts, "age_s": round(self.age_s, 3)}
        if self.rejected:
            kept["rejected"] = self.rejected
        if self.recorded:
            kept["recorded"] = True
        return kept


def parse_reading(document: object, ts: float) -> Reading | None:
    """Return the reading that SHRINK's answer is, or None when it is no object.

    A metric that is missing, not a number, not finite or out of range is no reading of that metric.
    """
    if not isinstance(document, dict):
        return None
    metrics: dict[str, float] = {}
    rejected: dict[str, str] = {}
    for name, value in document.items():
        metric = _OTHER_NAMES.get(name, name)
        if metric not in RANGES or (metric != name and metric in document):
            continue
        low, high = RANGES[metric]
        if isinstance(value, bool) or not isinstance(value, int | float):
            rejected[metric] = f"{type(value).__name__} is not a number"
        else:
            number = _double(value)
            if not math.isfinite(number):
                rejected[metric] = "not finite"
            elif not low <= number <= high:
                rejected[metric] = f"{value} is outside {low:g}-{high:g}"
            else:
                metrics[metric] = number
    return Reading(metrics=metrics, rejected=rejected, ts=ts, recorded=document.get("recorded") is True)


def _double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond any double
        return math.inf


def alerts(reading: Reading) -> list[dict[str, Any]]:
    """Return an alert {id, ts, metric, value, threshold, severity} for each metric at its threshold."""
    return [
        {
            "id": f"{metric}:{reading.ts:.3f}",
            "ts": reading.ts,
            "metric": metric,
            "value": reading.metrics[metric],
            "threshold": threshold,
            "severity": "CRITICAL" if metric == "crisis_level" else "HIGH",
        }
        for metric, threshold in ALERT_AT.items()
        if reading.metrics.get(metric, -math.inf) >= threshold
    ]
