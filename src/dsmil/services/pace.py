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


class Pace:
    """Knows how fast entries come, by an average whose weights fade exponentially."""

    def __init__(self, long_s: float, short_s: float) -> None:
        """Begin as after a long silence; ``long_s`` is the rest at a small load, seconds.

        ``short_s`` is that above it, after batches of few entries.
        """
        self._long_s, self._short_s = long_s, short_s
        self._per_s = 0.0
        self._seen = -math.inf

    def rest_s(self, entries: int, most: int, now: float) -> float:
        """Return how long to rest after a batch, seconds; ``now`` is a monotonic time, seconds.

        Who comes alone is not kept waiting: the rest follows the batch. Behind one of ``most`` entries there is a
        queue, however slowly it is read: none then.
        """
        elapsed = max(now - self._seen, 1e-9)
        self._seen = now
        self._per_s += (entries / elapsed - self._per_s) * -math.expm1(-elapsed / _WINDOW_S)
        if entries >= most:
            return 0.0
        if self._per_s < _SMALL_PER_S:
            return self._long_s
        return self._short_s if entries < _FEW else 0.0
