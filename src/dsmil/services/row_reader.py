"""Reading streams behind given places, as rows of the hot store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from dsmil.events.streams import StreamName
from dsmil.infrastructure.connection import translated
from dsmil.infrastructure.entries import reading_client, streams_of
from dsmil.services.copying import Copy, copy
from dsmil.services.pace import Gathering

if TYPE_CHECKING:
    import redis

#: Entries of a stream taken at once.
BATCH: Final = 1000
_SLICE_MS: Final = 1000
#: So many entries come together, for at most so many seconds: else each would pay for a transaction. Who waits for
#: rows waits that much longer. More of them at once would take a core from the router for long.
_TOGETHER: Final = (25, 0.1)

#: Stream -> id of the last entry that was taken.
Places = Mapping[StreamName, str]


class RowReader:
    """Reads what comes, and knows when it is worth reading again."""

    def __init__(self, client: redis.Redis) -> None:
        """Read by a client of which no other thread makes use while a read blocks."""
        self._reading = reading_client(client)
        self._gathering = Gathering(*_TOGETHER)
        self._due = 0.0

    def read(self, places: Places, *, wait: bool) -> list[Copy]:
        """Return the rows of what comes behind ``places``, for each stream that has something.

        ``wait`` is for the first entry, for a second at most. Raises Unavailable.
        """
        after = {stream.value: place for stream, place in places.items()}
        with translated("reading for the store"):
            reply: Any = self._reading.xread(cast("Any", after), count=BATCH, block=_SLICE_MS if wait else None)
        now = time.monotonic()
        found = streams_of(reply)
        self._due = now + self._gathering.rest_s(sum(len(entries) for _, entries in found), now)
        return [copy(stream, entries) for stream, entries in found]

    def rest_s(self) -> float:
        """Return for how many seconds yet entries are better left to come together."""
        return max(self._due - time.monotonic(), 0.0)


def full(copies: list[Copy]) -> list[Copy]:
    """Return those that are as large as any may be, so that more is waiting behind them."""
    return [made for made in copies if made.entries >= BATCH]
