"""Device 16, SIGNALS: Suricata's alerts as findings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from dsmil.events import ids
from dsmil.events.handling import Delivery, Drop, Outcome, Publish
from dsmil.events.model import Event, EventCategory, Severity, create_event
from dsmil.events.streams import StreamName

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Suricata's priority (1 is its highest) -> our severity. Anything above 3 is LOW too; what is no priority at
#: all is HIGH with the flag ``unknown_severity``. CRITICAL is left to correlation and operator state.
SEVERITY: Final = {1: Severity.HIGH, 2: Severity.MEDIUM, 3: Severity.LOW}
#: A record larger than this stays where it is, and the finding refers to it.
MAX_RAW_BYTES: Final = 96 * 1024

#: A field longer than this is not repeated; the record has it.
_MAX_MATCHED: Final = 1024
_TECHNIQUE: Final = re.compile(r"T\d{4}(\.\d{3})?")
_TACTIC: Final = re.compile(r"TA\d{4}")
#: What of the record a finding repeats as the fields that matched.
_MATCHED: Final = (
    "src_ip",
    "src_port",
    "dest_ip",
    "dest_port",
    "proto",
    "app_proto",
    "flow_id",
    "community_id",
)


class SuricataAlert:
    """One alert, one finding; every other record is read without a finding."""

    name: ClassVar[str] = "l3-suricata-alert"
    device_id: ClassVar[int] = 16
    reads: ClassVar[tuple[StreamName, ...]] = (StreamName.L3_IN,)
    writes: ClassVar[tuple[StreamName, ...]] = (StreamName.L3_OUT,)

    def handle(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Answer each record with its finding, or drop it with the reason."""
        return [self._one(delivery.event) for delivery in batch]

    def _one(self, event: Event) -> Outcome:
        if event.source != "suricata":
            return Drop("not_suricata")
        alert = event.payload.get("alert")
        if event.payload.get("event_type") != "alert" or not isinstance(alert, dict):
            return Drop("no_alert")
        return Publish(((StreamName.L3_OUT, self._finding(event, alert)),))

    def _finding(self, event: Event, alert: dict[str, Any]) -> Event:
        record = event.payload
        severity, flags = map_severity(alert.get("severity"))
        rule = {
            "id": f"{alert.get('gid', 1)}:{alert.get('signature_id', 0)}",
            "name": str(alert.get("signature") or "unnamed signature"),
            "revision": str(alert.get("rev", 0)),
        }
        raw = msgspec.json.encode(record)
        payload: dict[str, Any] = {
            "detector": self.name,
            "rule": rule,
            "category": alert.get("category"),
            "action": alert.get("action"),
            "sensor_severity": alert.get("severity"),
            "matched": {key: record[key] for key in _MATCHED if key in record and _is_short(record[key])},
        }
        tactics = _ids(alert, "mitre_tactic_id", _TACTIC)
        if tactics:
            payload["tactics"] = tactics
        if len(raw) <= MAX_RAW_BYTES:
            payload["raw"] = record
        else:
            payload["reference"] = {"event_id": event.event_id, "bytes": len(raw)}
        return create_event(
            source_device=self.device_id,
            source_layer=3,
            category=EventCategory.NETWORK,
            severity=severity,
            payload=payload,
            event_id=ids.finding_id(event.ts, self.name, rule["id"], rule["revision"], (event.event_id,)),
            ts=event.ts,
            source=event.source,
            compartment=event.compartment,
            ingest_ts=event.ingest_ts,
            entities=event.entities,
            techniques=_ids(alert, "mitre_technique_id", _TECHNIQUE),
            evidence=(event.event_id,),
            origin=event.origin,
            flags=(*event.flags, *flags),
        )


def _is_short(value: object) -> bool:
    return not isinstance(value, str | dict | list) or len(str(value)) <= _MAX_MATCHED


def map_severity(value: object) -> tuple[Severity, tuple[str, ...]]:
    """Return our severity for a Suricata priority, and a flag when it is none."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return SEVERITY.get(value, Severity.LOW), ()
    return Severity.HIGH, (f"unknown_severity:{str(value)[:40]}",)


def _ids(alert: dict[str, Any], key: str, shape: re.Pattern[str]) -> list[str]:
    """Return the ATT&CK ids of one metadata list, in order, once each; malformed ones are left out."""
    metadata = alert.get("metadata")
    values = metadata.get(key) if isinstance(metadata, dict) else None
    if not isinstance(values, list):
        return []
    return list(dict.fromkeys(v for v in values if isinstance(v, str) and shape.fullmatch(v)))


DETECTOR = SuricataAlert
