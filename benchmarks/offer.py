"""Offers events at a steady rate, whatever becomes of them. offer.py SOCKET RATE SECONDS.

An event's time is the moment it is sent, so that whoever sees it later can tell how old it is.
"""

from __future__ import annotations

import json
import sys
import time

from benchmarks.events import by_stream, new_events
from benchmarks.raw_client import RawClient
from dsmil.events.ids import new_id

_MOST = 1000
_PAUSE_S = 0.0005
_ID, _TS = b"00000000-0000-7000-8000-000000000000", b"1111111111.25"


def templates() -> list[tuple[bytes, bytes]]:
    """Return the streams with an event whose id and times are to be filled in."""
    found = []
    for stream, bodies in by_stream(new_events(2, "v7")).items():
        fields = json.loads(bodies[0]) | {"event_id": _ID.decode(), "ts": float(_TS), "ingest_ts": float(_TS)}
        found.append((stream.encode(), json.dumps(fields, separators=(",", ":")).encode()))
    return found


def main(path: str, rate: str, seconds: str) -> None:
    """Send, and print how many were sent in which time."""
    client, kinds = RawClient(path), templates()
    goal, sent, started = int(float(rate) * float(seconds)), 0, time.monotonic()
    while sent < goal:
        due = min(int((time.monotonic() - started) * float(rate)) - sent, _MOST, goal - sent)
        if due < 1:
            time.sleep(_PAUSE_S)
            continue
        now = time.time()
        stamp = json.dumps(now).encode()
        batch = []
        for n in range(sent, sent + due):
            stream, body = kinds[n % 2]
            batch.append(
                (b"XADD", stream, b"*", b"event", body.replace(_ID, new_id(now).encode()).replace(_TS, stamp))
            )
        client.send(*batch)
        for _ in batch:
            client.reply()
        sent += due
    print(json.dumps({"sent": sent, "seconds": time.monotonic() - started}))


if __name__ == "__main__":
    main(*sys.argv[1:])
