"""What correlators share: they read findings of Layer 3, and publish what they make of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from dsmil.correlation._seen import Seen
from dsmil.events import ids
from dsmil.events.handling import Delivery, Drop, Outcome, Publish
from dsmil.events.model import Entity, Event, EventCategory, Severity, create_event
from dsmil.events.streams import StreamName

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Correlator(ABC):
    """Base of a correlator; it never reads what it writes, so that it cannot feed itself."""

    name: ClassVar[str]
    device_id: ClassVar[int]
    reads: ClassVar[tuple[StreamName, ...]] = (StreamName.L3_OUT, StreamName.L4_IN)
    writes: ClassVar[tuple[StreamName, ...]] = (StreamName.L4_OUT,)

    def __init__(self) -> None:
        """Start without memory."""
        self._seen = Seen()

    def handle(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Answer each finding with what it changes, or drop it with the reason."""
        return [self._one(delivery.event) for delivery in batch]

    def _one(self, event: Event) -> Outcome:
        if not self._seen.add(event.event_id):
            return Drop("seen")
        found = self.take(event)
        if isinstance(found, str):
            return Drop(found)
        return Publish(tuple((StreamName.L4_OUT, one) for one in found))

    @abstractmethod
    def take(self, event: Event) -> list[Event] | str:
        """Return the findings that an event leads to, or why there is none."""

    def finding(
        self,
        *,
        ts: float,
        ingest_ts: float,
        severity: Severity,
        payload: dict[str, Any],
        compartment: str,
        correlation_id: str,
        revision: int,
        entities: Iterable[Entity],
        techniques: Iterable[str],
        score: float,
        evidence: tuple[str, ...],
    ) -> Event:
        """Return a finding of this correlator: one revision of what ``correlation_id`` names."""
        rule = payload["rule"]
        return create_event(
            source_device=self.device_id,
            source_layer=4,
            category=EventCategory.INTEL,
            severity=severity,
            payload={"detector": self.name, **payload},
            event_id=ids.finding_id(ts, self.name, f"{rule['id']}:{correlation_id}", str(revision), evidence),
            ts=ts,
            source=self.name,
            compartment=compartment,
            ingest_ts=ingest_ts,
            correlation_id=correlation_id,
            entities=entities,
            techniques=techniques,
            score=score,
            evidence=evidence,
        )
