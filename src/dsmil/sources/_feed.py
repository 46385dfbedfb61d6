"""What a feed is, and the ids and defaults that all feeds share.

A feed is one file in this folder with a class derived from :class:`Source`, named by ``SOURCE``. Bytes climb
three steps to an event; a feed writes only those that its format needs:

1. ``joiner()``: lines -> records. None (the default) when each line is one record. A format whose lines belong
   together (auditd), that has comments and headers (Zeek), or whose lines hold several records returns a fresh
   :class:`Joiner` for each file. It tells in ``held`` which lines it still needs; they are kept with the position
   of ``--follow``, in the same transaction, so no line is passed before its record is published.
2. ``decode(record)``: bytes -> fields. By default one JSON object, exactly. Text formats override it; they set
   ``keeps_text``, and the payload then has the original under ``_raw``. It is a function of the record alone, so
   that a dead letter can be read again: what a header said travels with the record, in ``RawRecord.head``.
3. ``parse(fields)``: fields -> :class:`Parsed`: event time, severity, entities, techniques, category. Most feeds
   say it as data: ``mapping = Mapping(...)`` (see ``_mapping.py``), which also writes the table in
   ``docs/feeds.md``, and ``parse`` is then inherited.

Identity, arrival time, defaults, dead letters, limits and batches are done for every feed alike. Raise
EventInvalid with a short stable cause for a record that is not of the format.
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

import msgspec

from dsmil.errors import EventInvalid
from dsmil.events import codec, ids
from dsmil.events.model import EventCategory, Severity, create_event
from dsmil.sources._stamps import with_year

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dsmil.events.model import Entity, Event
    from dsmil.sources._mapping import Mapping

#: Largest raw record, bytes: it must still fit into an event.
MAX_RECORD_BYTES: Final = codec.MAX_EVENT_BYTES - 4096
#: Longest value of an entity, characters: a URL or a path fits.
MAX_ENTITY: Final = 2048
#: Distinct records whose repetitions are told apart within one reading.
REMEMBERED: Final = 100_000


class RawRecord(msgspec.Struct, frozen=True):
    """One line as it lies in its file, or one record made of several."""

    raw: bytes
    #: ``file:line``, of its first line.
    place: str
    #: Bytes of it that were too many to be kept.
    cut: int = 0
    #: What must be known to read it and stands elsewhere in the file: header lines, the document around it.
    head: bytes = b""


class Parsed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a feed makes of a record; identity and defaults are added for it."""

    #: When it happened, Unix seconds; None when the record does not say.
    ts: float | None
    #: Whether the record tells no year: ``ts`` lies in 1972 then, until its arrival tells which (``_stamps.py``).
    yearless: bool = False
    payload: dict[str, Any]
    entities: tuple[Entity, ...] = ()
    category: EventCategory = EventCategory.NETWORK
    severity: Severity = Severity.LOW
    #: ATT&CK technique ids that the record names.
    techniques: tuple[str, ...] = ()
    #: What was mended, e.g. ``unknown_severity:WEIRD``.
    flags: tuple[str, ...] = ()


class Joiner(Protocol):
    """Makes records of the lines of one file."""

    def add(self, line: RawRecord) -> Iterable[RawRecord]:
        """Take the next line; return the records that are whole now. A comment gives none."""
        ...

    def rest(self) -> Iterable[RawRecord]:
        """Return what was held back, as whole as it is: the file has ended or nothing came for a while."""
        ...

    def held(self) -> Sequence[RawRecord]:
        """Return the lines that a fresh joiner must be given to be where this one is."""
        ...


class Source:
    """One log format: the base of every feed."""

    #: Name on the command line, e.g. ``suricata-eve``; it enters the ids, so it never changes.
    name: ClassVar[str]
    #: What the event's ``source`` says, e.g. ``suricata``.
    source: ClassVar[str]
    #: Device it publishes as.
    device_id: ClassVar[int]
    #: Whether a file may also be one JSON array.
    json_array: ClassVar[bool] = False
    #: Key of the array when a file may also be one object around it, e.g. ``Records``.
    array_key: ClassVar[str] = ""
    #: Whether a message over a network is one record, although ``joiner`` joins the lines of files.
    by_message: ClassVar[bool] = False
    #: Whether the payload gets the original text, as ``_raw``: what ``decode`` reads is not JSON.
    keeps_text: ClassVar[bool] = False
    #: Where the fields of an event lie in a record.
    mapping: ClassVar[Mapping]

    @property
    def trims(self) -> bytes:
        """What is cut off both ends of a line: in text a blank or tab may be a field."""
        return b"\r\n" if self.keeps_text else b" \t\r\n"

    def joiner(self) -> Joiner | None:
        """Return what joins the lines of one file; None when each line is one record."""
        return None

    def decode(self, record: RawRecord) -> dict[str, Any]:
        """Return the fields of a record; raises EventInvalid with its cause."""
        return codec.parse_object(record.raw, max_bytes=MAX_RECORD_BYTES)

    def parse(self, record: dict[str, Any]) -> Parsed:
        """Map decoded fields; raises EventInvalid when they are not of this format."""
        return self.mapping.apply(record)


