"""The beacon score: how regular the check-ins of one host at one destination are, within one window of time.

Source: the method of RITA (Active Countermeasures), as its makers describe it: four figures of equal weight,
namely interval and size (each the mean of 1 - |Bowley's skewness| and 1 - median absolute deviation / median), a
histogram of 24 bins (1 - coefficient of variation, or how much of it lies in its two commonest heights), and
duration (share of the time covered, or the longest unbroken run). Times are whole seconds, each once. What differs
from it here is marked "ours".
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import ceil, sqrt
from typing import TYPE_CHECKING, Final

import msgspec

from dsmil.analytics.stats import bowley, deviation, evenness, quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Bins of a window.
BINS: Final = 24
#: Fewer check-ins than this have no quartiles to speak of.
FEWEST: Final = 4
#: Interval figure below which the score falls with its square (ours). Check-ins at random, as people's are, come
#: to 0.52, and a beacon whose interval varies evenly by 50 % to 0.75 and more; without it steady sizes and long
#: duration alone would do. The figure must be as high after two of its standard errors are taken off, 1 / root of
#: the number of intervals (0.5 to 0.8 / root is one, by simulation): else a dozen check-ins at random would do now
#: and then.
LEAST_REGULAR: Final = 0.7
#: Bins that are not empty, from which on two commonest heights mean something.
_BIMODAL_FROM: Final = 11
#: Heights within this share of the highest bin count as the same.
_SAME_HEIGHT: Final = 0.05
#: Longest run of busy bins that counts as unbroken: half of all.
_IDEAL_RUN: Final = BINS // 2


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured; all figures are 0 to 1."""

    interval: float
    #: None when no size is known; the others count alone then (ours).
    size: float | None
    histogram: float
    duration: float
    #: What is left of ``interval`` after two standard errors.
    sure: float
    #: Median of the intervals, seconds.
    every_s: float
    #: Median of their deviations from it, seconds.
    give_s: float

    @property
    def mean(self) -> float:
        """Return the mean of the figures: RITA's score."""
        known = [one for one in (self.interval, self.size, self.histogram, self.duration) if one is not None]
        return sum(known) / len(known)

    @property
    def score(self) -> float:
        """Return the mean, less when it is not sure that the intervals are regular."""
        return self.mean * min(1.0, self.sure / LEAST_REGULAR) ** 2


def measure(seconds: Sequence[int], sizes: Sequence[int], bins: Sequence[int], span_share: float) -> Beat | None:
    """Return the figures of check-ins, or None for too few.

    ``seconds`` rise and are all different; ``sizes`` are the known ones, bytes; ``bins`` are check-ins in each
    of the window's 24 parts; ``span_share`` is the share of the window from first to last, 0 to 1.
    """
    if len(seconds) < FEWEST:
        return None
    gaps = sorted(later - earlier for earlier, later in pairwise(seconds))
    middle = quantile(gaps, 0.5)
    interval = regularity(gaps)
    return Beat(
        interval=interval,
        sure=max(0.0, interval - 1 / sqrt(len(gaps))),
        size=regularity(sorted(sizes)) if len(sizes) >= FEWEST else None,
        histogram=max(evenness(bins), _two_heights(bins)),
        duration=min(1.0, max(span_share, _longest_run(bins) / _IDEAL_RUN)),
        every_s=middle,
        give_s=deviation(gaps, middle),
    )


def regularity(ordered: Sequence[float]) -> float:
    """Return how much alike numbers in rising order are: the mean of what skewness and deviation say."""
    middle = quantile(ordered, 0.5)
    spread = deviation(ordered, middle)
    steady = 1.0 - spread / middle if middle > 0 else float(spread == 0)
    return (1.0 - abs(bowley(ordered)) + max(0.0, steady)) / 2


def _two_heights(bins: Sequence[int]) -> float:
    """Return how much of the histogram lies at its two commonest heights: a beacon that rests now and then."""
    busy = [count for count in bins if count]
    if len(busy) < _BIMODAL_FROM:
        return 0.0
    width = ceil(max(busy) * _SAME_HEIGHT)
    commonest = Counter(count // width for count in busy).most_common(2)
    return min(1.0, sum(number for _, number in commonest) / (len(busy) - 1))


def _longest_run(bins: Sequence[int]) -> int:
    longest = run = 0
    for count in bins:
        run = run + 1 if count else 0
        longest = max(longest, run)
    return longest
