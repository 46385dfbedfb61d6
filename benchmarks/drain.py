"""Draining a backlog: every contender starts from the same one, and is looked at in the same way."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import checks
from benchmarks.events import by_stream, new_events
from benchmarks.rig import ASIDE, BenchFailed, Process, Rig
from dsmil.infrastructure.retention import CHUNK

INPUTS = ("L3_OUT", "L4_OUT")
TABLES = ("raw_events_fast", "soc_events_cache")
_WARM_UP = 20
#: Rows that retention may remove per event while two come. Raw rows age faster in proportion, so that a store made
#: an hour ago has some to give at first. Rows go by the chunk, which comes on top.
_STEADY = (1.5, 2.6)


class Drained(msgspec.Struct, kw_only=True):
    """Figures of one drain."""

    #: Events a second until the last was published and acknowledged; 0 when nothing was published.
    published_per_s: float = 0.0
    #: The same until the last was stored; 0 without a store.
    stored_per_s: float = 0.0
    #: CPU microseconds per event: of each process, and of the broker.
    us: dict[str, float]
    #: Rows that retention removed meanwhile, per event.
    removed_per_event: float = 0.0

    @property
    def total_us(self) -> float:
        """CPU microseconds per event of everything together."""
        return sum(self.us.values())


class Contender(msgspec.Struct, frozen=True):
    """Who drains: how its processes are started, and whether it stores."""

    name: str
    start: Callable[[Rig], list[Process]]
    stores: bool = True


def naive(rig: Rig) -> list[Process]:
    """Start the reference loop."""
    return [rig.peer("naive.py", str(rig.open_tcp()), rig.shrink_url, rig.store)]


def bytewax(rig: Rig) -> list[Process]:
    """Start the bytewax pipeline."""
    return [rig.peer("peers/bytewax_pipeline.py", rig.socket, rig.shrink_url, rig.store)]


def faststream(rig: Rig) -> list[Process]:
    """Start the FastStream subscriber."""
    return [rig.peer("peers/faststream_batch.py", rig.socket, rig.shrink_url, rig.store)]


NAIVE = Contender("naive", naive)
BYTEWAX = Contender("bytewax", bytewax)
FASTSTREAM = Contender("faststream", faststream)
WHOLE = Contender("dsmil", lambda rig: [rig.service("soc-router"), rig.service("store-writer")])
ROUTER = Contender("dsmil-router", lambda rig: [rig.service("soc-router")], stores=False)
TWO_ROUTERS = Contender(
    "dsmil-two-routers", lambda rig: [rig.service("soc-router"), rig.service("soc-router")], stores=False
)
RAW_BROKER = Contender("raw-broker", lambda rig: [rig.tool("raw_client", rig.socket)], stores=False)


def drain(
    contender: Contender,
    count: int,
    *,
    shrink_url: str,
    ids: str = "v7",
    durable: bool = False,
    preloaded: Path | None = None,
    beside: Callable[[Rig], Callable[[], None]] | None = None,
) -> Drained:
    """Let a contender drain ``count`` events and check what came out.

    ``preloaded`` is a store to begin with; the product may then keep as many bytes as it has, so that retention
    removes a row for each that comes. The first snapshot of a store is taken before the drain begins: the next is
    due five minutes later, however many events come meanwhile. ``beside`` starts something that runs meanwhile
    and returns how to end it.
    """
    with Rig(durable=durable, max_store_bytes=_used(preloaded), shrink_url=shrink_url) as rig:
        if preloaded is not None:
            shutil.copyfile(preloaded, rig.store)
        before = {table: checks.newest(rig.store, table) for table in TABLES}
        rows = _rows(rig.store) if preloaded else 0
        warm_up, events = new_events(_WARM_UP, ids), new_events(count, ids)
        look = _Look(rig, contender, before["soc_events_cache"])
        running = contender.start(rig)
        _fill(rig, by_stream(warm_up))
        rig.until(lambda: look.all_done(_WARM_UP), 60, f"start of {contender.name}")
        if any(process.name == "store-writer" for process in running):
            rig.until(lambda: any((rig.work / "snapshots").glob("*.db")), 120, "the first snapshot")
        for process in running:
            process.hold()
        _fill(rig, by_stream(events))
        stop_beside = beside(rig) if beside else None
        cpu_before, started = rig.cpu(), time.monotonic()
        for process in running:
            process.go()
        limit = 60 + count / 200
        published = rig.until(lambda: look.published(_WARM_UP + count), limit, f"publication by {contender.name}")
        stored = rig.until(lambda: look.stored(_WARM_UP + count), limit, f"storing by {contender.name}")
        cpu = rig.cpu()
        if stop_beside:
            stop_beside()
        look.close()
        expected = [event.event_id for event in (*warm_up, *events)]
        checks.check_stream(rig.client, "SOC_EVENTS", expected)
        checks.check_groups(rig.client, INPUTS)
        if contender.stores:
            checks.check_rows(rig.store, TABLES, expected, before)
        removed = rows + len(TABLES) * len(expected) - _rows(rig.store) if preloaded else 0
        if preloaded and contender.name.startswith("dsmil"):
            _check_steady(removed, count)
        names = {"broker", *(process.name + end for process in running for end in ("", ASIDE))} & set(cpu)
        return Drained(
            published_per_s=count / (published - started),
            stored_per_s=count / (stored - started) if contender.stores else 0.0,
            us={name: (cpu[name] - cpu_before.get(name, 0.0)) / count * 1e6 for name in sorted(names)},
            removed_per_event=removed / count,
        )


class _Look:
    """Looks how far a contender has come, from outside, without counting rows."""

    def __init__(self, rig: Rig, contender: Contender, before: int) -> None:
        self._rig = rig
        self._stores = contender.stores
        self._before = before
        self._store: sqlite3.Connection | None = None

    def published(self, count: int) -> bool:
        client = self._rig.client
        if client.xlen("SOC_EVENTS") < count:
            return False
        for stream in INPUTS:
            groups: Any = client.xinfo_groups(stream)
            if any(group["entries-read"] and (group["pending"] or group["lag"]) for group in groups):
                return False
        return True

    def stored(self, count: int) -> bool:
        if not self._stores:
            return True
        try:
            if self._store is None:
                self._store = sqlite3.connect(f"file:{self._rig.store}?mode=ro", uri=True, timeout=10)
            row = self._store.execute("SELECT max(id) FROM soc_events_cache").fetchone()
        except sqlite3.OperationalError:
            return False
        return (row[0] or 0) - self._before >= count

    def all_done(self, count: int) -> bool:
        return self.published(count) and self.stored(count)

    def close(self) -> None:
        if self._store is not None:
            self._store.close()


def _check_steady(removed: int, count: int) -> None:
    """Raise unless about as many rows went as came: else it was no store at its limit, or one over it."""
    least, most = (share * count for share in _STEADY)
    play = len(TABLES) * CHUNK
    if not max(least - play, 1) <= removed <= most + play:
        raise BenchFailed(f"retention removed {removed / count:.2f} rows per event where {len(TABLES)} came")


def _fill(rig: Rig, bodies: dict[str, list[bytes]]) -> None:
    for stream, found in bodies.items():
        rig.add(stream, found)


def _rows(path: Path) -> int:
    """Return the rows of both event tables."""
    with checks.reading(path) as store:
        return sum(int(store.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in TABLES)  # noqa: S608


def _used(path: Path | None) -> int:
    """Return the bytes of a store's live pages."""
    if path is None:
        return 0
    with checks.reading(path) as store:
        values = [
            store.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        ]
    return int((values[0] - values[1]) * values[2])
