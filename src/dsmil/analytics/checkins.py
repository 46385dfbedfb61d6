"""The check-ins of one host at one destination: bounded, in order of event time, whatever order they came in."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

import msgspec

from dsmil.analytics.beat import BINS, Beat, measure
from dsmil.analytics.bounded import keep_newest
from dsmil.analytics.signal import MAX_EVIDENCE

#: Check-ins whose times and sizes are kept; of a day in which there were more, the rest is counted only.
MAX_CHECKINS: Final = 720
#: Length of the windows' bins, seconds, and what a beacon that fills such a window can come to at most: regular
#: for four minutes may be a download, regular for a day is a beacon.
SCALES: Final = ((10, 0.8), (60, 0.85), (300, 0.9), (900, 0.95), (3600, 1.0))
#: Length of the longest window, seconds.
LONGEST_S: Final = BINS * SCALES[-1][0]
_QUARTER_S: Final = 900
_MOST_QUARTERS: Final = LONGEST_S // _QUARTER_S
#: A size that is not known.
_NONE: Final = -1


class Verdict(msgspec.Struct, frozen=True):
    """The window in which check-ins look most like a beacon."""

    score: float
    beat: Beat
    #: Seconds.
    window_s: int
    #: Check-ins in that window.
    number: int


class CheckIns(msgspec.Struct, gc=False):
    """Times and sizes, newest last."""

    src: str
    #: Name, or address and port.
    dest: str
    #: Whole seconds, each once.
    seconds: list[int] = []
    #: Bytes sent in each of them, -1 where not known.
    sizes: list[int] = []
    #: Quarter of an hour -> check-ins in it.
    quarters: dict[int, int] = {}
    #: Newest records.
    evidence: list[str] = []
    #: How many records there were.
    records: int = 0
    #: Check-ins since the last verdict.
    unjudged: int = 0
    #: Whether it is served by something else than its own address: a name.
    named: bool = False

    def add(self, second: int, size: int | None, event_id: str) -> bool:
        """Add a check-in; return whether it is one more, and not of a second that is known or long past."""
        self.records += 1
        if not self._place(second, _NONE if size is None else size):
            return False
        keep_newest(self.evidence, event_id, MAX_EVIDENCE)
        self.unjudged += 1
        return True

    def _place(self, second: int, size: int) -> bool:
        seconds = self.seconds
        if not seconds or second > seconds[-1]:
            seconds.append(second)
            self.sizes.append(size)
        else:
            if second <= seconds[-1] - LONGEST_S:
                return False
            at = bisect_left(seconds, second)
            if seconds[at] == second:
                self.sizes[at] = max(self.sizes[at], size)
                return False
            if at == 0 and len(seconds) >= MAX_CHECKINS:
                return False  # older than all that is kept: it was counted, or never will be
            seconds.insert(at, second)
            self.sizes.insert(at, size)
        quarter = second // _QUARTER_S
        self.quarters[quarter] = self.quarters.get(quarter, 0) + 1
        self._forget()
        return True

    def _forget(self) -> None:
        newest = self.seconds[-1]
        drop = max(len(self.seconds) - MAX_CHECKINS, bisect_left(self.seconds, newest - LONGEST_S + 1))
        if drop > 0:
            del self.seconds[:drop]
            del self.sizes[:drop]
        if len(self.quarters) > _MOST_QUARTERS + 1:
            oldest = newest // _QUARTER_S - _MOST_QUARTERS
            self.quarters = {one: number for one, number in self.quarters.items() if one >= oldest}

    def resize(self, second: int, size: int | None) -> None:
        """Say how many bytes were sent in a second that is known, now that it is known."""
        at = bisect_left(self.seconds, second)
        if size is not None and at < len(self.seconds) and self.seconds[at] == second:
            self.sizes[at] = max(self.sizes[at], size)

    def remove(self, second: int) -> None:
        """Take a check-in away: it turned out to be another destination's."""
        at = bisect_left(self.seconds, second)
        if at < len(self.seconds) and self.seconds[at] == second:
            del self.seconds[at], self.sizes[at]
            quarter = second // _QUARTER_S
            self.quarters[quarter] = max(0, self.quarters.get(quarter, 0) - 1)

    def verdict(self, fewest: int) -> Verdict | None:
        """Return the window with the highest score, among those that hold at least ``fewest`` check-ins."""
        best: Verdict | None = None
        for width, most in reversed(SCALES):
            found = self._judged(width, most, fewest)
            if found is not None and (best is None or found.score > best.score):
                best = found
        return best

    def _judged(self, width: int, most: float, fewest: int) -> Verdict | None:
        if not self.seconds:
            return None
        window, newest = BINS * width, self.seconds[-1]
        start = newest - window  # not in it
        at = bisect_left(self.seconds, start + 1)
        number = len(self.seconds) - at
        first = self.seconds[at] if at < len(self.seconds) else newest
        if at == 0 and len(self.seconds) >= MAX_CHECKINS and width >= _QUARTER_S:
            bins, number, first = self._counted(width)
        else:
            bins = [0] * BINS
            for second in self.seconds[at:]:
                bins[(second - start - 1) // width] += 1
        if number < fewest:
            return None
        sizes = [size for size in self.sizes[at:] if size != _NONE]
        share = (newest - first + 1) / window
        beat = measure(self.seconds[at:], sizes, bins, min(1.0, share))
        return None if beat is None else Verdict(beat.score * most, beat, window, number)

    def _counted(self, width: int) -> tuple[list[int], int, int]:
        """Return bins, check-ins and first second of a window of which only the newest are kept one by one."""
        each = width // _QUARTER_S
        last = self.seconds[-1] // _QUARTER_S  # the one that is not over yet is left out
        bins = [
            sum(self.quarters.get(last - (BINS - place) * each + step, 0) for step in range(each))
            for place in range(BINS)
        ]
        busy = [quarter for quarter, number in self.quarters.items() if number and quarter >= last - BINS * each]
        return bins, sum(bins), min(busy, default=last) * _QUARTER_S
