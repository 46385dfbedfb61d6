"""The bounded space between the sockets and the broker: when it is full, nothing more is read."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from dsmil.sources._frames import Bad

if TYPE_CHECKING:
    from collections.abc import Callable

#: Most bytes of messages that wait for the broker, by default.
MAX_WAITING: Final = 32 * 1024 * 1024
#: What a message costs beside its bytes: noise of short lines must not cost more memory than it counts.
_OVERHEAD: Final = 64
#: Reading goes on when this share of the space is taken at most.
_REOPEN: Final = 0.5


class Chunk(msgspec.Struct, frozen=True):
    """Messages that one sender sent at once."""

    #: Whose they are: an address, or ``local``. It enters the ids.
    sender: str
    #: Which session of the sender.
    session: int
    #: ``tcp://10.0.0.5:51344``: with the number of the message, the place of a record.
    place: str
    #: Number of the first of them.
    first: int
    lines: list[bytes]
    #: What was no message; these come after the lines.
    bad: list[Bad]
    #: When they were received, Unix seconds.
    at: float

    @property
    def records(self) -> int:
        """How many records they are."""
        return len(self.lines) + len(self.bad)

    @property
    def weight(self) -> int:
        """Bytes of memory, roughly."""
        found = sum(map(len, self.lines)) + sum(len(bad.head) for bad in self.bad)
        return found + _OVERHEAD * (self.records + 1)


class Intake:
    """Chunks on their way from the thread that reads to the thread that publishes."""

    def __init__(self, max_bytes: int, on_full: Callable[[], None], on_room: Callable[[], None]) -> None:
        """``on_full`` is called by the thread that puts, ``on_room`` by the one that takes."""
        self._max = max_bytes
        self._on_full, self._on_room = on_full, on_room
        self._chunks: deque[Chunk] = deque()
        self._weight = 0
        self._full = False
        self._changed = threading.Condition()

    @property
    def full(self) -> bool:
        """Whether nothing more is to be read."""
        return self._full

    @property
    def weight(self) -> int:
        """Bytes that wait, those being published included."""
        return self._weight

    def put(self, chunk: Chunk) -> None:
        """Add a chunk. What was read is never refused: the reader stops reading instead."""
        with self._changed:
            self._chunks.append(chunk)
            self._weight += chunk.weight
            turned_full = not self._full and self._weight >= self._max
            self._full = self._full or turned_full
            self._changed.notify()
        if turned_full:
            self._on_full()

    def take(self, most: int, wait_s: float) -> list[Chunk]:
        """Return chunks of about ``most`` records, waiting for the first; :meth:`done` gives their room back."""
        taken: list[Chunk] = []
        with self._changed:
            if not self._chunks:
                self._changed.wait(wait_s)
            while self._chunks and most > 0:
                taken.append(self._chunks.popleft())
                most -= taken[-1].records
        return taken

    def done(self, chunks: list[Chunk]) -> None:
        """Give back the room of chunks that the broker has."""
        with self._changed:
            self._weight -= sum(chunk.weight for chunk in chunks)
            has_room = self._full and self._weight <= self._max * _REOPEN
            self._full = self._full and not has_room
        if has_room:
            self._on_room()
