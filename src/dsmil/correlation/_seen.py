"""The ids of the events handled last, so that one that comes again does not count again."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import Final

#: Ids remembered.
CAPACITY: Final = 20_000
_BYTES: Final = 8


class Seen:
    """Digests of event ids, oldest forgotten first."""

    def __init__(self) -> None:
        """Start without any."""
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def add(self, event_id: str) -> bool:
        """Note an event; return whether it is new."""
        digest = blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=_BYTES).digest()
        if digest in self._known:
            return False
        self._known[digest] = None
        if len(self._known) > CAPACITY:
            self._known.popitem(last=False)
        return True

    def kept(self) -> bytes:
        """Return all of them."""
        return b"".join(self._known)

    def recall(self, kept: bytes) -> None:
        """Take up those that were kept."""
        self._known = OrderedDict((kept[at : at + _BYTES], None) for at in range(0, len(kept), _BYTES))
