"""Events of lines that come over a network: whose line it is enters the id, its place in a file cannot."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, ClassVar, Final

from dsmil.events import ids
from dsmil.sources._feed import Reader

if TYPE_CHECKING:
    from dsmil.sources._feed import RawRecord, Source

_SECONDS: Final = struct.Struct(">d")


class Arrivals(Reader):
    """Reads the lines of many senders by one feed.

    A line's id is made from feed, sender, event time, bytes, and its ordinal among identical lines of the sender's
    session. A session lasts from a sender's first connection until its last one is closed: whoever connects anew
    and sends again what it cannot know to have arrived adds nothing. A line that does not say when it happened is
    told apart by when it came, so that the same text tomorrow is another event. A time without a year is dated by
    its arrival first.
    """

    dates_ids: ClassVar[bool] = True

    def __init__(self, source: Source) -> None:
        """Begin without any session."""
        super().__init__(source)
        self._whose, self._session = b"", b""

    def turn_to(self, sender: str, session: int) -> None:
        """Say whose lines come next: ``sender`` enters their ids, ``session`` only counts its identical lines."""
        names = (part.encode() for part in (self._source.name, sender))
        # Length first: no other names make the same bytes.
        self._whose = b"arrival" + b"".join(len(name).to_bytes(4) + name for name in names)
        self._session = session.to_bytes(8)

    def number(self, record: RawRecord) -> int:  # noqa: ARG002 - as the base has it
        """Return nothing yet: lines are identical only when they happened at the same time, too."""
        return 0

    def identify(self, raw: bytes, ts: float | None, ingest_ts: float, ordinal: int) -> str:
        """Return the id of a line of the sender turned to."""
        when = ingest_ts if ts is None else ts
        digest = ids.digest(self._whose + _SECONDS.pack(when) + raw)
        ordinal = self._count(self._session + digest)
        return ids.derived_id(when, digest, str(ordinal)) if ordinal else ids.derived_id(when, digest)
