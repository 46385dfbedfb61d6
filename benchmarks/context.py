"""What the cases share: how much to do, where figures go, and runs that several cases compare themselves with."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import drain as d
from benchmarks.preload import documented_store, product_store
from benchmarks.rig import memory_folder


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How much a run does."""

    rounds: int
    #: Events of a drain: of the product and its peers, and of the reference loop.
    events: int
    naive_events: int
    #: Records of a log that is ingested: more than a reading remembers, so that going on is measured too.
    records: int
    #: Rows of the full store.
    rows: int
    rates: tuple[int, ...]
    #: Length of a load, seconds.
    load_s: float
    #: Events that go through one router to see whether it grows; 0 leaves that out.
    growth_events: int


QUICK = Size(
    rounds=3,
    events=30_000,
    naive_events=1_500,
    records=250_000,
    rows=100_000,
    rates=(5000,),
    load_s=2.0,
    growth_events=0,
)
FULL = Size(
    rounds=3,
    events=100_000,
    naive_events=4_000,
    records=400_000,
    rows=1_000_000,
    rates=(1000, 5000, 20_000, 35_000, 50_000),
    load_s=5.0,
    growth_events=10_000_000,
)


class Context:
    """One run of the suite."""

    def __init__(self, size: Size, shrink_url: str) -> None:
        """Begin without figures."""
        self.size = size
        self.shrink_url = shrink_url
        self.round = 0
        #: Key -> its values, one a round.
        self.samples: dict[str, list[float]] = {}
        #: Key -> the case it comes from.
        self.source: dict[str, str] = {}
        self.case = ""
        #: Load average at the start of each round.
        self.loads: list[float] = []
        self._shared: dict[tuple[Any, ...], d.Drained] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="dsmil-bench-stores-", dir=memory_folder()))
        self._stores: dict[tuple[str, str], Path] = {}
        self._started = time.monotonic()

    def close(self) -> None:
        """Remove the prepared stores."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def begin_round(self, number: int) -> None:
        """Forget the runs of the round before: only runs of one round are compared."""
        self.round = number
        self._shared.clear()
        self.loads.append(os.getloadavg()[0])

    def add(self, key: str, value: float) -> None:
        """Keep one value of a figure."""
        self.samples.setdefault(key, []).append(value)
        self.source[key] = self.case

    def say(self, text: str) -> None:
        """Show progress."""
        print(f"[{time.monotonic() - self._started:6.1f} s] {text}", file=sys.stderr, flush=True)

    def medians(self) -> dict[str, float]:
        """Return the median of each figure."""
        return {key: statistics.median(values) for key, values in sorted(self.samples.items())}

    def drained(
        self, who: d.Contender, *, ids: str = "v7", durable: bool = False, full: bool = False, count: int = 0
    ) -> d.Drained:
        """Return this round's drain by a contender in a setting; it is run once a round."""
        key = (who.name, ids, durable, full)
        if key not in self._shared:
            own = who.name.startswith("dsmil")
            preloaded = self.store("dsmil" if own else "documented", ids) if full and who.stores else None
            number = count or (self.size.naive_events if who is d.NAIVE else self.size.events)
            self._shared[key] = d.drain(
                who, number, shrink_url=self.shrink_url, ids=ids, durable=durable, preloaded=preloaded
            )
            found = self._shared[key]
            self.say(f"  {_words(key)}: {found.stored_per_s or found.published_per_s:,.0f}/s, {_us(found)}")
        return self._shared[key]

    def store(self, layout: str, ids: str) -> Path:
        """Return a full store of a layout, made once a run: the product's own, or the documented tables."""
        if (layout, ids) not in self._stores:
            self.say(f"  filling a store of {self.size.rows:,} rows ({layout}, ids {ids})")
            path = self._folder / f"{layout}-{ids}.db"
            make: Callable[[Path, int, str], None] = product_store if layout == "dsmil" else documented_store
            make(path, self.size.rows, ids)
            self._stores[layout, ids] = path
        return self._stores[layout, ids]


def _words(key: tuple[Any, ...]) -> str:
    name, ids, durable, full = key
    return ", ".join([name, f"ids {ids}", *(["AOF always"] if durable else []), *(["full store"] if full else [])])


def _us(found: d.Drained) -> str:
    return ", ".join(f"{name} {us:.1f} us" for name, us in found.us.items())
