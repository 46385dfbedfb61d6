"""Device 16, SIGNALS: Suricata's alerts as findings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

from dsmil.detections._sensed import Rule, SensorDetector
from dsmil.events.model import EventCategory, Severity

if TYPE_CHECKING:
    from dsmil.events.model import Event

#: Suricata's priority (1 is its highest) -> our severity. Anything above 3 is LOW too; what is no priority at
#: all is HIGH with the flag ``unknown_severity``. CRITICAL is left to correlation and operator state.
SEVERITY: Final = {1: Severity.HIGH, 2: Severity.MEDIUM, 3: Severity.LOW}
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


def read_rule(record: dict[str, Any]) -> Rule | str:
    """Return the signature; a record of another type is no alert."""
    alert = record.get("alert")
    if record.get("event_type") != "alert" or not isinstance(alert, dict):
        return "no_alert"
    said: dict[str, Any] = {"category": alert.get("category"), "action": alert.get("action")}
    tactics = _ids(alert, "mitre_tactic_id", _TACTIC)
    return Rule(
        id=f"{alert.get('gid', 1)}:{alert.get('signature_id', 0)}",
        name=str(alert.get("signature") or "unnamed signature"),
        revision=str(alert.get("rev", 0)),
        severity=alert.get("severity"),
        said=said | ({"tactics": tactics} if tactics else {}),
        matched=_MATCHED,
    )


class SuricataAlert(SensorDetector):
    """One alert, one finding; every other record is read without a finding."""

    name: ClassVar[str] = "l3-suricata-alert"
    device_id: ClassVar[int] = 16
    rules = {"suricata": read_rule}  # noqa: RUF012 - declared in the base
    otherwise: ClassVar[str] = "not_suricata"

    def changes(self, event: Event) -> dict[str, Any]:
        """Return severity and techniques: the feed leaves both to the alert."""
        alert = event.payload["alert"]
        severity, flags = map_severity(alert.get("severity"))
        return {
            "category": EventCategory.NETWORK,
            "severity": severity,
            "techniques": _ids(alert, "mitre_technique_id", _TECHNIQUE),
            "flags": (*event.flags, *flags),
        }


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
