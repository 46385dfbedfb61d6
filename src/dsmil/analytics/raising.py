"""When something that was said is said again: when it has become notably worse, and not before."""

from __future__ import annotations

from typing import Final

import msgspec

from dsmil.analytics.bounded import remember
from dsmil.analytics.signal import Signal
from dsmil.events.model import Severity

#: Matters that are remembered; beyond it the oldest could be said anew.
MAX_MATTERS: Final = 20_000
#: The measure must have grown by this factor: a matter that grows to a million times is said ten times more.
_GROWTH: Final = 4.0
#: Doubt below which there is none left to halve: from here on only severity and measure count.
_CERTAIN: Final = 0.05


class Said(msgspec.Struct, gc=False):
    """What was last said of one matter."""

    #: Event time of its first saying, which its correlation id is made of.
    since: float
    #: Event time of the newest record known then.
    until: float
    score: float
    measure: float
    severity: Severity
    revision: int


def raised(said: dict[str, Said], signal: Signal, name: str, forgets_s: float) -> Said | None:
    """Return what is to be said now, and keep it; None when it adds nothing to what was said.

    Worse is: doubt (1 - score) has halved, severity has risen, or the measure has grown to four times. A matter
    that was silent for ``forgets_s`` of event time is a new one.
    """
    key = f"{name}\n{signal.key}"
    old = said.get(key)
    if old is None or signal.ts - old.until > forgets_s:
        # As floats: packed and unpacked they must be the same bytes.
        new = Said(signal.ts, signal.ts, float(signal.score), float(signal.measure), signal.severity, 1)
        remember(said, key, new, MAX_MATTERS)
        return new
    old.until = max(signal.ts, old.until)
    remember(said, key, old, MAX_MATTERS)
    halved = old.score < 1 - _CERTAIN and 1 - signal.score <= (1 - old.score) / 2
    if not (halved or signal.severity > old.severity or signal.measure >= _GROWTH * old.measure):
        return None
    old.score, old.measure = max(float(signal.score), old.score), max(float(signal.measure), old.measure)
    old.severity, old.revision = max(signal.severity, old.severity), old.revision + 1
    return old
