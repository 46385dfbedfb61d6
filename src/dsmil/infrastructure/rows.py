"""Events as rows of the hot store."""

from __future__ import annotations

import contextlib
from typing import Any, Final

import msgspec
from msgspec import UNSET

from dsmil.events.model import Event, SocEvent

_encode: Final = msgspec.json.Encoder().encode
#: Event fields without a column of their own; together they are the column ``context``.
_CONTEXT: Final = ("entities", "techniques", "evidence", "origin", "flags")
#: Columns that hold JSON and are returned decoded.
_JSON: Final = frozenset(
    {"payload", "signals", "shrink_metrics", "l8_enrichment", "escalation", "context"}
    | {"metadata", "metrics_json", "output_json", "active_devices"}
)

Row = tuple[Any, ...]


def json_text(value: object) -> str:
    """Return a value as compact JSON text."""
    return _encode(value).decode()


def _context(event: Event, *, more: bool) -> str | None:
    """Return what has no column: entities, techniques, evidence, origin, flags, and unknown fields."""
    found: dict[str, Any] = {name: value for name in _CONTEXT if (value := getattr(event, name))}
    if more:  # the raw table has columns for neither of these, the SOC table for both
        if event.correlation_id:
            found["correlation_id"] = event.correlation_id
        if event.score is not None:
            found["score"] = event.score
    else:
        found["source"] = event.source
        found["compartment"] = event.compartment
    if event.extra is not UNSET:
        found["extra"] = event.extra
    return json_text(found) if found else None


def raw_row(event: Event, stream_id: str | None = None) -> Row:
    """Return the row of ``raw_events_fast`` for an event as it was before the router judged it."""
    severity = event.original_severity if isinstance(event, SocEvent) else event.severity
    return (
        event.ts,
        event.event_id,
        event.source_device,
        event.source_layer,
        event.source,
        event.compartment,
        event.category.value,
        severity.value,
        json_text(event.payload),  # as text: LIKE and the JSON functions do not look into blobs
        event.token_id,
        event.clearance,
        event.ingest_ts,
        _context(event, more=True),
        stream_id,
    )


def soc_row(event: SocEvent, stream_id: str | None = None) -> Row:
    """Return the row of ``soc_events_cache`` for a fused event."""
    return (
        event.ts,
        event.event_id,
        event.severity.value,
        event.category.value,
        event.source_device,
        event.source_layer,
        json_text(event.signals),
        None if event.shrink_metrics is None else json_text(event.shrink_metrics),
        json_text(event.l8_enrichment),
        json_text(event.payload),
        event.ingest_ts,
        event.original_severity.value,
        json_text(event.escalation),
        event.correlation_id or None,
        event.score,
        _context(event, more=False),
        stream_id,
    )


def decoded(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose columns with JSON are decoded, in place."""
    for name in _JSON & row.keys():
        value = row[name]
        if isinstance(value, str | bytes):
            # What somebody wrote by SQL may be no JSON: then it is returned as it stands.
            with contextlib.suppress(msgspec.MsgspecError, UnicodeError):
                row[name] = msgspec.json.decode(value)
    return row
