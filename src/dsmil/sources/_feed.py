"""What a feed is, and the ids and defaults that all feeds share."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

import msgspec

from dsmil.errors import EventInvalid
from dsmil.events import codec, ids
from dsmil.events.model import EventCategory, Severity, create_event

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dsmil.events.model import Entity, Event

#: Largest raw record, bytes: it must still fit into an event.
MAX_RECORD_BYTES: Final = codec.MAX_EVENT_BYTES - 4096
#: Longest value of an entity, characters: a URL or a path fits.
MAX_ENTITY: Final = 2048
#: Distinct records whose repetitions are told apart within one reading.
REMEMBERED: Final = 100_000


class RawRecord(msgspec.Struct, frozen=True):
    """One record as it lies in its file."""

    raw: bytes
    #: ``file:line``.
    place: str
    #: Bytes of it that were too many to be kept.
    cut: int = 0


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """What a feed makes of a record; identity and defaults are added for it."""

    #: When it happened, Unix seconds; None when the record does not say.
    ts: float | None
    payload: dict[str, Any]
    entities: tuple[Entity, ...] = ()
    category: EventCategory = EventCategory.NETWORK
    severity: Severity = Severity.LOW


class Source(Protocol):
    """One log format."""

    #: Name on the command line, e.g. ``suricata-eve``.
    name: ClassVar[str]
    #: What the event's ``source`` says, e.g. ``suricata``.
    source: ClassVar[str]
    #: Device it publishes as.
    device_id: ClassVar[int]
    #: Whether a file may also be one JSON array.
    json_array: ClassVar[bool]

    def parse(self, record: dict[str, Any]) -> Parsed:
        """Map one record; raises EventInvalid when it is not of this format."""
        ...


class Reader:
    """Turns the records of one feed into events, with ids that a second reading gives again."""

    def __init__(self, source: Source, seen: dict[bytes, int] | None = None) -> None:
        """Start a reading: ordinals count from here, or go on from ``seen`` (digest -> times seen).

        With ``seen``, empty or not, the changes to it are kept for :meth:`take_changes`.
        """
        self._source = source
        self._seen = dict(seen or {})
        #: What has changed since :meth:`take_changes`; None when nobody will ask.
        self._changed: dict[bytes, int] | None = None if seen is None else {}

    def event(self, record: RawRecord, ingest_ts: float) -> Event:
        """Return the event for a record; raises EventInvalid with its cause.

        ``ingest_ts`` is the arrival time in Unix seconds; it also stands in for a missing event time, but
        never enters the id.
        """
        if record.cut:
            size = len(record.raw) + record.cut
            raise EventInvalid("too_large", f"{size} bytes, at most {MAX_RECORD_BYTES} are accepted")
        fields = codec.parse_object(record.raw, max_bytes=MAX_RECORD_BYTES)
        parsed = self._source.parse(fields)
        ordinal = self._ordinal(record.raw)
        return create_event(
            source_device=self._source.device_id,
            source_layer=3,
            category=parsed.category,
            severity=parsed.severity,
            payload=parsed.payload,
            event_id=ids.record_id(self._source.name, parsed.ts or 0.0, record.raw, ordinal),
            ts=ingest_ts if parsed.ts is None else parsed.ts,
            source=self._source.source,
            ingest_ts=ingest_ts,
            entities=parsed.entities,
            origin=record.place,
            flags=("missing_time",) if parsed.ts is None else (),
        )

    def _ordinal(self, raw: bytes) -> int:
        """Return how many identical records came before, as far back as memory is kept."""
        digest = ids.digest(raw)
        ordinal = self._seen.pop(digest, 0)
        self._seen[digest] = ordinal + 1  # now the newest of them
        if self._changed is not None:
            self._changed[digest] = ordinal + 1
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return ordinal

    def take_changes(self) -> dict[bytes, int]:
        """Return how often records were seen, for those read since the last call; for keeping across restarts."""
        changed, self._changed = self._changed, {}
        return changed or {}


def iso_seconds(text: object) -> float | None:
    """Return an ISO 8601 time as Unix seconds; without an offset it is UTC. None when there is none.

    Raises EventInvalid when there is one that cannot be read.
    """
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        when = None
    if when is None:
        raise EventInvalid("bad_time", f"{text!r} is not an ISO 8601 time")
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)  # noqa: UP017 - one spelling for all supported versions
    seconds = when.timestamp()
    if seconds < 0:
        raise EventInvalid("bad_time", f"{text!r} lies before 1970")
    return seconds


def unique(entities: Iterable[Entity]) -> tuple[Entity, ...]:
    """Return the entities once each, in order; what is longer than any name or address is none."""
    return tuple(dict.fromkeys(entity for entity in entities if len(entity.value) <= MAX_ENTITY))
