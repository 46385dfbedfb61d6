"""What detectors share whose sensor has already judged: the record becomes a finding with its evidence.

Severity, techniques and entities are those of the record's event, as its feed mapped them; a detector says only
which rule was hit, or why there is no finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from dsmil.events import ids
from dsmil.events.handling import Delivery, Drop, Outcome, Publish
from dsmil.events.model import Event, create_event
from dsmil.events.streams import StreamName

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: A record larger than this stays where it is, and the finding refers to it.
MAX_RAW_BYTES: Final = 96 * 1024
#: A field longer than this is not repeated; the record has it.
_MAX_MATCHED: Final = 1024


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What the sensor says it found."""

    id: str
    name: str
    revision: str = "0"
    #: The sensor's own word or number for how bad it is.
    severity: Any = None
    #: Further fields of the finding's payload, e.g. ``category``.
    said: dict[str, Any] = {}
    #: Fields of the record that are repeated as those that matched.
    matched: tuple[str, ...] = ()


class SensorDetector:
    """Base of a detector for records that carry an alert."""

    name: ClassVar[str]
    device_id: ClassVar[int]
    #: ``source`` of events -> what returns the rule that a record says was hit, or why there is no finding.
    rules: ClassVar[dict[str, Callable[[dict[str, Any]], Rule | str]]]
    #: Why other events give none; begins with ``not_``.
    otherwise: ClassVar[str]
    reads: ClassVar[tuple[StreamName, ...]] = (StreamName.L3_IN,)
    writes: ClassVar[tuple[StreamName, ...]] = (StreamName.L3_OUT,)

    def changes(self, event: Event) -> dict[str, Any]:  # noqa: ARG002 - for those that judge beside the feed
        """Return fields in which the finding differs from its record's event, e.g. ``severity``."""
        return {}

    def handle(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Answer each record with its finding, or drop it with the reason."""
        return [self._one(delivery.event) for delivery in batch]

    def _one(self, event: Event) -> Outcome:
        read = self.rules.get(event.source)
        if read is None:
            return Drop(self.otherwise)
        rule = read(event.payload)
        if isinstance(rule, str):
            return Drop(rule)
        return Publish(((StreamName.L3_OUT, finding(self, event, rule)),))


def finding(detector: SensorDetector, event: Event, rule: Rule) -> Event:
    """Return the finding that a record gives."""
    record = event.payload
    payload: dict[str, Any] = {
        "detector": detector.name,
        "rule": {"id": rule.id, "name": rule.name, "revision": rule.revision},
        **rule.said,
        "sensor_severity": rule.severity,
        "matched": {key: record[key] for key in rule.matched if key in record and is_short(record[key])},
    }
    size = len(msgspec.json.encode(record))
    if size <= MAX_RAW_BYTES:
        payload["raw"] = record
    else:
        payload["reference"] = {"event_id": event.event_id, "bytes": size}
    fields: dict[str, Any] = {
        "category": event.category,
        "severity": event.severity,
        "techniques": event.techniques,
        "flags": event.flags,
    }
    return create_event(
        source_device=detector.device_id,
        source_layer=3,
        payload=payload,
        event_id=ids.finding_id(event.ts, detector.name, rule.id, rule.revision, (event.event_id,)),
        ts=event.ts,
        source=event.source,
        compartment=event.compartment,
        ingest_ts=event.ingest_ts,
        entities=event.entities,
        evidence=(event.event_id,),
        origin=event.origin,
        **(fields | detector.changes(event)),
    )


def is_short(value: object) -> bool:
    """Return whether a value is short enough to be repeated."""
    return not isinstance(value, str | dict | list) or len(str(value)) <= _MAX_MATCHED
