"""Stream entries as they lie at the broker, every field of them.

The client library folds the fields of an entry into a dictionary and keeps the last of two equal names. A stream
keeps both, and taking the last would turn CRITICAL into LOW; so entries are read here from the plain reply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import redis

from dsmil.errors import EventInvalid
from dsmil.events import codec
from dsmil.events.handling import Delivery
from dsmil.events.streams import EVENT_FIELD, StreamName

if TYPE_CHECKING:
    from dsmil.events.model import Event

_EVENT: Final = EVENT_FIELD.encode()
_READING: Final = ("XREAD", "XREADGROUP", "XRANGE", "XREVRANGE", "XAUTOCLAIM")


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One stream entry. ``fields`` is None when it was trimmed while it was pending."""

    stream: StreamName
    entry_id: str
    fields: dict[bytes, bytes] | None
    #: Names of fields that the entry has more than once; ``fields`` holds the last of each.
    repeated: tuple[bytes, ...] = ()

    @property
    def place(self) -> str:
        """``STREAM/entry-id``."""
        return f"{self.stream}/{self.entry_id}"

    @property
    def order(self) -> tuple[int, int]:
        """Sort key within the stream."""
        return id_order(self.entry_id)

    def event(self, max_bytes: int = codec.MAX_EVENT_BYTES) -> Event:
        """Return the event it holds; raises EventInvalid when it holds none."""
        if self.repeated:
            names = ", ".join(name.decode(errors="replace") for name in self.repeated)
            raise EventInvalid("duplicate_key", f"the entry has these fields more than once: {names}")
        fallback = codec.Fallback(self.place, id_order(self.entry_id)[0] / 1000)
        return codec.decode_entry(self.fields or {}, max_bytes=max_bytes, fallback=fallback)

    def delivery(self) -> Delivery:
        """Return the event it holds for a service; raises EventInvalid when it holds none."""
        fields = self.fields or {}
        wire = fields.get(_EVENT, b"") if len(fields) == 1 else b""
        event = codec.decode_wire(wire) if wire and not self.repeated else None
        if event is None:
            return Delivery(stream=self.stream, entry_id=self.entry_id, event=self.event())
        return Delivery(stream=self.stream, entry_id=self.entry_id, event=event, wire=wire)


def id_order(entry_id: str) -> tuple[int, int]:
    """Return the sort key of an entry id."""
    ms, _, sequence = entry_id.partition("-")
    return int(ms), int(sequence or 0)


def reading_client(client: redis.Redis) -> redis.Redis:
    """Return a client on the same connections whose stream replies stay as the server sent them."""
    reader = redis.Redis(connection_pool=client.connection_pool)
    for command in _READING:
        reader.set_response_callback(command, _as_sent)
    return reader


def _as_sent(reply: Any, **_options: Any) -> Any:  # noqa: ANN401 - any reply
    return reply


def entries_of(stream: StreamName, rows: Any) -> list[Entry]:  # noqa: ANN401 - a plain reply
    """Return the entries of a plain reply: [[id, [name, value, ...]], ...]."""
    # One field is the usual case, and each entry of a busy stream goes through here.
    return [
        Entry(stream, row[0].decode(), {row[1][0]: row[1][1]})
        if row[1] and len(row[1]) == 2  # noqa: PLR2004 - a name and a value
        else _entry(stream, row[0].decode(), row[1])
        for row in rows
        if row is not None
    ]


def streams_of(reply: Any) -> list[tuple[StreamName, list[Entry]]]:  # noqa: ANN401 - a plain reply
    """Return the entries of a plain reply of several streams: [[stream, rows], ...]."""
    found = []
    for name, rows in reply or ():
        stream = StreamName(name.decode())
        found.append((stream, entries_of(stream, rows)))
    return found


def _entry(stream: StreamName, entry_id: str, flat: list[bytes] | None) -> Entry:
    if not flat:
        return Entry(stream, entry_id, None)
    names = flat[::2]
    fields = dict(zip(names, flat[1::2], strict=True))
    if len(fields) == len(names):
        return Entry(stream, entry_id, fields)
    return Entry(stream, entry_id, fields, tuple(sorted({name for name in names if names.count(name) > 1})))
