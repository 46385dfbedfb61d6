"""Waiting: growing pauses after trouble, and the entries that are to be tried again."""

from __future__ import annotations

import heapq
import itertools
import random
from typing import Final

from dsmil.infrastructure.entries import Entry

#: First and longest pause after trouble with the broker, seconds.
FIRST_S: Final = 0.1
LONGEST_S: Final = 5.0


def pause(failures: int, longest_s: float = LONGEST_S, draw: float | None = None) -> float:
    """Return the seconds to wait after the ``failures``-th failure in a row: doubling, half of it by chance.

    The chance keeps many clients from coming back to a restarted broker at the same instant.
    """
    full = float(min(FIRST_S * 2 ** min(failures - 1, 20), longest_s))
    return full / 2 + full / 2 * (random.random() if draw is None else draw)


class Waiting:
    """Entries that stay pending and are due again later."""

    def __init__(self) -> None:
        """Start empty."""
        self._heap: list[tuple[float, int, Entry, int, bool]] = []
        self._places: set[str] = set()
        self._serial = itertools.count()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._heap)

    def __contains__(self, place: str) -> bool:
        """Return whether the entry at ``STREAM/entry-id`` waits."""
        return place in self._places

    def add(self, due: float, entry: Entry, tries: int, *, failed: bool) -> None:
        """Let ``entry`` wait until ``due``; ``failed`` when its handling raised, not when it asked to wait."""
        self._places.add(entry.place)
        heapq.heappush(self._heap, (due, next(self._serial), entry, tries, failed))

    def pop_due(self, now: float) -> list[tuple[Entry, int, bool]]:
        """Return and forget the entries that are due: entry, tries so far, whether it failed."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            _, _, entry, tries, failed = heapq.heappop(self._heap)
            self._places.discard(entry.place)
            found.append((entry, tries, failed))
        return found

    def next_due(self) -> float | None:
        """Return when the next one is due, or None."""
        return self._heap[0][0] if self._heap else None

    def clear(self) -> None:
        """Forget all of them; they are still pending at the broker."""
        self._heap.clear()
        self._places.clear()
