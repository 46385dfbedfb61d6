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

    def hold(self, entry: Entry) -> None:
        """Hold an entry back that was read earlier."""
        self._held[entry.stream].append(entry)

    def holds(self, entry: Entry) -> bool:
        """Return whether an entry is held back."""
        return any(one.entry_id == entry.entry_id for one in self._held[entry.stream])

    def release(self, entries: Iterable[Entry], count: int) -> list[Entry]:
        """Take what was read, up to ``count`` of each wanted stream; return what can be handled now.

        The newest millisecond waits until a read has found nothing: another stream may get an entry in it yet.
        """
        entries = list(entries)
        # A stream that was not read, or filled its share, may have more right behind what we have of it.
        unread = set(self._held).difference(self.wanted())
        for entry in entries:
            self._held[entry.stream].append(entry)
        frontier = _END
        for stream, held in self._held.items():
            if held and (stream in unread or len(held) >= count):
                frontier = min(frontier, self.key(held[-1]))
        if entries and len(self._held) > 1:
            frontier = min(frontier, ((max(entry.order[0] for entry in entries), -1), 0))
        out: list[Entry] = []
        for held in self._held.values():
            while held and self.key(held[0]) <= frontier:
                out.append(held.popleft())
        return sorted(out, key=self.key)
