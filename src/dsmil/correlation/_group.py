"""One growing group of findings: what it holds, how two become one, and when it has something new to say."""

from __future__ import annotations

from typing import Final

import msgspec

from dsmil.correlation._entities import Key
from dsmil.correlation._scores import noisy_or

#: Members that one revision names; with so many unnamed ones there is a new revision, so each is named once.
MOST_LISTED: Final = 100
#: Different things, rules and entities that a group knows; how many there are beyond is counted.
MOST_KINDS: Final = 200


class Member(msgspec.Struct, frozen=True, array_like=True):
    """One finding of a group."""

    event_id: str
    #: Event time, Unix seconds.
    ts: float
    #: Rank, 1 (LOW) to 4 (CRITICAL).
    severity: int
    rule: str


class Item(msgspec.Struct, array_like=True):
    """One thing that was found, and how often."""

    rule: str
    name: str
    #: Name of the deduplication rule.
    by: str
    severity: int
    count: int
    #: Event time, Unix seconds.
    first: float
    last: float
    #: Id of the finding that was first.
    event_id: str


class Group(msgspec.Struct, kw_only=True, array_like=True):
    """Findings that have entities in common."""

    #: Correlation id, the same for its whole life.
    id: str
    compartment: str
    #: First and last event, Unix seconds of event time.
    start: float
    end: float
    #: Arrival of the finding taken last, Unix seconds.
    ingest_ts: float
    severity: int
    members: int = 0
    #: Deduplication key -> item.
    items: dict[str, Item] = {}
    #: Rule -> its highest score.
    scores: dict[str, float] = {}
    entities: dict[Key, None] = {}
    techniques: dict[str, None] = {}
    #: What was left out of the four above, because there are too many.
    beyond: int = 0
    #: Members that no revision has named yet.
    unlisted: list[Member] = []
    #: Groups that became part of this one and were not named yet: correlation id, id of its last revision.
    merged: list[tuple[str, str]] = []
    revision: int = 0
    #: Id of the last revision.
    told_id: str = ""
    #: What the last revision said.
    told_members: int = 0
    told_severity: int = 0
    #: Rules, kinds of entities and techniques: what is worth telling when it is new; and those not told yet.
    kinds: dict[str, None] = {}
    fresh: list[str] = []

    @property
    def score(self) -> float:
        """Noisy-OR over the rules: a rule that hits again is the same reason, not another."""
        return noisy_or(self.scores.values())

    @property
    def full(self) -> bool:
        """Whether it knows so many entities that it takes up no more of them, nor other groups."""
        return len(self.entities) >= MOST_KINDS

    def news(self, *, again: bool = False) -> str:
        """Return why there is to be a new revision, empty when there is nothing to tell yet."""
        if self.members < 2:  # noqa: PLR2004 - one finding is no group
            return ""
        if not self.revision:
            return "second member"
        if self.severity > self.told_severity:
            return "higher severity"
        if self.merged:
            return "groups became one"
        if self.fresh:
            return f"new {self.fresh[0]}"
        if again:
            return "worse or seen again after its window"
        if self.members >= 2 * self.told_members:
            return "twice as many members"
        return "list is full" if len(self.unlisted) >= MOST_LISTED else ""

    def told(self, event_id: str) -> None:
        """Note that a revision was made of it."""
        self.revision += 1
        self.told_id, self.told_members, self.told_severity = event_id, self.members, self.severity
        self.unlisted, self.merged, self.fresh = self.unlisted[MOST_LISTED:], [], []

    def put(self, key: str, item: Item, window_s: float) -> bool:
        """Count an item; return whether it is worth telling: worse than before, or after its window."""
        known = self.items.get(key)
        if known is None:
            if len(self.items) < MOST_KINDS:
                self.items[key] = item
            else:
                self.beyond += 1
            return False
        worth = item.severity > known.severity or item.first > known.last + window_s
        self.items[key] = _together(known, item)
        return worth

    def note(self, scores: dict[str, float], entities: dict[Key, None], techniques: dict[str, None]) -> None:
        """Take up scores, entities and techniques."""
        for rule, score in scores.items():
            if rule in self.scores or len(self.scores) < MOST_KINDS:
                self.scores[rule] = max(score, self.scores.get(rule, 0.0))
            else:
                self.beyond += 1
        for kind in (
            *(f"rule {rule}" for rule in scores),
            *(f"entity {kind}" for kind, _ in entities),
            *(f"technique {technique}" for technique in techniques),
        ):
            if kind not in self.kinds and len(self.kinds) < 3 * MOST_KINDS:
                self.kinds[kind] = None
                self.fresh.append(kind)
        self.beyond += _add(self.entities, entities) + _add(self.techniques, techniques)

    def swallow(self, other: Group) -> None:
        """Become one with a younger group; nothing of it is lost."""
        self.start, self.end = min(self.start, other.start), max(self.end, other.end)
        self.ingest_ts = max(self.ingest_ts, other.ingest_ts)
        self.severity = max(self.severity, other.severity)
        self.members += other.members
        for key, item in other.items.items():
            self.put(key, item, float("inf"))
        self.note(other.scores, other.entities, other.techniques)
        self.beyond += other.beyond
        self.unlisted += other.unlisted
        self.merged += other.merged
        if other.revision:
            self.merged.append((other.id, other.told_id))


def _add(known: dict[Key, None] | dict[str, None], new: dict[Key, None] | dict[str, None]) -> int:
    """Add what there is room for; return how many there was none for."""
    left_out = 0
    for one in new:
        if one in known or len(known) < MOST_KINDS:
            known[one] = None  # type: ignore[index]
        else:
            left_out += 1
    return left_out


def _together(one: Item, other: Item) -> Item:
    early, late = sorted((one, other), key=lambda item: (item.first, item.event_id))
    return Item(
        early.rule,
        early.name,
        early.by,
        max(one.severity, other.severity),
        one.count + other.count,
        early.first,
        max(early.last, late.last),
        early.event_id,
    )
