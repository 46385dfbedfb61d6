"""What a feed makes of the records of a file, and from which fields: nothing is published."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from dsmil.errors import EventInvalid
from dsmil.events import codec
from dsmil.events.handling import Delivery, Drop, Publish
from dsmil.events.streams import StreamName
from dsmil.services.catalogue import detector_classes
from dsmil.sources._feed import Reader
from dsmil.sources._files import RecordFile
from dsmil.sources._mapping import Path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dsmil.events.model import Event
    from dsmil.sources._feed import RawRecord, Source


class Explained(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One record: what became of it, and why."""

    #: ``file:line``.
    place: str
    #: What was read, as text.
    raw: str
    #: Why it is no event; empty when it is one.
    problem: str = ""
    #: Whether it is a last record that is still being written.
    partial: bool = False
    event_id: str = ""
    #: Unix seconds, and the field they were read from; empty when the record does not say.
    ts: float = 0.0
    ts_from: str = ""
    severity: str = ""
    #: Field that says it; empty for the feed's fixed answer.
    severity_from: str = ""
    category: str = ""
    techniques: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    #: type, value, role, and ``from``: the field it came from.
    entities: list[dict[str, str]] = []
    payload: dict[str, Any] = {}
    #: Detector -> its finding, or why there is none.
    detections: dict[str, str] = {}


def explain_file(source: Source, name: str) -> Iterator[Explained]:
    """Yield what the feed makes of each record; raises UnreadableFile. Detectors of other formats are left out."""
    file = RecordFile(name, json_array=source.json_array, array_key=source.array_key, trims=source.trims)
    reader = Reader(source)
    detectors = [kind() for kind in detector_classes().values() if StreamName.L3_IN in kind.reads]
    for line in file:
        for record in reader.records(line):
            yield _explained(source, reader, record, detectors, partial=line is file.partial)
    for record in reader.rest():
        yield _explained(source, reader, record, detectors, partial=file.partial is not None)


def _explained(
    source: Source, reader: Reader, record: RawRecord, detectors: list[Any], *, partial: bool
) -> Explained:
    raw = record.raw.decode(errors="backslashreplace")
    try:
        event = reader.event(record, time.time())
        codec.encode_bounded(event)
    except EventInvalid as exc:
        return Explained(place=record.place, raw=raw, problem=str(exc), partial=partial)
    mapping = getattr(source, "mapping", None)
    levels = mapping.severity if mapping else None
    return Explained(
        place=record.place,
        raw=raw,
        event_id=event.event_id,
        ts=event.ts,
        ts_from=_first_path(mapping.time if mapping and "missing_time" not in event.flags else (), event),
        severity=event.severity.value,
        severity_from=_first_path(levels.paths if levels else (), event),
        category=event.category.value,
        techniques=event.techniques,
        flags=event.flags,
        entities=_entities(mapping, event),
        payload=event.payload,
        detections=_detections(detectors, event),
    )


def _first_path(paths: tuple[str, ...], event: Event) -> str:
    return next((path for path in paths if Path(path).first(event.payload) not in (None, "")), "")


def _entities(mapping: Any, event: Event) -> list[dict[str, str]]:  # noqa: ANN401 - a Mapping or None
    """Return the entities with their fields: those the mapping names, else those that hold the value."""
    known: dict[Any, str] = {}
    for path, entity in mapping.sources(event.payload) if mapping else ():
        known.setdefault(entity, path)
    rows = []
    for entity in event.entities:
        origin = known.get(entity) or _holder(event.payload, entity.value)
        rows.append({"type": entity.type, "value": entity.value, "role": entity.role, "from": origin})
    return rows


def _holder(payload: dict[str, Any], text: str) -> str:
    """Return the path of the first field that is the text, else of the first that holds it."""
    waiting: list[tuple[str, Any]] = list(payload.items())
    holder = ""
    while waiting:
        path, value = waiting.pop(0)
        if isinstance(value, dict):
            waiting.extend((f"{path}.{key}", below) for key, below in value.items())
        elif isinstance(value, list):
            waiting.extend((path, below) for below in value)
        elif str(value) == text:
            return path
        elif not holder and path != "_raw" and text in str(value):
            holder = path
    return holder


def _detections(detectors: list[Any], event: Event) -> dict[str, str]:
    found = {}
    for detector in detectors:
        outcome = detector.handle([Delivery(stream=StreamName.L3_IN, entry_id="0-0", event=event)])[0]
        if isinstance(outcome, Publish):
            for _, finding in outcome.outputs:
                rule = finding.payload.get("rule") or {}
                found[detector.name] = f"{finding.severity} {rule.get('id', '')} {rule.get('name', '')}".strip()
        elif isinstance(outcome, Drop):
            if not outcome.reason.startswith("not_"):  # made for another format
                found[detector.name] = f"no finding: {outcome.reason}"
        else:
            found[detector.name] = type(outcome).__name__
    return found
