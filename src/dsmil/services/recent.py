"""The window in which producer duplicates are recognised."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

CAPACITY: Final = 50_000


class RecentIds(set[str]):
    """The event ids settled last; bounded, oldest forgotten first."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        """Remember at most ``capacity`` ids."""
        super().__init__()
        self._capacity = capacity
        self._order: deque[str] = deque()

    def remember(self, event_ids: Iterable[str]) -> None:
        """Remember ids. Only once they are settled: one that still may be retried is no duplicate."""
        fresh = [event_id for event_id in dict.fromkeys(event_ids) if event_id not in self]
        self.update(fresh)
        self._order.extend(fresh)
        while len(self._order) > self._capacity:
            self.discard(self._order.popleft())

    def forget(self) -> None:
        """Forget all of them."""
        self.clear()
        self._order.clear()
