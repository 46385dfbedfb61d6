"""Severity escalation by operator state, as documented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dsmil.events.model import Severity

if TYPE_CHECKING:
    from dsmil.fusion.shrink import Reading

#: From this ``crisis_level`` on, everything is CRITICAL.
CRISIS: Final = 0.8
#: From this ``risk_acute_stress`` on, severity goes up one level.
ACUTE_STRESS: Final = 0.7


def escalate(severity: Severity, reading: Reading | None) -> tuple[Severity, tuple[dict[str, Any], ...]]:
    """Return the severity after escalation, and the reasons: one per rule that changed it.

    No reading means no change; crisis wins over stress; nothing ever lowers a severity.
    """
    if reading is None:
        return severity, ()
    crisis = reading.metrics.get("crisis_level")
    stress = reading.metrics.get("risk_acute_stress")
    if crisis is not None and crisis >= CRISIS:
        raised = Severity.CRITICAL
        reason = _reason("crisis_level", crisis, CRISIS, severity, raised)
    elif stress is not None and stress >= ACUTE_STRESS:
        raised = severity.raised()
        reason = _reason("risk_acute_stress", stress, ACUTE_STRESS, severity, raised)
    else:
        return severity, ()
    return raised, (reason,) if raised != severity else ()


def _reason(metric: str, value: float, threshold: float, before: Severity, after: Severity) -> dict[str, Any]:
    rule = "shrink-crisis" if metric == "crisis_level" else "shrink-acute-stress"
    return {
        "rule": rule,
        "metric": metric,
        "value": value,
        "threshold": threshold,
        "from": before.value,
        "to": after.value,
    }
