"""Putting dead letters back where they came from, under the ids they had."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil.errors import DsmilError, EventInvalid
from dsmil.events import codec
from dsmil.events.streams import EVENT_FIELD, StreamName
from dsmil.infrastructure.connection import translated
from dsmil.infrastructure.entries import Entry
from dsmil.services.feeds import find_source
from dsmil.sources._feed import RawRecord, Reader

if TYPE_CHECKING:
    from dsmil.infrastructure.redis_streams import RedisStreamsClient
    from dsmil.services.letters import Letter

#: Letter id -> when it was re-driven, Unix seconds. Letters stay: they are the record of what happened.
REDRIVEN_KEY: Final = "dsmil:redriven"


class Redriven(msgspec.Struct, frozen=True):
    """What became of one letter."""

    letter_id: str
    #: Id of the event that was put back; empty when it was not.
    event_id: str
    #: Why it was not; empty when it was.
    problem: str


def redrive(letter: Letter, bus: RedisStreamsClient) -> Redriven:
    """Put one letter's event back into its stream, with the id that it had or would have had.

    A crash in the middle may put it back twice; the id is the same, so it counts once. Raises Unavailable.
    """
    try:
        stream, body, event_id = _event_of(letter)
    except DsmilError as exc:
        return Redriven(letter.id, "", str(exc))
    bus.append(stream, [body])
    with translated("noting the re-driven letter"):
        bus.client.hset(REDRIVEN_KEY, letter.id, f"{time.time():.3f}")
    return Redriven(letter.id, event_id, "")


def redriven_ids(bus: RedisStreamsClient) -> set[str]:
    """Return the ids of the letters that were put back already."""
    with translated("reading re-driven letters"):
        return {name.decode() for name in bus.client.hkeys(REDRIVEN_KEY)}


def _event_of(letter: Letter) -> tuple[StreamName, bytes, str]:
    """Return stream, document and id of what a letter holds; raises EventInvalid when it is still no event."""
    if letter.truncated:
        raise EventInvalid("truncated", f"not all of it was kept: {letter.truncated}")
    if letter.stream not in set(StreamName):
        raise EventInvalid("bad_field", f"the letter names no stream but {letter.stream!r}")
    stream = StreamName(letter.stream)
    if letter.form == "record":
        feed = letter.service.removeprefix("ingest ")
        record = RawRecord(letter.raw, letter.source, head=letter.head)
        event = Reader(find_source(feed)).event(record, letter.first_seen)
    else:
        fields = _fields_of(letter)
        event = Entry(stream, letter.entry_id, fields).event(codec.MAX_FUSED_BYTES)
    return stream, codec.encode_bounded(event, codec.MAX_FUSED_BYTES), event.event_id


def _fields_of(letter: Letter) -> dict[bytes, bytes]:
    if letter.form != "fields":
        return {EVENT_FIELD.encode(): letter.raw}
    try:
        pairs: Any = json.loads(letter.raw)
        return {
            str(name).encode(errors="surrogateescape"): str(value).encode(errors="surrogateescape")
            for name, value in pairs.items()
        }
    except (ValueError, AttributeError):
        raise EventInvalid("malformed_json", "the letter's fields cannot be read back") from None
