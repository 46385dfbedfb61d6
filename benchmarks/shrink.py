"""A SHRINK server of the suite's own: prints its address, serves calm readings until it is ended."""

from __future__ import annotations

import sys

from benchmarks.events import CALM
from dsmil.testing.http import ShrinkStub

if __name__ == "__main__":
    with ShrinkStub(dict(CALM)) as stub:
        print(stub.url, flush=True)
        sys.stdin.read()
