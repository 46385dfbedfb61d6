"""How sure a finding is, and how several are taken together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from dsmil.events.model import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dsmil.events.model import Event

#: Confidence of a finding that states none.
BY_SEVERITY: Final = {Severity.LOW: 0.1, Severity.MEDIUM: 0.3, Severity.HIGH: 0.6, Severity.CRITICAL: 0.9}
#: Nothing is certain: one certain member would hide what all others say.
MOST: Final = 0.99
#: Seconds that an event may be ahead of its arrival; one that is further ahead has a wrong clock.
_AHEAD_S: Final = 300.0


def confidence(event: Event) -> float:
    """Return the confidence of one finding, 0-0.99."""
    return min(BY_SEVERITY[event.severity] if event.score is None else event.score, MOST)


def noisy_or(scores: Iterable[float]) -> float:
    """Return 1 - product of (1 - score): how likely one of several independent reasons holds; 0-1.

    Source: J. Pearl, Probabilistic Reasoning in Intelligent Systems, 1988, section 4.3.2.
    """
    # Sorted, because a product of floating point numbers depends on their order.
    return round(1.0 - math.prod(1.0 - score for score in sorted(scores)), 6)


def when(event: Event) -> float:
    """Return the event's time, Unix seconds: what a wrong clock puts into the future counts from its arrival."""
    return min(event.ts, event.ingest_ts + _AHEAD_S)


def rule_of(event: Event) -> tuple[str, str, str]:
    """Return detector, id and name of the rule that made a finding; empty where it does not say."""
    rule = event.payload.get("rule")
    named = rule if isinstance(rule, dict) else {}
    detector = event.payload.get("detector")
    name = named.get("name") or event.payload.get("label") or event.payload.get("alert") or ""
    return str(detector or event.source)[:200], str(named.get("id") or name)[:200], str(name)[:200]
