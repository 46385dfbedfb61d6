"""What a release recorded with tests/data/upgrade/record-release, put back as this version finds it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import apsw
import pytest
import redis

from dsmil.infrastructure.groups import EPOCH_KEY
from dsmil.testing.waiting import until

FOLDER = Path(__file__).parents[1] / "data" / "upgrade"
VERSIONS = sorted(folder.name for folder in FOLDER.iterdir() if (folder / "about.json").is_file())
#: Columns that a row gets where it is written, not by what it says.
PLACED = ("id", "stream_id")

Fields = list[tuple[bytes, bytes]]


class Release:
    """One recording."""

    def __init__(self, version: str) -> None:
        self.folder = FOLDER / version
        self.about: dict[str, Any] = json.loads((self.folder / "about.json").read_text())

    def entries(self, stream: str) -> list[tuple[str, Fields]]:
        """Return the entries of a stream, their bytes as they were."""
        lines = (self.folder / f"{stream}.ndjson").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        return [
            (row["id"], [(k.encode("latin-1"), v.encode("latin-1")) for k, v in row["fields"]]) for row in rows
        ]

    def events(self, stream: str) -> list[dict[str, Any]]:
        """Return the documents of the entries that hold one."""
        found = []
        for _, fields in self.entries(stream):
            with contextlib.suppress(ValueError, KeyError):
                found.append(json.loads(dict(fields)[b"event"]))
        return found

    def replay(self, client: redis.Redis, *streams: str) -> None:
        """Put streams back, each entry under its id, and give the broker's data the name it had."""
        client.set(EPOCH_KEY, self.about["epoch"])
        for stream in streams:
            for entry_id, fields in self.entries(stream):
                client.xadd(stream, cast("Any", dict(fields)), id=entry_id)

    def restore(self, name: str, path: Path) -> Path:
        """Make a SQLite file from its recorded statements."""
        with contextlib.closing(apsw.Connection(str(path))) as connection:
            connection.execute((self.folder / f"{name}.sql").read_text()).fetchall()
        return path

    def clock(self) -> Callable[[], float]:
        """Return a clock that goes on where the recording ended, so that retention takes nothing of it."""
        newest = max(int(self.entries(stream)[-1][0].split("-")[0]) for stream in ("L3_IN", "SOC_EVENTS")) / 1000
        began = time.monotonic()
        return lambda: newest + time.monotonic() - began


@pytest.fixture(params=VERSIONS)
def release(request: pytest.FixtureRequest) -> Release:
    """Return each recorded release in turn."""
    return Release(request.param)


def rows(path: Path, table: str, order: str = "1") -> list[dict[str, Any]]:
    """Return the rows of a table; none while there is no such table yet.

    A store that is opened for the first time by this version changes its journal, and is locked whole meanwhile:
    SQLite tells a reader so at once, whatever its patience, and the reader asks again.

    Not by the standard library: a second SQLite in the process of a store writer drops the locks of the first
    when it closes the file, and that can crash both.
    """
    return until(lambda: _rows(path, table, order), what=f"{path} to be readable")[0]


def _rows(path: Path, table: str, order: str) -> list[list[dict[str, Any]]]:
    """Return what was read, or nothing while the store is locked."""
    try:
        return [_read(path, table, order)]
    except apsw.BusyError:
        return []


def _read(path: Path, table: str, order: str) -> list[dict[str, Any]]:
    with contextlib.closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        connection.set_busy_timeout(5000)
        if not connection.table_exists(None, table):
            return []
        cursor = connection.execute(f"SELECT * FROM {table} ORDER BY {order}")  # noqa: S608
        found = cursor.fetchall()
        names = [str(column[1]) for column in connection.execute(f"PRAGMA table_info({table})")]
    return [dict(zip(names, row, strict=True)) for row in found]


def tables(path: Path) -> list[str]:
    """Return the names of the tables."""
    with contextlib.closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    return [str(name) for (name,) in found if not str(name).startswith("sqlite_")]


def said(row: dict[str, Any]) -> dict[str, Any]:
    """Return what a row says of its event."""
    kept = {name: value for name, value in row.items() if name not in PLACED}
    for name in kept.keys() & {"payload", "signals", "shrink_metrics", "l8_enrichment", "escalation", "context"}:
        kept[name] = None if kept[name] is None else json.loads(kept[name])
    return kept
