"""Robust figures of a set of numbers: what a few odd ones among them do not change."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the quantile of numbers in rising order, interpolated linearly between neighbours."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def deviation(ordered: Sequence[float], middle: float) -> float:
    """Return the median absolute deviation from ``middle``, the median of the numbers."""
    return quantile(sorted(abs(number - middle) for number in ordered), 0.5)


def bowley(ordered: Sequence[float]) -> float:
    """Return Bowley's skewness, -1 to 1: how far the median lies off the middle of the quartiles.

    Source: A. L. Bowley, Elements of Statistics, 1901. It is 0 where a quartile is the median: most numbers are
    the same then, and no skewness can be told from the rest.
    """
    low, middle, high = (quantile(ordered, share) for share in (0.25, 0.5, 0.75))
    if middle in (low, high):
        return 0.0
    return (low + high - 2 * middle) / (high - low)


def evenness(counts: Sequence[float]) -> float:
    """Return 1 less the coefficient of variation, at least 0: 1 when all counts are the same."""
    mean = math.fsum(counts) / len(counts)
    if mean <= 0:
        return 0.0
    variance = math.fsum((count - mean) ** 2 for count in counts) / len(counts)
    return max(0.0, 1.0 - math.sqrt(variance) / mean)


def between(value: float, low: float, high: float) -> float:
    """Return how far ``value`` has come from ``low`` to ``high``: 0 to 1."""
    return min(1.0, max(0.0, (value - low) / (high - low)))


def certainty(log_odds: float) -> float:
    """Return the probability that natural log odds mean."""
    return 1.0 / (1.0 + math.exp(-min(60.0, max(-60.0, log_odds))))
