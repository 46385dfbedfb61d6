"""The window in which producer duplicates are recognised."""

from __future__ import annotations

from typing import Final

CAPACITY: Final = 50_000


class RecentIds:
    """The event ids settled last; bounded, oldest forgotten first."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        """Remember at most ``capacity`` ids."""
        self._capacity = capacity
        self._ids: dict[str, None] = {}

    def __contains__(self, event_id: str) -> bool:
        """Return whether the id was settled lately."""
        return event_id in self._ids

    def add(self, event_id: str) -> None:
        """Remember an id. Only once it is settled: one that still may be retried is no duplicate."""
        self._ids[event_id] = None
        if len(self._ids) > self._capacity:
            del self._ids[next(iter(self._ids))]
