"""Entries as events, each decoded once for all services of a process that read it at about the same time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dsmil.events.handling import Delivery
    from dsmil.events.streams import StreamName
    from dsmil.infrastructure.entries import Entry

#: Bytes of entries that are remembered; as objects they take some times as much.
_MOST_BYTES: Final = 2 * 1024 * 1024
#: What an entry counts beside its bytes: many tiny ones must not take more memory than they count.
_OVERHEAD: Final = 256

_Fields = dict[bytes, bytes]


class Deliveries:
    """Remembers the entries decoded last. An event is never edited, so that many may hold it."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        """Remember entries of so many bytes, oldest forgotten first."""
        self._most = most_bytes
        self._bytes = 0
        self._known: OrderedDict[tuple[StreamName, str], tuple[_Fields, Delivery]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, entry: Entry) -> Delivery:
        """Return an entry as an event; raises EventInvalid when it holds none."""
        fields = entry.fields
        if fields is None or entry.repeated:
            return entry.delivery()
        place = entry.stream, entry.entry_id
        known = self._known.get(place)
        # The same place may hold something else: the broker was flushed, and counts its entries anew.
        if known is not None and known[0] == fields:
            return known[1]
        delivery = entry.delivery()
        with self._lock:
            self._forget(place)
            self._known[place] = fields, delivery
            self._bytes += _size(fields)
            while self._bytes > self._most:
                self._forget(next(iter(self._known)))
        return delivery

    def _forget(self, place: tuple[StreamName, str]) -> None:
        known = self._known.pop(place, None)
        if known is not None:
            self._bytes -= _size(known[0])


def _size(fields: _Fields) -> int:
    return sum(map(len, fields.values())) + _OVERHEAD
