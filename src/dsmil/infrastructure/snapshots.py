"""Copies of the hot store on disk: taken while it is written to, and copied back when it was wiped.

A snapshot carries the positions of the streams with it. What came later is still in the streams, because nothing
is trimmed beyond the newest snapshot; so snapshot plus streams give the whole store again.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import apsw
import msgspec

from dsmil.errors import StoreDamaged, StoreTooNew, StoreUnavailable
from dsmil.infrastructure import event_counts
from dsmil.infrastructure.sql import schema_steps
from dsmil.infrastructure.store import LEDGER, translated

if TYPE_CHECKING:
    from collections.abc import Callable

    from dsmil.infrastructure.store import Store

#: Snapshots kept; the one before the newest is there in case the disk has damaged that.
KEPT: Final = 2
#: Pages (16 KB) between two looks whether to go on.
_STEP_PAGES: Final = 1024
#: Rows of one transaction when copying back.
_CHUNK: Final = 20_000
_LEAST_ROW: Final = -(2**63)
#: Room that must be left on the disk beside a snapshot.
_SPARE_BYTES: Final = 256 * 1024 * 1024
#: What is copied back -> which rows count as there already.
_TABLES: Final = {
    "raw_events_fast": "ON CONFLICT DO NOTHING",
    "soc_events_cache": "ON CONFLICT DO NOTHING",
    "model_outputs_fast": "ON CONFLICT DO NOTHING",
    "shrink_metrics": "",
    "device_status": "ON CONFLICT DO NOTHING",
}
#: Errors that speak of the snapshot's own bytes, so that another one may still be whole.
DAMAGED: Final = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError)
#: What is copied back in one piece, together with the positions.
_SMALL: Final = ("producers", "stream_positions")


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One snapshot on disk."""

    path: Path
    #: When it was begun, Unix seconds.
    made: float
    size_bytes: int
    #: Stream -> entry id up to which it has everything.
    positions: dict[str, str]
    #: Stream -> name of the broker's data that its position speaks of.
    epochs: dict[str, str]


class Snapshots:
    """The snapshots of one hot store."""

    def __init__(self, store: Path, state_dir: Path) -> None:
        """Name the store; nothing is read yet."""
        self._store = store
        self.folder = state_dir / "snapshots"
        # Two stores may share a state directory; neither may get the other's rows back.
        self._newest: tuple[tuple[object, ...], Snapshot] | None = None
        self._prefix = f"{store.stem}-{hashlib.blake2b(os.fsencode(store.absolute()), digest_size=4).hexdigest()}-"

    def paths(self) -> list[Path]:
        """Return the files, newest first."""
        with contextlib.suppress(OSError):
            return sorted(self.folder.glob(f"{glob.escape(self._prefix)}*.db"), reverse=True)
        return []

    def newest(self) -> Snapshot | None:
        """Return the newest snapshot that can be read and knows how far it goes, or None."""
        for path in self.paths():
            with contextlib.suppress(StoreUnavailable, OSError):
                # Asked for every few seconds: the file is opened when it is another than before.
                status = path.stat()
                seen = (path, status.st_ino, status.st_size, status.st_mtime_ns)
                if self._newest is None or self._newest[0] != seen:
                    found = describe(path)
                    if not found.positions:
                        continue
                    self._newest = (seen, found)
                return self._newest[1]
        return None

    def take(self, give_up: Callable[[], bool] = lambda: False) -> Snapshot | None:
        """Copy the store as it is now. Writers go on meanwhile.

        None when ``give_up`` said so, and when the store has no positions: it is new, wiped, or being restored,
        and its copy must not take the place of a whole one.
        Raises StoreUnavailable when there is no store, or no room for its copy.
        """
        target = self.folder / f"{self._prefix}{self._next_stamp():014d}.db"
        part = target.with_suffix(f".{os.getpid()}.part")
        with translated(f"taking a snapshot of {self._store}"):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._clear_parts()
            try:
                if not _copy(self._store, part, give_up):
                    return None
                describe(part)  # one that cannot be read must not push out one that can
                part.chmod(0o600)
                _flush(part)
                part.replace(target)
                _flush(self.folder)
            finally:
                part.unlink(missing_ok=True)
            for old in self.paths()[KEPT:]:
                old.unlink(missing_ok=True)
        return describe(target)

    def _next_stamp(self) -> int:
        """Return milliseconds for a name behind all others: a clock that was set back must not reorder them."""
        newest = self.paths()[:1]
        after = newest[0].stem.rpartition("-")[2] if newest else ""
        return max(int(time.time() * 1000), int(after) + 1 if after.isdigit() else 0)

    def _clear_parts(self) -> None:
        """Remove what takers left that were killed."""
        for part in self.folder.glob(f"{glob.escape(self._prefix)}*.part"):
            pid = part.suffixes[-2].lstrip(".")
            # Ours is one of an earlier life: in a container the number is always the same.
            if not pid.isdigit() or int(pid) == os.getpid() or not _alive(int(pid)):
                part.unlink(missing_ok=True)


def describe(path: Path) -> Snapshot:
    """Return what a snapshot says of itself; StoreUnavailable when it cannot be read."""
    with translated(f"reading the snapshot {path}"):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            rows: Any = connection.execute("SELECT stream, last_id, epoch FROM stream_positions").fetchall()
        finally:
            connection.close()
        stamp = path.stem.rpartition("-")[2]
        made = int(stamp) / 1000 if stamp.isdigit() else path.stat().st_mtime
        return Snapshot(
            path=path,
            made=made,
            size_bytes=path.stat().st_size,
            positions={stream: last_id for stream, last_id, _ in rows},
            epochs={stream: epoch for stream, _, epoch in rows},
        )


