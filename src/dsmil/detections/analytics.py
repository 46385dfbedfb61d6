"""Devices 16, 19, 20 and 21: what many records mean together: beacons, tunnels, scans, what is new, rates.

One detector for all analytics: each further one would read and settle every record once more. A finding is of the
device whose domain its analytic is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from dsmil.analytics import scorers
from dsmil.analytics.bounded import remember
from dsmil.analytics.raising import Said, raised
from dsmil.analytics.reading import look
from dsmil.analytics.signal import Scorer, Signal
from dsmil.events import ids
from dsmil.events.handling import Delivery, Drop, Outcome, Publish
from dsmil.events.model import Event, create_event
from dsmil.events.streams import StreamName
from dsmil.registry import discover

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Changes with the shape of what is remembered.
MEMORY_VERSION: Final = 1
#: Events whose answer is kept: one that is handled again is not counted again. More than are ever in hand.
MAX_ANSWERED: Final = 4_096
#: The reason is one for all: what an event adds up to later is said by the finding, which names it.
_NOTHING: Final = Drop("not_by_itself")


class Memory(msgspec.Struct, kw_only=True):
    """All that the detector remembers, as it is packed."""

    version: int
    #: Matter -> what was last said of it.
    said: dict[str, Said]
    #: Newest events and their findings.
    answered: dict[str, tuple[Event, ...]]
    #: Analytic -> its own state.
    scorers: dict[str, msgspec.Raw]


class Analytics:
    """Shows every event to each analytic, and publishes what is notably worse than what was said before."""

    name: ClassVar[str] = "l3-analytics"
    device_id: ClassVar[int] = 16
    reads: ClassVar[tuple[StreamName, ...]] = (StreamName.L3_IN,)
    writes: ClassVar[tuple[StreamName, ...]] = (StreamName.L3_OUT,)

    def __init__(self) -> None:
        """Start with nothing in mind."""
        self.scorers: dict[str, Scorer] = {name: kind() for name, kind in discover(scorers, "SCORER").items()}
        self._said: dict[str, Said] = {}
        self._answered: dict[str, tuple[Event, ...]] = {}

    def handle(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Answer each event with the findings it gives rise to; most give none."""
        return [self._one(delivery.event) for delivery in batch]

    def _one(self, event: Event) -> Outcome:
        findings = self._answered.get(event.event_id)
        if findings is None:
            feed, record = look(event)
            findings = ()  # most stay so, and one empty tuple serves all
            for scorer in self.scorers.values():
                for signal in scorer.see(event, feed, record):
                    said = raised(self._said, signal, scorer.name, scorer.forgets_s)
                    if said is not None:
                        findings += (_finding(event, scorer, signal, said),)
            remember(self._answered, event.event_id, findings, MAX_ANSWERED)
        if not findings:
            return _NOTHING
        return Publish(tuple((StreamName.L3_OUT, finding) for finding in findings))

    def memory(self) -> bytes:
        """Return all that it remembers."""
        return msgspec.msgpack.encode(
            Memory(
                version=MEMORY_VERSION,
                said=self._said,
                answered=self._answered,
                scorers={
                    name: msgspec.Raw(msgspec.msgpack.encode(scorer.state))
                    for name, scorer in self.scorers.items()
                },
            )
        )

    def recall(self, memory: bytes) -> None:
        """Take up what ``memory`` gave; ValueError when it is none, or of another version."""
        try:
            version = msgspec.msgpack.decode(memory, type=_Version).version
            if version != MEMORY_VERSION:
                raise ValueError(f"memory of version {version}, this is version {MEMORY_VERSION}")
            kept = msgspec.msgpack.decode(memory, type=Memory)
            states = {
                name: msgspec.msgpack.decode(kept.scorers[name], type=type(scorer.state))
                for name, scorer in self.scorers.items()
                if name in kept.scorers
            }
        except msgspec.MsgspecError as exc:
            raise ValueError(f"this is no memory of {self.name}: {exc}") from exc
        for name, state in states.items():
            self.scorers[name].state = state
        self._said, self._answered = kept.said, kept.answered

    def notes(self) -> dict[str, Any]:
        """Return what its heartbeat says: how many matters it has spoken of, and its analytics."""
        return {"matters": len(self._said), "analytics": list(self.scorers)}

    def checks(self) -> dict[str, str]:
        """Return nothing: it needs no rules, no files and no place."""
        return {}


class _Version(msgspec.Struct):
    version: int


def _finding(event: Event, scorer: Scorer, signal: Signal, said: Said) -> Event:
    correlation_id = ids.derived_id(said.since, "analytics", scorer.name, signal.key)
    payload: dict[str, Any] = {
        "detector": Analytics.name,
        "rule": {"id": scorer.name, "name": scorer.title, "revision": scorer.revision},
        "says": signal.says,
        "matched": signal.matched,
        "features": [
            {
                "name": feature.name,
                "value": round(feature.value, 4),
                **({} if feature.score is None else {"score": round(feature.score, 3)}),
                **({"says": feature.says} if feature.says else {}),
            }
            for feature in signal.features
        ],
        "revision": said.revision,
        "records": signal.records,
    }
    return create_event(
        source_device=scorer.device_id,
        source_layer=3,
        category=scorer.category,
        severity=said.severity,
        payload=payload,
        event_id=ids.finding_id(
            signal.ts,
            Analytics.name,
            scorer.name,
            f"{scorer.revision}.{said.revision}",
            (correlation_id, *signal.evidence),
        ),
        ts=signal.ts,
        source=event.source,
        compartment=event.compartment,
        ingest_ts=event.ingest_ts,
        correlation_id=correlation_id,
        entities=signal.entities,
        techniques=signal.techniques,
        score=round(signal.score, 4),
        evidence=signal.evidence,
        origin=event.origin,
    )


DETECTOR = Analytics
