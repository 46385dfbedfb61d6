"""Reading a whole file with a feed, without a broker: what tests of feeds need."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from dsmil.errors import EventInvalid
from dsmil.events import codec
from dsmil.events.model import Event
from dsmil.sources._feed import Reader
from dsmil.sources._files import RecordFile

if TYPE_CHECKING:
    from pathlib import Path

    from dsmil.sources._feed import RawRecord, Source

#: Arrival time of all events, Unix seconds.
ARRIVAL: float = 1_800_000_000.5


class Reading(msgspec.Struct):
    """What a feed made of a file."""

    events: list[Event] = []
    #: Cause -> how many records.
    dead: Counter[str] = msgspec.field(default_factory=Counter)
    #: ``file:line`` of the dead ones.
    dead_places: list[str] = []
    #: Last records that are still being written.
    partial: int = 0
    #: What could not be read to its end, in words.
    problem: str = ""


def read_file(source: Source, path: Path) -> Reading:
    """Read a file as ``dsmil ingest`` does; each event is also written and read back in its wire form."""
    reading, reader = Reading(), Reader(source)
    file = RecordFile(str(path), json_array=source.json_array, array_key=source.array_key, trims=source.trims)

    def take(record: RawRecord, *, still_written: bool) -> None:
        try:
            event = reader.event(record, ARRIVAL)
            codec.decode(codec.encode_bounded(event))
        except EventInvalid as exc:
            if still_written:
                reading.partial += 1
                return
            reading.dead[exc.cause] += 1
            reading.dead_places.append(record.place)
        else:
            reading.events.append(event)

    for line in file:
        for record in reader.records(line):
            take(record, still_written=line is file.partial)
    for record in reader.rest():
        take(record, still_written=file.partial is not None)
    reading.problem = file.problem
    return reading
