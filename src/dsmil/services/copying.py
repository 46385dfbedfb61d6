"""What a batch of stream entries becomes in the hot store: rows, who spoke, and what is no event."""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from dsmil.errors import EventInvalid
from dsmil.events import codec
from dsmil.events.handling import Dead
from dsmil.events.streams import EVENT_FIELD, StreamName
from dsmil.infrastructure.entries import Entry
from dsmil.infrastructure.rows import Row, raw_row, soc_row
from dsmil.infrastructure.wire_rows import rows_of_wire

_EVENT: Final = EVENT_FIELD.encode()
#: Places in a row of the raw table.
_DEVICE, _LAYER, _SOURCE = 2, 3, 4


class Copy(msgspec.Struct):
    """Rows and counts of one batch of one stream."""

    stream: StreamName
    #: The last entry of the batch: the position once the rows are in.
    last_id: str
    #: Entries of the batch.
    entries: int
    raw: list[Row] = []
    soc: list[Row] = []
    rejected: list[tuple[Entry, Dead]] = []
    #: (source, device, layer) -> events.
    producers: Counter[tuple[str, int, int]] = msgspec.field(default_factory=Counter)


def copy(stream: StreamName, entries: list[Entry]) -> Copy:
    """Turn the entries of a stream into rows; what is no event is set aside with its cause."""
    made = Copy(stream=stream, last_id=entries[-1].entry_id, entries=len(entries))
    soc = stream is StreamName.SOC_EVENTS
    for entry in entries:
        try:
            raw_columns, soc_columns = _soc(entry) if soc else (raw_row(entry.event(), entry.entry_id), None)
        except EventInvalid as exc:
            made.rejected.append((entry, Dead(exc.cause, exc.detail)))
        else:
            made.raw.append(raw_columns)
            if soc_columns is not None:
                made.soc.append(soc_columns)
    made.producers = Counter([(row[_SOURCE], row[_DEVICE], row[_LAYER]) for row in made.raw])
    return made


def _soc(entry: Entry) -> tuple[Row, Row]:
    wire = (entry.fields or {}).get(_EVENT, b"")
    rows = rows_of_wire(wire, entry.entry_id)
    if rows is None:
        event = codec.decode_soc(wire)
        rows = raw_row(event), soc_row(event, entry.entry_id)
    return rows
