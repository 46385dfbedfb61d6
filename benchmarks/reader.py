"""Asks a store for the newest events, as the console does, until it is ended; prints how long that took.

reader.py STORE
"""

from __future__ import annotations

import json
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.checks import reading
from dsmil.infrastructure.hotpath_db import HotPathConfig, HotPathDB

_PAUSE_S = 0.002
_COUNTS = "SELECT layer, severity, COUNT(*) FROM raw_events_fast GROUP BY layer, severity"


def main(path: str) -> None:
    """Read until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    db = HotPathDB(HotPathConfig(db_path=path, fallback_path=path))
    db.connect()
    recent: list[float] = []
    soc: list[float] = []
    while not stop.wait(_PAUSE_S):
        recent.append(_timed(lambda: db.get_recent_events(layer=3, severity="HIGH", limit=10)))
        soc.append(_timed(lambda: db.get_recent_soc_events(limit=10)))
    with reading(Path(path)) as plain:
        group_by = statistics.median(_timed(lambda: plain.execute(_COUNTS).fetchall()) for _ in range(3))
    counts = statistics.median(_timed(db.get_event_counts) for _ in range(3))
    result = {"busy_reads": len(recent), "group_by_ms": group_by, "counts_ms": counts}
    for name, values in (("recent", recent), ("soc", soc)):
        result |= {f"{name}_p50_ms": percentile(values, 50), f"{name}_p99_ms": percentile(values, 99)}
    print(json.dumps(result))


def percentile(values: list[float], percent: float) -> float:
    """Return the value below which ``percent`` of them lie; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)] if ordered else 0.0


def _timed(ask: Callable[[], object]) -> float:
    started = time.perf_counter()
    ask()
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main(sys.argv[1])
