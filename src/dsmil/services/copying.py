"""What a batch of stream entries becomes in the hot store: rows, who spoke, and what is no event."""

from __future__ import annotations

import msgspec

from dsmil.errors import EventInvalid
from dsmil.events import codec
from dsmil.events.handling import Dead
from dsmil.events.model import Event
from dsmil.events.streams import EVENT_FIELD, StreamName
from dsmil.infrastructure.entries import Entry
from dsmil.infrastructure.rows import Row, raw_row, soc_row


class Copy(msgspec.Struct):
    """Rows and counts of one batch of one stream."""

    #: The last entry of the batch: the position once the rows are in.
    last_id: str
    #: Entries of the batch.
    entries: int
    raw: list[Row] = []
    soc: list[Row] = []
    rejected: list[tuple[Entry, Dead]] = []
    #: (source, device, layer) -> events.
    producers: dict[tuple[str, int, int], int] = {}


def copy(stream: StreamName, entries: list[Entry]) -> Copy:
    """Turn the entries of a stream into rows; what is no event is set aside with its cause."""
    made = Copy(last_id=entries[-1].entry_id, entries=len(entries))
    for entry in entries:
        try:
            made_of = _soc if stream is StreamName.SOC_EVENTS else _raw
            event = made_of(made, entry)
        except EventInvalid as exc:
            made.rejected.append((entry, Dead(exc.cause, exc.detail)))
        else:
            key = (event.source, event.source_device, event.source_layer)
            made.producers[key] = made.producers.get(key, 0) + 1
    return made


def _soc(made: Copy, entry: Entry) -> Event:
    event = codec.decode_soc((entry.fields or {}).get(EVENT_FIELD.encode(), b""))
    made.raw.append(raw_row(event))
    made.soc.append(soc_row(event, entry.entry_id))
    return event


def _raw(made: Copy, entry: Entry) -> Event:
    event = entry.event()
    made.raw.append(raw_row(event, entry.entry_id))
    return event
