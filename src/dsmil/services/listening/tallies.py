"""What a listener counts; written by its threads, read by whoever asks for its vitals."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING

from dsmil.events.streams import StreamName

if TYPE_CHECKING:
    from dsmil.services.metric_names import MetricName


class Tallies:
    """Counters and gauges by metric and labels, and the outcomes of records."""

    def __init__(self) -> None:
        """Start at zero."""
        self._lock = threading.Lock()
        self._figures: dict[str, dict[tuple[str, ...], float]] = defaultdict(lambda: defaultdict(float))
        self._outcomes: dict[tuple[str, str], int] = defaultdict(int)

    def add(self, metric: MetricName, *labels: str, number: float = 1) -> None:
        """Count; gauges may be counted down."""
        with self._lock:
            self._figures[metric.name][labels] += number

    def set(self, metric: MetricName, *labels: str, value: float) -> None:
        """Set a figure that somebody else counts."""
        with self._lock:
            self._figures[metric.name][labels] = value

    def settle(self, outcome: str, number: int) -> None:
        """Count records of which something has become: ``published`` or ``dead``."""
        with self._lock:
            self._outcomes[StreamName.L3_IN.value, outcome] += number

    def total(self, metric: MetricName) -> int:
        """Return the sum over all labels."""
        with self._lock:
            return int(sum(self._figures[metric.name].values()))

    def figures(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Return a copy, metric -> labels -> value."""
        with self._lock:
            return {name: dict(values) for name, values in self._figures.items()}

    def outcomes(self) -> dict[tuple[str, str], int]:
        """Return a copy, (stream, outcome) -> records."""
        with self._lock:
            return dict(self._outcomes)
