"""What must hold after every run, or it has no figures: each event published, acknowledged and stored once."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import redis

from benchmarks.rig import BenchFailed


class _Named(msgspec.Struct):
    event_id: str


_decode = msgspec.json.Decoder(_Named).decode


def ids_of(client: redis.Redis, stream: str) -> Counter[str]:
    """Return how often each event id stands in a stream."""
    found: Counter[str] = Counter()
    last = "-"
    while True:
        page: Any = client.xrange(stream, min=last, count=5000)
        for _, fields in page:
            found[_decode(fields[b"event"]).event_id] += 1
        if not page:
            return found
        last = f"({page[-1][0].decode()}"


def check_stream(client: redis.Redis, stream: str, expected: Iterable[str]) -> None:
    """Raise unless each expected id stands in the stream exactly once, and nothing else."""
    wanted, found = Counter(expected), ids_of(client, stream)
    if found != wanted or client.xlen(stream) != sum(wanted.values()):
        raise BenchFailed(f"{stream}: {_differ(wanted, found)}")


def check_groups(client: redis.Redis, streams: Iterable[str]) -> None:
    """Raise unless some group has read and acknowledged everything in each of the streams."""
    for stream in streams:
        groups: Any = client.xinfo_groups(stream)
        read = [group for group in groups if group["entries-read"]]
        if not read or any(group["pending"] or group["lag"] for group in read):
            state = [(g["name"].decode(), g["pending"], g["lag"]) for g in groups]
            raise BenchFailed(
                f"{stream}: not everything was read and acknowledged: (group, pending, lag) = {state}"
            )


def newest(path: Path, table: str) -> int:
    """Return the highest row number of a table; 0 while there is no such table."""
    with contextlib.suppress(sqlite3.OperationalError), reading(path) as store:
        return int(store.execute(f"SELECT max(id) FROM {table}").fetchone()[0] or 0)  # noqa: S608 - ours
    return 0


def reading(path: Path) -> contextlib.closing[sqlite3.Connection]:
    """Open a store read-only, through the standard library, which shares no code with the product."""
    return contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10))


def check_rows(path: Path, tables: Iterable[str], expected: Iterable[str], after: dict[str, int]) -> None:
    """Raise unless each table has exactly one new row for each expected id; ``after``: highest rows before."""
    wanted = Counter(expected)
    for table in tables:
        with reading(path) as store:
            rows = store.execute(f"SELECT event_id FROM {table} WHERE id > ?", (after.get(table, 0),))  # noqa: S608
            found = Counter(row[0] for row in rows)
        if found != wanted:
            raise BenchFailed(f"{table}: {_differ(wanted, found)}")


def _differ(wanted: Counter[str], found: Counter[str]) -> str:
    lost, more = wanted - found, found - wanted
    some = [*list(lost)[:3], *list(more)[:3]]
    return (
        f"{sum(lost.values())} events lost, {sum(more.values())} doubled or foreign,"
        f" of {sum(wanted.values())}; for example {some}"
    )
