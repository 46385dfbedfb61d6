"""The bare broker taking documents: adds what stands in L3_IN to another stream. raw_add.py SOCKET."""

from __future__ import annotations

import json
import sys
import time

from benchmarks.raw_client import RawClient

_BATCH = 500


def main(path: str) -> None:
    """Add all of them, and print the seconds it took."""
    client = RawClient(path)
    bodies = [fields[1] for _, fields in client.call(b"XRANGE", b"L3_IN", b"-", b"+")]
    started = time.monotonic()
    for start in range(0, len(bodies), _BATCH):
        batch = bodies[start : start + _BATCH]
        client.send(*((b"XADD", b"BARE", b"*", b"event", body) for body in batch))
        for _ in batch:
            client.reply()
    print(json.dumps({"seconds": time.monotonic() - started}))


if __name__ == "__main__":
    main(sys.argv[1])
