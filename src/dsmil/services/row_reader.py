"""Reading streams behind given places, as rows of the hot store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from dsmil.events.streams import StreamName
from dsmil.infrastructure.connection import translated
from dsmil.infrastructure.entries import streams_of
from dsmil.infrastructure.packed import Line, argument
from dsmil.services.copying import Copy, copy
from dsmil.services.pace import Gathering

if TYPE_CHECKING:
    import redis

#: Entries of a stream taken at once.
BATCH: Final = 1000
#: Longest wait for entries: store and broker are looked at, and old rows deleted, every other time.
_SLICE_MS: Final = 2500
#: So many entries come together, for at most so many seconds: else each would pay for a transaction. Who waits for
#: rows waits that much longer. More of them at once would take a core from the router for long.
_TOGETHER: Final = (25, 0.1)

#: Stream -> id of the last entry that was taken.
Places = Mapping[StreamName, str]


class RowReader:
    """Reads what comes, and knows when it is worth reading again."""

    def __init__(self, client: redis.Redis, poll_timeout_ms: int) -> None:
        """Take connections from the pool of ``client``, which waits for answers that much longer."""
        self._line = Line(client)
        self._block_ms = min(_SLICE_MS, poll_timeout_ms)
        self._gathering = Gathering(*_TOGETHER)
        self._due = 0.0

    def read(self, places: Places, *, wait: bool) -> list[Copy]:
        """Return the rows of what comes behind ``places``, for each stream that has something.

        ``wait`` is for the first entry, for some seconds at most. Raises Unavailable.
        """
        waiting = ("BLOCK", str(self._block_ms)) if wait else ()
        words = ("XREAD", "COUNT", str(BATCH), *waiting, "STREAMS", *(s.value for s in places), *places.values())
        with translated("reading for the store"):
            self._line.send((map(argument, words), len(words)))
            reply = self._line.wait() if wait else self._line.read()
        now = time.monotonic()
        found = streams_of(reply)
        self._due = now + self._gathering.rest_s(sum(len(entries) for _, entries in found), now)
        return [copy(stream, entries) for stream, entries in found]

    def wake(self) -> None:
        """End the wait for entries, now and from now on; called from another thread."""
        self._line.wake()

    def forget(self) -> None:
        """Drop the connection."""
        self._line.drop()

    def rest_s(self) -> float:
        """Return for how many seconds yet entries are better left to come together."""
        return max(self._due - time.monotonic(), 0.0)


def full(copies: list[Copy]) -> list[Copy]:
    """Return those that are as large as any may be, so that more is waiting behind them."""
    return [made for made in copies if made.entries >= BATCH]
