"""The state of correlation rules: windows of event time, one for each group, bounded in number and length."""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

import msgspec

from dsmil.sigma.correlation import Correlation, Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Groups kept for one rule; beyond it the one that has been quiet longest is forgotten, and counted.
MAX_GROUPS: Final = 10_000
#: Entries kept of one group, or twice the threshold if that is more; beyond it the oldest are forgotten.
MAX_ENTRIES: Final = 1_000
#: Entries kept of all groups of one rule; beyond it the groups that have been quiet longest are forgotten too.
MAX_HELD: Final = 200_000
#: Events that a firing names as evidence; the number of all is told as well.
MAX_EVIDENCE: Final = 100

Key = tuple[str, ...]


class Firing(msgspec.Struct, frozen=True, kw_only=True):
    """A correlation rule whose condition holds."""

    rule: Correlation
    #: Field of ``group_by`` -> value.
    group: dict[str, str]
    #: First and last event, Unix seconds of event time.
    start: float
    end: float
    #: What the condition is about: events, different values, a sum.
    measure: float
    #: Rules that matched, in the order of their first match.
    rules: tuple[str, ...]
    #: Ids of the newest events it rests on.
    evidence: tuple[str, ...]
    #: How many events it rests on.
    events: int


class Group:
    """The window of one group."""

    __slots__ = ("closes", "entries", "fired", "known", "quiet_until", "trigger")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        #: Which matches are among the entries.
        self.known: set[tuple[str, tuple[str, ...]]] = set()
        #: When it is judged, for rules that wait; Unix seconds of event time.
        self.closes = 0.0
        #: What was measured when it fired last, and until when only double of it fires again.
        self.fired = 0.0
        self.quiet_until = float("-inf")
        #: Event that made it fire, with the firing: an event that is handled again answers the same.
        self.trigger: tuple[str, Firing] | None = None

    def take(self, entry: Entry) -> None:
        """Put an entry in its place in time."""
        insort(self.entries, entry, key=lambda one: one.ts)
        self.known.add((entry.rule, entry.evidence))


class Windows:
    """All windows of one correlation rule."""

    def __init__(self, rule: Correlation) -> None:
        """Start without state."""
        self.rule = rule
        self.forgotten = 0
        #: Entries of all groups.
        self.held = 0
        #: Key -> window, the one that was quiet longest first.
        self.groups: OrderedDict[Key, Group] = OrderedDict()
        self._due: list[tuple[float, Key]] = []
        self._most = max(MAX_ENTRIES, int(2 * rule.count)) if rule.expression is None else MAX_ENTRIES

    def __len__(self) -> int:
        """Return the number of groups."""
        return len(self.groups)

    def restore(self, groups: Iterable[tuple[Key, Group]], forgotten: int) -> None:
        """Take up windows that were kept."""
        self.groups = OrderedDict(groups)
        self.held = sum(len(one.entries) for one in self.groups.values())
        self.forgotten = forgotten
        # Only rules that wait are judged by time.
        self._due = sorted((one.closes, key) for key, one in self.groups.items()) if self.rule.waits else []

    def add(self, key: Key, entry: Entry) -> Firing | None:
        """Add a match to its group; return the firing, if it makes one."""
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = Group()
            if len(self.groups) > MAX_GROUPS:
                self._forget()
        else:
            self.groups.move_to_end(key)
        if (entry.rule, entry.evidence) in group.known:
            return group.trigger[1] if group.trigger and group.trigger[0] == entry.evidence[-1] else None
        if self.rule.waits:
            self._wait(key, group, entry)
            return None
        newest = max(entry.ts, group.entries[-1].ts) if group.entries else entry.ts
        if entry.ts < newest - self.rule.timespan_s:
            return None  # too late for the window that is open
        self._take(group, entry)
        oldest = newest - self.rule.timespan_s
        while group.entries[0].ts < oldest or len(group.entries) > self._most:
            first = group.entries.pop(0)
            self.held -= 1
            group.known.discard((first.rule, first.evidence))
        return self._judge(key, group, entry)

    def _take(self, group: Group, entry: Entry) -> None:
        """Put an entry into its group, which is the one that spoke last; make room if there are too many."""
        group.take(entry)
        self.held += 1
        while self.held > MAX_HELD and len(self.groups) > 1:
            self._forget()

    def _forget(self) -> None:
        """Forget the group that has been quiet longest."""
        _, gone = self.groups.popitem(last=False)
        self.held -= len(gone.entries)
        self.forgotten += 1

    def _judge(self, key: Key, group: Group, entry: Entry) -> Firing | None:
        """Return the firing if the condition holds and did not before, or by twice as much as before."""
        if not self.rule.holds(group.entries):
            return None
        measure = self.rule.measure(group.entries)
        newest = group.entries[-1].ts
        if newest <= group.quiet_until and measure < 2 * group.fired:
            return None
        group.fired, group.quiet_until = measure, newest + self.rule.timespan_s
        firing = self._firing(key, group.entries, measure)
        group.trigger = (entry.evidence[-1], firing)
        return firing

    # Rules that can only be judged at the end of a window

    def _wait(self, key: Key, group: Group, entry: Entry) -> None:
        if not group.entries:
            group.closes = entry.ts + self.rule.timespan_s
            self._take(group, entry)
            heappush(self._due, (group.closes, key))
            if len(self._due) > 2 * MAX_GROUPS:  # groups that were forgotten still stand here
                self._due = sorted((one.closes, of) for of, one in self.groups.items())
            return
        if not group.closes - self.rule.timespan_s <= entry.ts <= group.closes:
            return  # of a window that is over
        if len(group.entries) < self._most:
            self._take(group, entry)

    def advance(self, now: float) -> Iterator[Firing]:
        """Judge the windows that are over at ``now``, Unix seconds of event time."""
        while self._due and self._due[0][0] < now:
            closes, key = heappop(self._due)
            group = self.groups.get(key)
            if group is None or group.closes != closes or not group.entries:
                continue  # forgotten meanwhile
            del self.groups[key]
            self.held -= len(group.entries)
            if self.rule.holds(group.entries):
                yield self._firing(key, group.entries, self.rule.measure(group.entries))

    def _firing(self, key: Key, entries: list[Entry], measure: float) -> Firing:
        evidence = list(dict.fromkeys(one for entry in entries for one in entry.evidence))
        return Firing(
            rule=self.rule,
            group=dict(zip(self.rule.group_by, key, strict=True)),
            start=entries[0].ts,
            end=entries[-1].ts,
            measure=measure,
            rules=tuple(dict.fromkeys(entry.rule for entry in entries)),
            evidence=tuple(evidence[-MAX_EVIDENCE:]),
            events=len(evidence),
        )
