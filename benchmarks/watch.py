"""Waits for events and tells how old they are when they are seen, until it is ended.

watch.py stream SOCKET STREAM: blocked reads. watch.py store STORE: looks at the newest rows every 2 ms.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import sys
import threading
import time
from pathlib import Path

import msgspec

from benchmarks.checks import newest, reading
from benchmarks.raw_client import RawClient
from benchmarks.reader import percentile

_PAUSE_S = 0.002


class _Timed(msgspec.Struct):
    ts: float


def watch_stream(stop: threading.Event, path: str, stream: str) -> list[float]:
    """Return the ages of a stream's new entries, milliseconds."""
    client, ages = RawClient(path), list[float]()
    decode = msgspec.json.Decoder(_Timed).decode
    newest_entry = client.call(b"XREVRANGE", stream, b"+", b"-", b"COUNT", 1)
    last: bytes = newest_entry[0][0] if newest_entry else b"0-0"  # what warmed up is no sample
    print("ready", flush=True)
    over = False
    while not over:
        over = stop.is_set()  # one look after the end was asked for: nothing that is there is missed
        reply = client.call(b"XREAD", b"COUNT", 1000, b"BLOCK", 200, b"STREAMS", stream, last)
        now = time.time()
        for _, entries in reply or ():
            ages += [(now - decode(fields[1]).ts) * 1000 for _, fields in entries]
            last = entries[-1][0]
    return ages


def watch_store(stop: threading.Event, path: str) -> list[float]:
    """Return the ages of new SOC rows, milliseconds."""
    ages, last = list[float](), newest(Path(path), "soc_events_cache")
    print("ready", flush=True)
    with reading(Path(path)) as store:
        over = False
        while not over:
            over = stop.wait(_PAUSE_S)
            with contextlib.suppress(sqlite3.OperationalError):
                rows = store.execute(
                    "SELECT id, ts FROM soc_events_cache WHERE id > ? ORDER BY id", (last,)
                ).fetchall()
                now = time.time()
                ages += [(now - ts) * 1000 for _, ts in rows]
                last = rows[-1][0] if rows else last
    return ages


def main(kind: str, *places: str) -> None:
    """Watch until SIGTERM, then print what was seen."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    ages = watch_stream(stop, *places) if kind == "stream" else watch_store(stop, *places)
    print(json.dumps({"seen": len(ages), "p50_ms": percentile(ages, 50), "p99_ms": percentile(ages, 99)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
