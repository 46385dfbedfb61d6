"""Events as rows of the hot store."""

from __future__ import annotations

import contextlib
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from dsmil.events.model import Event, SocEvent

_encode: Final = msgspec.json.Encoder().encode
#: Columns that hold JSON and are returned decoded.
_JSON: Final = frozenset(
    {"payload", "signals", "shrink_metrics", "l8_enrichment", "escalation", "context"}
    | {"metadata", "metrics_json", "output_json", "active_devices"}
)

Row = tuple[Any, ...]


def json_text(value: object) -> str:
    """Return a value as compact JSON text."""
    return _encode(value).decode()


class _RawContext(msgspec.Struct, omit_defaults=True, gc=False):
    """The column ``context`` of the raw table: what has no column of its own there."""

    entities: Any = ()
    techniques: Any = ()
    evidence: Any = ()
    origin: str = ""
    flags: Any = ()
    correlation_id: str = ""
    score: float | None = None
    extra: dict[str, Any] | UnsetType = UNSET


class _SocContext(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """The column ``context`` of the SOC table."""

    entities: Any = ()
    techniques: Any = ()
    evidence: Any = ()
    origin: str = ""
    flags: Any = ()
    source: str
    compartment: str
    extra: dict[str, Any] | UnsetType = UNSET


def raw_row(event: Event, stream_id: str | None = None) -> Row:
    """Return the row of ``raw_events_fast`` for an event as it was before the router judged it."""
    severity = event.original_severity if isinstance(event, SocEvent) else event.severity
    # As text: LIKE and the JSON functions do not look into blobs.
    return raw_columns(event, event.category.value, severity.value, json_text(event.payload), stream_id)


def raw_columns(event: Event, category: str, severity: str, payload: str, stream_id: str | None) -> Row:
    """Return the row of ``raw_events_fast``, with what is text already."""
    context = _RawContext(
        event.entities,
        event.techniques,
        event.evidence,
        event.origin,
        event.flags,
        event.correlation_id,
        event.score,
        event.extra,
    )
    told = _encode(context)
    return (
        event.ts,
        event.event_id,
        event.source_device,
        event.source_layer,
        event.source,
        event.compartment,
        category,
        severity,
        payload,
        event.token_id,
        event.clearance,
        event.ingest_ts,
        None if told == b"{}" else told.decode(),
        stream_id,
    )


def soc_row(event: SocEvent, stream_id: str | None = None) -> Row:
    """Return the row of ``soc_events_cache`` for a fused event."""
    documents = (
        json_text(event.signals),
        None if event.shrink_metrics is None else json_text(event.shrink_metrics),
        json_text(event.l8_enrichment),
        json_text(event.payload),
        json_text(event.escalation),
    )
    severities = (event.original_severity.value, event.severity.value)
    return soc_columns(event, event.category.value, severities, documents, stream_id)


def soc_columns(
    event: SocEvent,
    category: str,
    severities: tuple[str, str],
    documents: tuple[str, str | None, str, str, str],
    stream_id: str | None,
) -> Row:
    """Return the row of ``soc_events_cache``, with what is text already.

    ``severities`` are those before and after escalation, ``documents`` are signals, reading, enrichment, payload
    and escalation.
    """
    original, severity = severities
    signals, reading, enrichment, payload, escalation = documents
    context = _SocContext(
        entities=event.entities,
        techniques=event.techniques,
        evidence=event.evidence,
        origin=event.origin,
        flags=event.flags,
        source=event.source,
        compartment=event.compartment,
        extra=event.extra,
    )
    return (
        event.ts,
        event.event_id,
        severity,
        category,
        event.source_device,
        event.source_layer,
        signals,
        reading,
        enrichment,
        payload,
        event.ingest_ts,
        original,
        escalation,
        event.correlation_id or None,
        event.score,
        _encode(context).decode(),
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
