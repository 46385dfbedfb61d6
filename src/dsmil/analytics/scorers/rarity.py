"""First-seen values: a user, a host, an address that a feed has never named, where new ones hardly ever come."""

from __future__ import annotations

from math import log2
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from dsmil.analytics.bounded import drop_oldest
from dsmil.analytics.signal import LEAST_SCORE, Feature, Signal, by_weight
from dsmil.analytics.stats import between
from dsmil.events.model import Entity, EventCategory, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dsmil.analytics.records import Record
    from dsmil.events.model import Event

#: Classes (feed, type, role) that are remembered.
MAX_CLASSES: Final = 256
#: Values of one class; a class with more has no rare ones, and is given up.
MAX_VALUES: Final = 4_096
#: Values of all classes together from which on a new class takes the place of the oldest ones.
MAX_KEPT: Final = 200_000
#: Types with a population of its own; paths, URLs and numbers never end.
TYPES: Final = frozenset(("user", "host", "ip", "domain", "mac", "email", "group"))
#: Longest value that is remembered, characters.
_LONGEST: Final = 200
#: A class must have been watched this long before new is news: a day has nights and office hours.
LEARNS_S: Final = 86_400.0
_LEARNS_VALUES: Final = 1_000
#: New values of a class within a day, from which on they are no news.
_MOST_NEW: Final = 4
#: Surprise that counts in full: one chance in 16,384. Ten bits, one in 1,024, come to 0.71.
_FULL_BITS: Final = 14.0
_DAY_S: Final = 86_400.0


class Population(msgspec.Struct, gc=False):
    """The values of one class."""

    since: float
    #: Value -> how often.
    counts: dict[str, int] = {}
    total: int = 0
    #: Values that came once.
    singles: int = 0
    #: Event times of the newest first appearances, Unix seconds.
    new: list[float] = []
    #: Whether it was given up.
    is_open: bool = False


class RarityState(msgspec.Struct):
    """All that is remembered."""

    classes: dict[str, Population] = {}
    kept: int = 0


class Rarity:
    """Says that a value is new, by how likely a new one was: I. J. Good's estimate, singles to all."""

    name: ClassVar[str] = "first-seen"
    title: ClassVar[str] = "Value seen for the first time"
    revision: ClassVar[str] = "1"
    device_id: ClassVar[int] = 20
    category: ClassVar[EventCategory] = EventCategory.SECURITY
    forgets_s: ClassVar[float] = 30 * _DAY_S

    def __init__(self) -> None:
        self.state = RarityState()

    def see(self, event: Event, feed: str, record: Record | None) -> Iterable[Signal]:  # noqa: ARG002 - any feed
        """Count the entities of an event."""
        found: list[Signal] = []
        for entity in event.entities:
            if entity.type in TYPES and len(entity.value) <= _LONGEST:
                signal = self._count(event, entity, feed)
                if signal is not None:
                    found.append(signal)
        return found

    def _count(self, event: Event, entity: Entity, feed: str) -> Signal | None:
        state = self.state
        key = f"{feed} {entity.type} {entity.role}"
        known = state.classes.get(key)
        if known is None:
            if len(state.classes) >= MAX_CLASSES or state.kept >= MAX_KEPT:
                state.kept -= sum(len(old.counts) for old in drop_oldest(state.classes))
            known = state.classes[key] = Population(event.ts)
        if known.is_open:
            return None
        before = known.counts.get(entity.value, 0)
        chance = (known.singles + 1) / (known.total + 1)
        known.total += 1
        known.since = min(known.since, event.ts)
        known.counts[entity.value] = before + 1
        if before:
            known.singles -= before == 1
            return None
        known.singles += 1
        state.kept += 1
        recent = sum(event.ts - _DAY_S < ts for ts in known.new)
        known.new = [*known.new[-_MOST_NEW + 1 :], event.ts]
        if len(known.counts) > MAX_VALUES:
            state.kept -= len(known.counts)
            known.counts, known.is_open = {}, True
        is_learning = event.ts - known.since < LEARNS_S or known.total < _LEARNS_VALUES
        if known.is_open or is_learning or recent >= _MOST_NEW:
            return None
        signal = _signal(event, feed, entity, known, chance)
        return signal if signal.score >= LEAST_SCORE else None


def _signal(event: Event, feed: str, entity: Entity, known: Population, chance: float) -> Signal:
    bits = -log2(chance)
    score = between(bits, 0, _FULL_BITS)
    part = f"{entity.role} {entity.type}".strip()
    return Signal(
        key=f"{feed} {part} {entity.value}",
        ts=event.ts,
        score=score,
        measure=1,
        says=(
            f"{part} {entity.value} has not been seen in {feed} before, among {known.total - 1}"
            f" observations of {len(known.counts) - 1} values"
        ),
        severity=Severity.LOW,
        features=by_weight(
            (
                Feature(
                    name="surprise_bits",
                    value=bits,
                    score=score,
                    says="by how rarely values came once; 14 count in full",
                ),
                Feature(name="observations", value=known.total - 1),
                Feature(name="values", value=len(known.counts) - 1),
            )
        ),
        entities=(entity, *(other for other in event.entities if other != entity))[:10],
        evidence=(event.event_id,),
        records=1,
        matched={part: entity.value},
    )


SCORER = Rarity
