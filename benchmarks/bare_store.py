"""Bare ``executemany``: the same rows into the documented tables, nothing else. bare_store.py STORE EVENTS IDS."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks.events import new_events
from benchmarks.preload import add_rows, open_documented, rows_of


def main(path: str, events: str, ids: str) -> None:
    """Insert, and print how long it took, in wall and CPU seconds."""
    rows = rows_of(new_events(int(events), ids))
    store = open_documented(Path(path), page_bytes=16384)
    started, cpu = time.monotonic(), time.process_time()
    add_rows(store, rows)
    print(json.dumps({"seconds": time.monotonic() - started, "cpu": time.process_time() - cpu}))


if __name__ == "__main__":
    main(*sys.argv[1:])
