"""Dead letters: what could not be handled, with its cause and its bytes."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil.errors import BusRefused, EventInvalid
from dsmil.events.handling import Dead
from dsmil.events.streams import DEAD_LETTERS, EVENT_FIELD, StreamName
from dsmil.infrastructure.connection import translated
from dsmil.infrastructure.entries import Entry, id_order
from dsmil.infrastructure.redis_streams import RedisStreamsClient

if TYPE_CHECKING:
    from dsmil.config import Settings
    from dsmil.sources._feed import RawRecord

#: Larger entries keep this much of their bytes, and the digest of all of them.
MAX_RAW_BYTES: Final = 16 * 1024 * 1024


def dead_letter(
    entry: Entry, dead: Dead, *, service: str, event_id: str, attempts: int, now: float
) -> tuple[tuple[str, bytes], ...]:
    """Return the fields of the dead letter for a stream entry. Times are Unix seconds."""
    raw, form = _raw(entry.fields or {})
    fields: dict[str, bytes] = {
        "cause": dead.cause.encode("utf-8", "replace"),
        "detail": dead.detail[:2000].encode("utf-8", "replace"),
        "service": service.encode(),
        "stream": entry.stream.encode(),
        "entry_id": entry.entry_id.encode(),
        "event_id": event_id.encode("utf-8", "replace"),
        "attempts": str(attempts).encode(),
        "first_seen": f"{id_order(entry.entry_id)[0] / 1000:.3f}".encode(),
        "last_seen": f"{now:.3f}".encode(),
        "form": form.encode(),
    }
    return tuple((fields | _kept(raw)).items())


def source_letter(record: RawRecord, cause: EventInvalid, feed: str, now: float) -> dict[str, bytes]:
    """Return the fields of the dead letter for a record that never became an event: a line of a file."""
    fields: dict[str, bytes] = {
        "cause": cause.cause.encode("utf-8", "replace"),
        "detail": cause.detail[:2000].encode("utf-8", "replace"),
        "service": f"ingest {feed}".encode(),
        "stream": StreamName.L3_IN.encode(),
        "source": record.place.encode("utf-8", "replace"),
        "attempts": b"1",
        "first_seen": f"{now:.3f}".encode(),
        "last_seen": f"{now:.3f}".encode(),
        "form": b"record",
    }
    if record.cut:
        fields["truncated"] = f"the last {record.cut} bytes were not kept".encode()
    if record.head:
        fields["head"] = record.head[:MAX_RAW_BYTES]
    return fields | _kept(record.raw)


def append_letters(bus: RedisStreamsClient, letters: list[dict[str, bytes]]) -> None:
    """Add dead letters in one round trip; raises Unavailable."""
    with translated("writing dead letters"):
        pipeline = bus.client.pipeline(transaction=False)
        for letter in letters:
            pipeline.xadd(DEAD_LETTERS, letter)
        pipeline.execute()


def _kept(raw: bytes) -> dict[str, bytes]:
    if len(raw) <= MAX_RAW_BYTES:
        return {"raw": raw}
    digest = hashlib.sha256(raw).hexdigest()
    return {
        "raw": raw[:MAX_RAW_BYTES],
        "truncated": f"{len(raw)} bytes, sha256 {digest}".encode(),
    }


def _raw(fields: dict[bytes, bytes]) -> tuple[bytes, str]:
    """Return the bytes as they lay in the stream, and their form: ``event``, or ``fields`` as JSON."""
    document = fields.get(EVENT_FIELD.encode())
    if document is not None and len(fields) == 1:
        return document, "event"
    # surrogateescape and ASCII escapes keep bytes that are not UTF-8 apart and reversible.
    pairs = {k.decode(errors="surrogateescape"): v.decode(errors="surrogateescape") for k, v in fields.items()}
    return json.dumps(pairs).encode(), "fields"


class Letter(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A dead letter as people and scripts see it."""

    id: str
    cause: str = ""
    detail: str = ""
    service: str = ""
    stream: str = ""
    entry_id: str = ""
    source: str = ""
    event_id: str = ""
    attempts: int = 0
    #: Unix seconds.
    first_seen: float = 0.0
    last_seen: float = 0.0
    #: ``event``, ``fields`` or ``record``: what ``raw`` is.
    form: str = ""
    truncated: str = ""
    raw: bytes = b""
    #: What stands elsewhere in the file and is needed to read ``raw``.
    head: bytes = b""

    @classmethod
    def parse(cls, entry_id: str, fields: dict[bytes, bytes]) -> Letter:
        """Return the letter that a DEAD_LETTERS entry holds; foreign fields are left out."""
        known = {k.decode(errors="replace"): v for k, v in fields.items()}
        raw, head = known.pop("raw", b""), known.pop("head", b"")
        texts: dict[str, Any] = {
            k: v.decode(errors="replace") for k, v in known.items() if k in cls.__struct_fields__
        }
        for name, cast in (("attempts", int), ("first_seen", float), ("last_seen", float)):
            # A letter by foreign hands must not hide the others behind an error.
            with contextlib.suppress(ValueError):
                texts[name] = cast(texts.get(name, ""))
                continue
            texts.pop(name, None)
        return msgspec.convert({**texts, "id": entry_id, "raw": raw, "head": head}, cls)


def read_letters(settings: Settings, limit: int | None) -> tuple[list[Letter], int]:
    """Return the newest dead letters (all when ``limit`` is None), newest first, and how many there are."""
    with RedisStreamsClient(settings=settings) as bus, translated("reading dead letters"):
        rows: Any = bus.client.xrevrange(DEAD_LETTERS, count=limit)
        total = int(bus.client.xlen(DEAD_LETTERS))
    return [Letter.parse(entry_id.decode(), fields) for entry_id, fields in rows], total


def read_letter(settings: Settings, letter_id: str) -> Letter | None:
    """Return one dead letter, or None when there is none of that id."""
    with RedisStreamsClient(settings=settings) as bus:
        try:
            with translated("reading a dead letter"):
                rows: Any = bus.client.xrange(DEAD_LETTERS, letter_id, letter_id)
        except BusRefused:  # not the shape of an id
            return None
    return Letter.parse(letter_id, rows[0][1]) if rows else None
