"""Rows of a SOC event straight from its wire form.

The columns that hold JSON are taken over as they stand, once they are known to be exact: a document is exact when
encoding what was decoded gives the very same bytes. Most events of a batch share the reading they were judged by,
the empty frame of Layer 8 and, where one rule raised them, the signals, so these are looked at once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Raw

from dsmil.events.codec import MAX_DEPTH, MAX_FUSED_BYTES
from dsmil.events.model import EventCategory, Severity, SocEvent
from dsmil.infrastructure.rows import Row, raw_columns, soc_columns

#: Fields that are columns of JSON; what is in them is the same in both.
_JSON: Final = ("payload", "signals", "shrink_metrics", "l8_enrichment", "escalation")
#: Names come as plain text: an enumeration would be turned into text for the row anyway.
_NAMES: Final = {
    Severity: Literal["LOW", "MEDIUM", "HIGH", "CRITICAL"],
    EventCategory: Literal["AUTH", "NETWORK", "SYSTEM", "APP", "INTEL", "SECURITY", "CRYPTO", "SOC"],
}
_SHARED: Final = 512


def _fields() -> list[Any]:
    """Return the fields of a SOC event in their order, its JSON columns left as bytes."""
    made: list[Any] = []
    for field in msgspec.structs.fields(SocEvent):
        kind = Raw if field.name in _JSON else _NAMES.get(field.type, field.type)
        default = () if field.default is msgspec.NODEFAULT else (field.default,)
        made.append((field.name, kind, *default))
    return made


_Wire: Final[Any] = msgspec.defstruct("_Wire", _fields(), kw_only=True, frozen=True, omit_defaults=True, gc=False)
_decode: Final = msgspec.json.Decoder(_Wire).decode
_encode: Final = msgspec.json.Encoder().encode
_decoders: Final = {
    field.name: msgspec.json.Decoder(field.type).decode
    for field in msgspec.structs.fields(SocEvent)
    if field.name in _JSON
}


def rows_of_wire(wire: bytes, stream_id: str) -> tuple[Row, Row] | None:
    """Return the rows of ``raw_events_fast`` and ``soc_events_cache``; None when the exact decoder has to look."""
    if len(wire) > MAX_FUSED_BYTES:
        return None
    try:
        event: Any = _decode(wire)
        if _encode(event) != wire or event.extra is not UNSET:
            return None
        payload = _exact("payload", bytes(event.payload))
        signals = _shared("signals", bytes(event.signals))
        reading = _shared("shrink_metrics", bytes(event.shrink_metrics))
        enrichment = _shared("l8_enrichment", bytes(event.l8_enrichment))
        escalation = _shared("escalation", bytes(event.escalation))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError):
        return None
    if not (payload and signals and reading and enrichment and escalation):
        return None
    return (
        raw_columns(event, event.category, event.original_severity, payload, None),
        soc_columns(
            event,
            event.category,
            (event.original_severity, event.severity),
            (signals, None if reading == "null" else reading, enrichment, payload, escalation),
            stream_id,
        ),
    )


def _exact(name: str, raw: bytes) -> str:
    """Return a JSON column as text; nothing when it is not exact, or might be nested too deep."""
    if raw.count(b"{") + raw.count(b"[") >= MAX_DEPTH:
        return ""
    return raw.decode() if _encode(_decoders[name](raw)) == raw else ""


_shared: Final = lru_cache(maxsize=_SHARED)(_exact)
