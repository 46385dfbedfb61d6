"""Fusing a Layer 3 or 4 output with operator state into a SOC event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil.events.model import Event, SocEvent
from dsmil.events.streams import StreamName
from dsmil.fusion.severity import escalate

if TYPE_CHECKING:
    from dsmil.fusion.shrink import Reading

#: The frame that Layer 8 fills, as documented.
EMPTY_ENRICHMENT: Final[dict[str, Any]] = {
    "processed_by": [],
    "advml_flags": [],
    "analytics_flags": [],
    "crypto_flags": [],
    "threat_flags": [],
    "biometric_flags": [],
    "enclave_flags": [],
    "network_flags": [],
    "soar_proposals": [],
    "final_severity": None,
    "timestamp": None,
}
_FIELDS: Final = tuple(Event.__struct_fields__)
_OWN: Final = frozenset(SocEvent.__struct_fields__) - frozenset(_FIELDS)


def fuse(event: Event, stream: StreamName, reading: Reading | None) -> SocEvent:
    """Return the SOC event for ``event`` as it came from ``stream``, judged by ``reading``.

    The id is kept: what was found is what is reported. The same arguments always give the same result.
    """
    severity, reasons = escalate(event.severity, reading)
    fields = {name: getattr(event, name) for name in _FIELDS}
    fields["severity"] = severity
    if fields["extra"] is not msgspec.UNSET:
        # A foreign field must not pass for our judgement.
        fields["extra"] = {k: v for k, v in fields["extra"].items() if k not in _OWN} or msgspec.UNSET
    return SocEvent(
        **fields,
        original_severity=event.severity,
        escalation=reasons,
        signals=signals(event, stream),
        shrink_metrics=None if reading is None else reading.snapshot(),
        l8_enrichment=EMPTY_ENRICHMENT,
    )


def signals(event: Event, stream: StreamName) -> dict[str, Any]:
    """Return what the layer said, in the documented shape of that layer."""
    said = _said(event.payload)
    if stream is StreamName.L4_OUT:
        return {"l4": {"label": said, "confidence": event.score, "device_id": event.source_device}}
    return {"l3": {"decision": said, "score": event.score, "device_id": event.source_device}}


def _said(payload: dict[str, Any]) -> str | None:
    """Return the words for a finding: its own decision or label, else its rule's name, else its alert text."""
    for key in ("decision", "label"):
        if isinstance(payload.get(key), str):
            return str(payload[key])
    rule = payload.get("rule")
    if isinstance(rule, dict) and isinstance(rule.get("name"), str):
        return str(rule["name"])
    alert = payload.get("alert")
    return alert if isinstance(alert, str) else None
