"""Correlation rules: what several events mean together, within a span of event time."""

from __future__ import annotations

import math
import operator
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

import msgspec

from dsmil.sigma.rule import About

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_HOLDS: Final[dict[str, Callable[[float, float], bool]]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "eq": operator.eq,
    "neq": operator.ne,
}


class Entry(msgspec.Struct, frozen=True):
    """One match of a rule that a correlation refers to."""

    #: Event time, Unix seconds.
    ts: float
    #: Reference of the rule, as the correlation writes it.
    rule: str
    #: Events it rests on.
    evidence: tuple[str, ...]
    #: Values of the condition's fields; empty when the kind of correlation needs none.
    values: tuple[str, ...] = ()


class Present(msgspec.Struct, frozen=True):
    """The rule has matched."""

    rule: str


class Both(msgspec.Struct, frozen=True):
    """All parts hold."""

    parts: tuple[Expression, ...]


class Either(msgspec.Struct, frozen=True):
    """One part holds."""

    parts: tuple[Expression, ...]


class Absent(msgspec.Struct, frozen=True):
    """The part does not hold."""

    part: Expression


Expression = Present | Both | Either | Absent


class Correlation(msgspec.Struct, frozen=True, kw_only=True):
    """A correlation rule."""

    about: About
    #: event_count, value_count, value_sum, value_avg, value_median, value_percentile, temporal, temporal_ordered.
    type: str
    #: References of the rules it is about, in the order of the rule.
    rules: tuple[str, ...]
    #: Length of the window, seconds of event time.
    timespan_s: float
    #: Fields whose values must be the same.
    group_by: tuple[str, ...] = ()
    #: Field of ``group_by`` -> rule -> the field's name in that rule's records.
    aliases: dict[str, dict[str, str]] = {}
    #: Whether the rules it is about give findings of their own too.
    generate: bool = False
    operator: str = "gte"
    count: float = 1
    #: Fields whose values are counted or added.
    fields: tuple[str, ...] = ()
    #: For value_percentile: which one, 0-100.
    percentile: float = 50
    #: Condition over the rules, instead of a number.
    expression: Expression | None = None

    @property
    def waits(self) -> bool:
        """Whether only the end of the window can tell, as for "fewer than", averages, and what is absent."""
        if self.expression is not None:
            return _negates(self.expression)
        return self.operator not in {"gt", "gte"} or self.type in _FALLING

    def field_of(self, field: str, rule: str) -> str:
        """Return the name that a field of ``group_by`` has in the records of a rule."""
        return self.aliases.get(field, {}).get(rule, field)

    def measure(self, entries: Sequence[Entry]) -> float:
        """Return the number that the condition is about, for entries in order of time."""
        if self.type == "temporal_ordered":
            return _longest_run([self.rules.index(entry.rule) for entry in entries])
        if self.type == "temporal":
            return len({entry.rule for entry in entries})
        if self.type == "value_count":
            return len({entry.values for entry in entries})
        if self.type in _NUMERIC:
            return _NUMERIC[self.type](_numbers(entries), self.percentile)
        return len(entries)

    def holds(self, entries: Sequence[Entry]) -> bool:
        """Return whether the condition holds for the entries of one window, in order of time."""
        if self.expression is not None:
            seen = {entry.rule for entry in entries}
            return _true(self.expression, seen) and (self.type == "temporal" or self._in_order(entries, seen))
        return _HOLDS[self.operator](self.measure(entries), self.count)

    def _in_order(self, entries: Sequence[Entry], seen: set[str]) -> bool:
        """Return whether the rules that have matched did so in the order of the rule."""
        return _longest_run([self.rules.index(entry.rule) for entry in entries]) >= len(seen)


def _negates(expression: Expression) -> bool:
    if isinstance(expression, Both | Either):
        return any(map(_negates, expression.parts))
    return isinstance(expression, Absent)


def _true(expression: Expression, seen: set[str]) -> bool:
    match expression:
        case Present(rule):
            return rule in seen
        case Both(parts):
            return all(_true(part, seen) for part in parts)
        case Either(parts):
            return any(_true(part, seen) for part in parts)
        case Absent(part):
            return not _true(part, seen)


def _longest_run(places: Sequence[int]) -> int:
    """Return how many different rules matched in the order of the rule: the longest rising subsequence."""
    ends: list[int] = []
    for place in places:
        at = bisect_left(ends, place)
        ends[at : at + 1] = [place]
    return len(ends)


def _numbers(entries: Sequence[Entry]) -> list[float]:
    found = []
    for entry in entries:
        for value in entry.values:
            try:
                number = float(value)
            except ValueError:
                continue
            if math.isfinite(number):
                found.append(number)
    return sorted(found)


def _rank(numbers: list[float], percentile: float) -> float:
    """Return the percentile by nearest rank; NaN of nothing, so that no condition holds."""
    if not numbers:
        return math.nan
    return numbers[min(len(numbers) - 1, max(0, math.ceil(percentile / 100 * len(numbers)) - 1))]


def _median(numbers: list[float], _: float) -> float:
    middle = len(numbers) // 2
    if not numbers:
        return math.nan
    return numbers[middle] if len(numbers) % 2 else (numbers[middle - 1] + numbers[middle]) / 2


def _mean(numbers: list[float], _: float) -> float:
    return math.fsum(numbers) / len(numbers) if numbers else math.nan


_NUMERIC: Final[dict[str, Callable[[list[float], float], float]]] = {
    "value_sum": lambda numbers, _: math.fsum(numbers),
    "value_avg": _mean,
    "value_median": _median,
    "value_percentile": _rank,
}
#: Figures that more events may lower again.
_FALLING: Final = frozenset({"value_avg", "value_median", "value_percentile"})