class Reader:
    """Turns the records of one feed into events, with ids that a second reading gives again."""

    #: Whether the year that the arrival tells enters the id. Not for files: they can be read again years later.
    dates_ids: ClassVar[bool] = False

    def __init__(
        self, source: Source, seen: dict[bytes, int] | None = None, held: Sequence[RawRecord] = ()
    ) -> None:
        """Start a reading: ordinals count from here, or go on from ``seen`` (digest -> times seen).

        With ``seen``, empty or not, the changes to it are kept for :meth:`take_changes`. ``held`` are the lines
        that an earlier reading had read and still needed.
        """
        self._source = source
        self._name, self._keeps_text = source.name, source.keeps_text
        self._joiner = source.joiner()
        for line in held:
            list(self.records(line))  # they were held: no record is whole with them
        # Ordered by hand: a plain dict gives its first key ever more slowly, the more of them went before it.
        self._seen = OrderedDict(seen or {})
        #: What has changed since :meth:`take_changes`; None when nobody will ask.
        self._changed: dict[bytes, int] | None = None if seen is None else {}

    @property
    def held(self) -> tuple[RawRecord, ...]:
        """The lines that were read and are still needed; for keeping across restarts."""
        return tuple(self._joiner.held()) if self._joiner is not None else ()

    def records(self, line: RawRecord) -> Iterable[RawRecord]:
        """Return the records that are whole with this line. An over-long line is one of its own, for a letter."""
        return (line,) if self._joiner is None or line.cut else self._joiner.add(line)

    def rest(self) -> Iterable[RawRecord]:
        """Return the records that were waiting for more lines: none will come, or none has come for a while."""
        return self._joiner.rest() if self._joiner is not None else ()

    def number(self, record: RawRecord) -> int:
        """Return how many identical records came before, as far back as memory is kept; each is to be asked once.

        It follows from the order of records, and all else from the record alone: one process can count while
        others make the events.
        """
        return 0 if record.cut else self._count(ids.digest(record.raw))  # what is cut becomes no event

    def event(self, record: RawRecord, ingest_ts: float) -> Event:
        """Return the event for the next record, as :meth:`make` does."""
        return self.make(record, self.number(record), ingest_ts)

    def make(self, record: RawRecord, ordinal: int, ingest_ts: float) -> Event:
        """Return the event for a record that :meth:`number` gave its ordinal; raises EventInvalid with its cause.

        ``ingest_ts`` is the arrival time in Unix seconds; it also stands in for a missing event time, but
        never enters the id. A time without a year is of the last year that does not put it after its arrival.
        """
        if record.cut:
            size = len(record.raw) + record.cut
            raise EventInvalid("too_large", f"{size} bytes, at most {MAX_RECORD_BYTES} are accepted")
        parsed = self._source.parse(self._source.decode(record))
        told, payload = parsed.ts, parsed.payload
        ts = with_year(told, ingest_ts) if told is not None and parsed.yearless else told
        if self._source.keeps_text:
            payload = payload | original(record.raw)
        return create_event(
            source_device=self._source.device_id,
            source_layer=3,
            category=parsed.category,
            severity=parsed.severity,
            payload=payload,
            event_id=self.identify(record.raw, ts if self.dates_ids else told, ingest_ts, ordinal),
            ts=ingest_ts if ts is None else ts,
            source=self._source.source,
            ingest_ts=ingest_ts,
            entities=parsed.entities,
            techniques=parsed.techniques,
            origin=record.place,
            flags=(*parsed.flags, "missing_time") if ts is None else parsed.flags,
        )

    def identify(self, raw: bytes, ts: float | None, ingest_ts: float, ordinal: int) -> str:  # noqa: ARG002 - for other readers
        """Return the id of a record of this reading that happened at ``ts`` and came in at ``ingest_ts``."""
        return ids.record_id(self._name, ts or 0.0, raw, ordinal)

    def _count(self, key: bytes) -> int:
        """Return how often a key was counted before; the oldest are forgotten first."""
        ordinal = self._seen.pop(key, 0)
        self._seen[key] = ordinal + 1  # now the newest of them
        if self._changed is not None:
            self._changed[key] = ordinal + 1
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return ordinal

    def take_changes(self) -> dict[bytes, int]:
        """Return how often records were seen, for those read since the last call; for keeping across restarts."""
        changed, self._changed = self._changed, {}
        return changed or {}


def original(raw: bytes) -> dict[str, str]:
    """Return the payload's copy of a record: ``_raw`` as text, or ``_raw_base64`` when it is not UTF-8."""
    try:
        return {"_raw": raw.decode()}
    except UnicodeDecodeError:
        return {"_raw_base64": base64.b64encode(raw).decode()}


def unique(entities: Iterable[Entity]) -> tuple[Entity, ...]:
    """Return the entities once each, in order; what is longer than any name or address is none."""
    return tuple(dict.fromkeys(entity for entity in entities if len(entity.value) <= MAX_ENTITY))