def restore(
    store: Store,
    snapshot: Path,
    give_up: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> bool:
    """Copy a snapshot's rows and positions into a store that has no positions; False when ``give_up`` said so.

    Rows come in chunks, positions with the last of them: a kill in between does it again, and rows that are
    there already are left alone. ``progress`` is told rows done and all rows. Raises StoreUnavailable, and
    StoreTooNew for a snapshot of a newer version.
    """
    connection = store.connection
    with translated(f"opening the snapshot {snapshot}"):
        if not snapshot.is_file():
            raise StoreUnavailable(f"there is no snapshot {snapshot}")
        connection.execute("ATTACH ? AS snapshot", (str(snapshot),))
    try:
        _check_steps(store, snapshot)
        tables = [name for name in _TABLES if _columns(store, "snapshot", name)]
        total = sum(store.rows(f"SELECT count(*) AS n FROM snapshot.{name}")[0]["n"] for name in tables)  # noqa: S608 - fixed names
        done = 0
        for name in tables:
            copy_back, first = _copy_back(store, name), _LEAST_ROW
            while (chunk := _chunk(store, name, first)) is not None:
                if give_up():
                    return False
                last, rows = chunk
                with store.writing(f"copying back {name}"), event_counts.adding(store, name):
                    connection.execute(copy_back, (first, last))
                first, done = last + 1, done + rows
                progress(done, total)
                if rows < _CHUNK:
                    break
        with store.writing("copying back the positions"):
            for name in _SMALL:
                columns = ", ".join(_shared_columns(store, name))
                if columns:
                    connection.execute(
                        f"INSERT OR REPLACE INTO main.{name} ({columns}) SELECT {columns} FROM snapshot.{name}"  # noqa: S608 - names of our own schema
                    )
        progress(total, total)
        return True
    finally:
        with contextlib.suppress(apsw.Error):
            connection.execute("DETACH snapshot")


def _chunk(store: Store, table: str, first: int) -> tuple[int, int] | None:
    """Return the last row number of the next chunk, and its rows: numbers may lie far apart."""
    row: Any = store.connection.execute(
        f"SELECT max(rowid), count(*) FROM"  # noqa: S608 - fixed names
        f" (SELECT rowid FROM snapshot.{table} WHERE rowid >= ? ORDER BY rowid LIMIT ?)",
        (first, _CHUNK),
    ).fetchone()
    return (row[0], row[1]) if row[1] else None


def _copy(store: Path, part: Path, give_up: Callable[[], bool]) -> bool:
    source = apsw.Connection(str(store), flags=apsw.SQLITE_OPEN_READONLY)
    target = None
    try:
        # One view for the whole copy: else every write of another process would begin it anew.
        if source.execute("BEGIN; SELECT count(*) FROM stream_positions").fetchall() == [(0,)]:
            return False
        size = source.pragma("page_count") * source.pragma("page_size")
        free = shutil.disk_usage(part.parent).free
        if free < size + _SPARE_BYTES:
            msg = f"{part.parent} has {free >> 20} MB free, a snapshot takes {size >> 20} MB and 256 MB must stay"
            raise StoreUnavailable(msg)
        target = apsw.Connection(str(part))
        target.execute("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF").fetchall()
        with target.backup("main", source, "main") as copy:
            while not copy.done:
                if give_up():
                    return False
                copy.step(_STEP_PAGES)
        target.execute("PRAGMA journal_mode = DELETE").fetchall()  # so that it is one file and opens read-only
        if (found := target.execute("PRAGMA quick_check(1)").fetchall()) != [("ok",)]:
            raise StoreDamaged(f"{store}: {found[0][0]}")  # a damaged copy must not push out a good one
        return True
    finally:
        if target is not None:
            target.close()
        source.close()


def _check_steps(store: Store, snapshot: Path) -> None:
    if not _columns(store, "snapshot", LEDGER):
        with translated(f"reading the snapshot {snapshot}"):
            raise apsw.NotADBError(f"it has no {LEDGER}")
    found = store.rows(f"SELECT max(step) AS newest FROM snapshot.{LEDGER}")[0]["newest"] or 0  # noqa: S608 - a constant
    if found > schema_steps()[-1][0]:
        msg = f"{snapshot} has schema step {found}, which only a newer version knows; use that version"
        raise StoreTooNew(msg)


def _copy_back(store: Store, table: str) -> str:
    columns = ", ".join(_shared_columns(store, table))
    known = ""
    if table == "shrink_metrics":  # the only one without a key of its own
        known = " AND NOT EXISTS (SELECT 1 FROM main.shrink_metrics AS m WHERE m.ts = s.ts)"
    return (
        f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM snapshot.{table} AS s"  # noqa: S608 - names of our own schema
        f" WHERE s.rowid BETWEEN ? AND ?{known} ORDER BY s.rowid {_TABLES[table]}"
    )


def _shared_columns(store: Store, table: str) -> list[str]:
    """Return the columns that both have. Row numbers are given anew: others may have written rows meanwhile."""
    ours, theirs = _columns(store, "main", table), _columns(store, "snapshot", table)
    return [name for name in ours if name in theirs and name != "id"]


def _columns(store: Store, schema: str, table: str) -> list[str]:
    return [row["name"] for row in store.rows(f"PRAGMA {schema}.table_info({table})")]


def _flush(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
