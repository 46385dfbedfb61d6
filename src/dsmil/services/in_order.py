"""Entries of several streams in one order: that of their ids, which are times of one broker.

A service that remembers must see the same order when it reads again, and a stream with a long queue must not run
ahead of the others because another has one too.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dsmil.events.streams import StreamName
    from dsmil.infrastructure.entries import Entry

Order = tuple[tuple[int, int], int]
_END: Final[Order] = ((1 << 64, 0), 0)


class InOrder:
    """Holds back what was read ahead of the other streams."""

    def __init__(self, streams: Sequence[StreamName]) -> None:
        """Take the streams; at the same instant the one named first comes first."""
        self._rank = {stream: rank for rank, stream in enumerate(streams)}
        self._held: dict[StreamName, deque[Entry]] = {stream: deque() for stream in streams}

    def key(self, entry: Entry) -> Order:
        """Return the place of an entry in the order."""
        return entry.order, self._rank[entry.stream]

    def wanted(self) -> list[StreamName]:
        """Return the streams to read next: those of which nothing is held, or all."""
        return [stream for stream, held in self._held.items() if not held] or list(self._held)

    @property
    def waits(self) -> bool:
        """Whether anything is held back."""
        return any(self._held.values())

    def held(self, stream: StreamName) -> int:
        """Return how many entries of a stream are held back."""
        return len(self._held[stream])

    def newest(self, stream: StreamName) -> str:
        """Return the id of the last entry of a stream that is held back; nothing when none is."""
        held = self._held[stream]
        return held[-1].entry_id if held else ""

    def hold(self, entry: Entry) -> None:
        """Hold an entry back that was read earlier."""
        self._held[entry.stream].append(entry)

    def holds(self, entry: Entry) -> bool:
        """Return whether an entry is held back."""
        return any(one.entry_id == entry.entry_id for one in self._held[entry.stream])

    def release(self, entries: Iterable[Entry], count: int, now_ms: int = 0) -> list[Entry]:
        """Take what was read, up to ``count`` of each wanted stream; return what can be handled now.

        The newest millisecond waits until a read has found nothing: another stream may get an entry in it yet.
        Not when it was over by ``now_ms``, the broker's time before the read: a long queue need not wait.
        """
        # A stream that was not read, or filled its share, may have more right behind what we have of it.
        unread = set(self._held).difference(self.wanted())
        found = False
        for entry in entries:
            self._held[entry.stream].append(entry)
            found = True
        holding = {stream: held for stream, held in self._held.items() if held}
        newest = {stream: self.key(held[-1]) for stream, held in holding.items()}
        frontier = _END
        for stream, held in holding.items():
            if stream in unread or len(held) >= count:
                frontier = min(frontier, newest[stream])
        if found and len(self._held) > 1:
            open_ms = max(now_ms, *(order[0][0] for order in newest.values()))
            frontier = min(frontier, ((open_ms, -1), 0))
        out: list[Entry] = []
        for stream, held in holding.items():
            if newest[stream] <= frontier:
                out += held
                held.clear()
            while held and self.key(held[0]) <= frontier:
                out.append(held.popleft())
        return sorted(out, key=self.key) if len(holding) > 1 else out
