"""How long a reader rests between two batches, so that a small load does not pay for a round trip an event."""

from __future__ import annotations

import math
from typing import Final

#: Below this many entries a second the load is small, and each batch is followed by a long rest.
_SMALL_PER_S: Final = 2000.0
#: The rate is that of about the last this many seconds.
_WINDOW_S: Final = 0.02
#: Above it, a batch of fewer entries than this is followed by the short rest.
_FEW: Final = 4
#: After a silence the rest begins with this share of the long one and doubles: a flood may have begun, which its
#: first entry does not tell. Who sends now and then costs no more by that, nothing being there to read.
_FIRST_SHARE: Final = 1 / 8
#: So many long rests without an entry are a silence.
_SILENCE: Final = 2


class Rate:
    """How fast entries come: an average whose weights fade exponentially, which begins as after a long silence."""

    def __init__(self) -> None:
        """Begin."""
        self._per_s = 0.0
        self._seen = -math.inf

    def note(self, entries: int, now: float) -> float:
        """Return the entries a second, having seen a batch at ``now``, a monotonic time in seconds."""
        elapsed = max(now - self._seen, 1e-9)
        self._seen = now
        self._per_s += (entries / elapsed - self._per_s) * -math.expm1(-elapsed / _WINDOW_S)
        return self._per_s


class Pace:
    """Rests of a reader whose events are waited for: up to the long one at a small load, hardly any above it."""

    def __init__(self, long_s: float, short_s: float) -> None:
        """``long_s`` is the rest at a small load, seconds; ``short_s`` that above it, after few entries."""
        self._long_s, self._short_s = long_s, short_s
        self._rate = Rate()
        self._next_s, self._seen = 0.0, -math.inf

    def rest_s(self, entries: int, most: int, now: float) -> float:
        """Return how long to rest after a batch, seconds; ``now`` is a monotonic time, seconds.

        Who comes alone is not kept waiting: the rest follows the batch. Behind one of ``most`` entries there is a
        queue, however slowly it is read: none then.
        """
        per_s = self._rate.note(entries, now)
        if now - self._seen > _SILENCE * self._long_s:
            self._next_s = self._long_s * _FIRST_SHARE
        self._seen = now
        if entries >= most:
            return 0.0
        if per_s < _SMALL_PER_S:
            rest_s, self._next_s = self._next_s, min(self._next_s * 2, self._long_s)
            return rest_s
        return self._short_s if entries < _FEW else 0.0


class Gathering:
    """Rests of a reader to whom batches are dear, not entries: as long as it takes some of them to come."""

    def __init__(self, entries: int, longest_s: float) -> None:
        """Let ``entries`` come together, but rest no longer than ``longest_s``, seconds."""
        self._entries, self._longest_s = entries, longest_s
        self._rate = Rate()

    def rest_s(self, entries: int, now: float) -> float:
        """Return how long after ``now``, when a batch of ``entries`` was there, to look for the next, seconds."""
        per_s = self._rate.note(entries, now)
        return min(self._entries / max(per_s, 1e-9), self._longest_s) if entries else 0.0
