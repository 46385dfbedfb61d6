"""What an analytic says: something is the case of somebody, how surely, and by which features."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Protocol

import msgspec

from dsmil.events.model import Entity, EventCategory, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dsmil.analytics.records import Record
    from dsmil.events.model import Event

#: Score from which on something is said at all.
LEAST_SCORE: Final = 0.7
#: Event ids that are kept as evidence: the newest.
MAX_EVIDENCE: Final = 50


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was measured."""

    name: str
    value: float
    #: What it adds, 0 to 1; None for what is told but not weighed.
    score: float | None = None
    #: In words, with units.
    says: str = ""


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """What an analytic says about one key, as things stand."""

    #: Whom it is about; the same text as long as it is the same matter.
    key: str
    #: Event time of the newest record, Unix seconds.
    ts: float
    #: 0 to 1.
    score: float
    #: What grows as the matter grows: check-ins, names, bytes.
    measure: float
    #: One sentence.
    says: str
    severity: Severity
    #: Strongest first.
    features: tuple[Feature, ...]
    entities: tuple[Entity, ...]
    techniques: tuple[str, ...] = ()
    #: Newest ids of the records it rests on, and how many there were.
    evidence: tuple[str, ...] = ()
    records: int = 0
    #: Values of records by which it was found, e.g. ``dest``.
    matched: dict[str, str | int | float] = {}


class Scorer(Protocol):
    """One analytic. Its answers follow from the order of events and their own times alone."""

    #: Word of the rule, e.g. ``beacon``.
    name: ClassVar[str]
    #: Name of the rule, in words.
    title: ClassVar[str]
    #: Changes with the formula.
    revision: ClassVar[str]
    #: Device of Layer 3 by its domain.
    device_id: ClassVar[int]
    category: ClassVar[EventCategory]
    #: Silence after which the same matter is a new one, seconds of event time.
    forgets_s: ClassVar[float]
    #: All that it remembers: packed and unpacked as it is.
    state: msgspec.Struct

    def see(self, event: Event, feed: str, record: Record | None) -> Iterable[Signal]:
        """Take up one event, its feed, and what it tells of the network; return what is to be said now."""
        ...


def by_weight(features: Iterable[Feature]) -> tuple[Feature, ...]:
    """Return features, strongest first; what is not weighed comes last."""
    return tuple(sorted(features, key=lambda one: -1.0 if one.score is None else one.score, reverse=True))
