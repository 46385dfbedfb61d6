"""Rate changes: a feed, or the different users, hosts and addresses it names, at a level it was not at before."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from dsmil.analytics.bounded import touched
from dsmil.analytics.signal import LEAST_SCORE, Feature, Signal, by_weight
from dsmil.analytics.stats import deviation, quantile
from dsmil.events.model import EventCategory, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dsmil.analytics.records import Record
    from dsmil.events.model import Event

#: Series that are remembered.
MAX_SERIES: Final = 512
#: Different values of one minute that are told apart.
MAX_VALUES: Final = 1_024
#: Types whose different values are counted.
TYPES: Final = frozenset(("user", "host", "ip", "domain"))
BUCKET_S: Final = 60.0
#: Minutes that make the level, and how many are needed before anything is said.
HISTORY: Final = 240
LEARNS: Final = 60
#: Minutes that may be missing between two records; a longer gap begins anew.
_LONGEST_GAP: Final = 240
#: Records that come later than this after the newest minute are of another reading, and not counted.
_LATE_BUCKETS: Final = 60
#: A root of counts has a deviation of one half when records come independently (F. J. Anscombe, 1948).
_LEAST_DEVIATION: Final = 0.5
#: CUSUM (E. S. Page, Continuous Inspection Schemes, 1954): slack of one deviation, so that it answers best to
#: shifts of two; alarm at a sum of eight; no minute counts more than four, so that it takes three of them.
_SLACK: Final = 1.0
_ALARM: Final = 8.0
_MOST: Final = 4.0
_MOST_SUM: Final = 400.0
#: A minute with less than this is not above anything: from nothing to a handful is no change of rate.
_LEAST_COUNT: Final = 20
#: Minutes after which the level is taken anew.
_RENEWED: Final = 15
_DEVIATION: Final = 1.4826
#: Records of a minute that are named: the first.
_MOST_EVIDENCE: Final = 20


class Series(msgspec.Struct, gc=False):
    """Counts of one feed or class, a minute each."""

    #: Number of the minute that is being counted.
    bucket: int
    count: int = 0
    values: dict[str, int] = {}
    #: Roots of the counts before, newest last.
    history: list[float] = []
    #: Sums of what was above, and below, the level.
    above: float = 0.0
    below: float = 0.0
    #: Median of the history and its deviation, and how many minutes ago they were taken.
    level: float = 0.0
    spread: float = 0.0
    age: int = _RENEWED
    evidence: list[str] = []


class RateState(msgspec.Struct):
    """All that is remembered."""

    series: dict[str, Series] = {}


class Rate:
    """Judges each minute that is over: records of a feed, and different values of each class in them."""

    name: ClassVar[str] = "rate"
    title: ClassVar[str] = "Rate changed"
    revision: ClassVar[str] = "1"
    device_id: ClassVar[int] = 21
    category: ClassVar[EventCategory] = EventCategory.SECURITY
    forgets_s: ClassVar[float] = HISTORY * BUCKET_S

    def __init__(self) -> None:
        self.state = RateState()

    def see(self, event: Event, feed: str, record: Record | None) -> Iterable[Signal]:  # noqa: ARG002 - any feed
        """Count an event; judge the minute before when it opens a new one."""
        bucket = int(event.ts // BUCKET_S)
        found = self._count(f"{feed} records", bucket, event, "")
        for entity in event.entities:
            if entity.type in TYPES:
                part = f"{entity.role} {entity.type}" if entity.role else entity.type
                more = self._count(f"{feed} {part}", bucket, event, entity.value)
                found = [*found, *more] if more else found
        return found

    def _count(self, key: str, bucket: int, event: Event, value: str) -> Sequence[Signal]:
        series = self.state.series.get(key)
        if series is None:
            series = touched(self.state.series, key, lambda: Series(bucket), MAX_SERIES)
        found: Sequence[Signal] = ()
        if bucket > series.bucket:
            if bucket - series.bucket > _LONGEST_GAP:
                self.state.series[key] = series = Series(bucket)
            else:
                found = self._close(key, series, bucket)
        elif bucket < series.bucket - _LATE_BUCKETS:
            return found
        if value:
            if value in series.values or len(series.values) >= MAX_VALUES:
                return found
            series.values[value] = 1
        series.count += 1
        if len(series.evidence) < _MOST_EVIDENCE:
            series.evidence.append(event.event_id)
        return found

    def _close(self, key: str, series: Series, bucket: int) -> list[Signal]:
        """Judge the minute that is over, and the empty ones up to the new one."""
        found: list[Signal] = []
        for number in range(series.bucket, bucket):
            count = series.count if number == series.bucket else 0
            root = sqrt(count)
            if len(series.history) >= LEARNS:
                signal = _judged(key, series, count, (number + 1) * BUCKET_S)
                if signal is not None:
                    found = [signal]  # of a row of empty minutes the last says it all
            series.history.append(root)
        del series.history[:-HISTORY]
        series.bucket, series.count, series.values, series.evidence = bucket, 0, {}, []
        return found


def _judged(key: str, series: Series, count: int, ts: float) -> Signal | None:
    """Return what a minute adds up to; None while it is not enough."""
    series.age += 1
    if series.age >= _RENEWED:
        ordered = sorted(series.history[-HISTORY:])
        series.level, series.age = quantile(ordered, 0.5), 0
        series.spread = max(_LEAST_DEVIATION, _DEVIATION * deviation(ordered, series.level))
    steps = max(-_MOST, min(_MOST, (sqrt(count) - series.level) / series.spread))
    if steps > 0 and count < _LEAST_COUNT:
        steps = 0.0
    series.above = min(_MOST_SUM, max(0.0, series.above + steps - _SLACK))
    series.below = min(_MOST_SUM, max(0.0, series.below - steps - _SLACK))
    total = max(series.above, series.below)
    if total < _ALARM:
        return None
    score = total / (total + _ALARM * (1 - LEAST_SCORE) / LEAST_SCORE)
    way = "above" if series.above >= series.below else "below"
    usual = series.level * series.level
    return Signal(
        key=f"{key} {way}",
        ts=ts,
        score=score,
        measure=max(1.0, total),
        says=f"{key}: {count} a minute, {way} the usual {usual:.0f} for several minutes",
        severity=Severity.LOW,
        features=by_weight(
            (
                Feature(
                    name="cusum", value=total, score=score, says=f"deviations summed up, less {_SLACK:g} a minute"
                ),
                Feature(name="deviations", value=steps, says="of this minute from the level, 4 at most"),
                Feature(name="per_minute", value=count),
                Feature(name="usual_per_minute", value=usual, says=f"median of up to {HISTORY} minutes"),
            )
        ),
        entities=(),
        evidence=tuple(series.evidence),
        records=count,
        matched={"series": key, "way": way},
    )


SCORER = Rate
