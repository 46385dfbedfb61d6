"""What a group has been given already, read again from the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import redis

from dsmil.infrastructure.connection import translated
from dsmil.infrastructure.entries import Entry, entries_of, id_order, reading_client

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dsmil.events.streams import StreamName

_PAGE: Final = 500
START: Final = "0-0"


class Reach(msgspec.Struct, frozen=True):
    """How far a group has come in a stream."""

    #: Last entry that was given to any of its consumers.
    last_id: str = START
    #: How many entries that makes since the stream began; -1 when the broker cannot tell.
    read: int = -1


class History:
    """The past of one group."""

    def __init__(self, client: redis.Redis, group: str) -> None:
        """Bind to a client that no other thread uses."""
        self._client = client
        self._reading = reading_client(client)
        self._group = group

    def reach(self, stream: StreamName) -> Reach:
        """Return how far the group has come; at the start when there is no such group."""
        with translated(f"asking how far {self._group} has come in {stream}"):
            try:
                groups: Any = self._client.xinfo_groups(stream)
            except redis.ResponseError as exc:
                if "no such key" in str(exc):
                    return Reach()
                raise
        for row in groups:
            if row["name"] == self._group.encode():
                read = row.get("entries-read")
                return Reach(row["last-delivered-id"].decode(), -1 if read is None else int(read))
        return Reach()

    def pending(self, stream: StreamName) -> dict[str, str]:
        """Return the entries that were given out and are not settled: entry id -> consumer."""
        found: dict[str, str] = {}
        first = "-"
        while True:
            with translated(f"asking what {self._group} holds of {stream}"):
                rows: Any = self._client.xpending_range(stream, self._group, first, "+", _PAGE)
            found.update((row["message_id"].decode(), row["consumer"].decode()) for row in rows)
            if len(rows) < _PAGE:
                return found
            first = f"({rows[-1]['message_id'].decode()}"

    def entries(self, stream: StreamName, after: str, last: str) -> Iterator[Entry]:
        """Yield the entries behind ``after``, up to and with ``last``, as far as they are still there."""
        while id_order(after) < id_order(last):
            with translated(f"reading {stream} again"):
                rows: Any = self._reading.xrange(stream, f"({after}", last, count=_PAGE)
            page: Sequence[Entry] = entries_of(stream, rows)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].entry_id

    def has(self, stream: StreamName, entry_id: str) -> bool:
        """Return whether an entry is there: neither trimmed nor lost."""
        with translated(f"looking for {stream}/{entry_id}"):
            found: Any = self._reading.xrange(stream, entry_id, entry_id, count=1)
        return bool(found)

    def following(self, stream: StreamName, after: str) -> Entry | None:
        """Return the first entry behind ``after``; None when there is none yet."""
        with translated(f"looking ahead in {stream}"):
            rows: Any = self._reading.xrange(stream, f"({after}", "+", count=1)
        found = entries_of(stream, rows)
        return found[0] if found else None
