"""The hot store's connection: schema, transactions, and errors in our words."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import apsw

from dsmil.errors import StoreDamaged, StoreTooNew, StoreUnavailable
from dsmil.infrastructure.sql import SchemaStep, schema_steps, statement

#: Earlier libraries can corrupt a database when a checkpoint races a writer (fixed in 3.51.3).
OLDEST_SQLITE: Final = 3051003
_BUSY_MS: Final = 5000
_PAGE_BYTES: Final = 16384
_CACHE_KB: Final = 16 * 1024
#: Log pages after which the store writer checkpoints (16 KB each: 32 MB).
_CHECKPOINT_PAGES: Final = 2000
#: The same for everybody else, who only does it when no store writer does: pages of a tmpfs count to the memory of
#: the process that first writes them, and only the store writer's limit leaves room for a full store.
_OTHERS_CHECKPOINT_PAGES: Final = 4 * _CHECKPOINT_PAGES
#: How a writer opens the file. The page size takes effect in an empty one only.
PRAGMAS: Final = (
    f"page_size = {_PAGE_BYTES}",
    "journal_mode = WAL",
    "synchronous = NORMAL",
    "secure_delete = 0",
    f"cache_size = -{_CACHE_KB}",
    f"wal_autocheckpoint = {_OTHERS_CHECKPOINT_PAGES}",
    "journal_size_limit = 67108864",
)
LEDGER: Final = "schema_steps"
#: Steps have four digits.
_LAST_STEP: Final = 9999


def ledger_sql() -> str:
    """Return the statement that makes the ledger of schema steps."""
    return f"CREATE TABLE IF NOT EXISTS {LEDGER} (step INTEGER PRIMARY KEY, name TEXT, applied REAL)"


def sqlite_version_ok() -> bool:
    """Return whether the SQLite library is new enough to be trusted with several connections."""
    return apsw.SQLITE_VERSION_NUMBER >= OLDEST_SQLITE


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn the driver's errors into StoreUnavailable, or StoreDamaged, keeping the cause."""
    try:
        yield
    except apsw.CorruptError as exc:  # and not "no database": that may be anybody's file, named by mistake
        msg = f"{what}: {type(exc).__name__}: {exc}"
        raise StoreDamaged(msg) from exc
    except (apsw.Error, OSError) as exc:
        msg = f"{what}: {type(exc).__name__}: {exc}"
        raise StoreUnavailable(msg) from exc


@contextlib.contextmanager
def writer_lock(path: Path) -> Iterator[None]:
    """Hold the lock that a store writer holds on its file; StoreUnavailable when there is one."""
    with translated(f"locking {path}"):
        lock = os.open(f"{path}.writer", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o660)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreUnavailable(
                f"another store writer copies into {path}; give this instance its own with HOTPATH_DB"
            ) from None
        yield
    finally:
        os.close(lock)


class Store:
    """One connection to the hot store. Not for two threads at once."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open the file; a writer makes it and its folder. Raises StoreUnavailable."""
        self.path = path
        self._stack = contextlib.ExitStack()
        #: Whether the schema is known to be up to date.
        self.migrated = False
        self.read_only = read_only
        #: Whether this connection counts event rows a batch at a time (see ``event_counts``), and the schema's
        #: version at which its triggers were last looked at.
        self.counts_in_bulk = False
        self.schema_seen: int | None = None
        if not sqlite_version_ok():
            raise StoreUnavailable(f"SQLite {apsw.sqlite_lib_version()} is too old; 3.51.3 is needed")
        flags = apsw.SQLITE_OPEN_READONLY
        with translated(f"opening {path}"):
            if not read_only:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
            self.connection = apsw.Connection(str(path), flags=flags)
            self.connection.set_busy_timeout(_BUSY_MS)
            if not read_only:
                self._set_up()
            self.inode = path.stat().st_ino

    def _set_up(self) -> None:
        for pragma in PRAGMAS:
            self.connection.execute(f"PRAGMA {pragma}").fetchall()
        self.path.chmod(0o660)

    def migrate(self, steps: Sequence[SchemaStep] | None = None) -> list[str]:
        """Run the schema steps this file lacks, each in one transaction with its ledger row; return them.

        ``steps`` are those of this version unless given. Raises StoreTooNew when the file has steps that are
        not among them; nothing is changed then.
        """
        if steps is None:
            steps = schema_steps()
        refuse_newer(self, steps)
        with self.writing("preparing the ledger of schema steps"):
            self.connection.execute(ledger_sql())
        done = _steps_done(self)
        applied = []
        for number, name, script in steps:
            if number in done:
                continue
            with self.writing(f"schema step {name}"):
                # Another process may have run it between the look and the lock.
                row = self.connection.execute(f"SELECT 1 FROM {LEDGER} WHERE step = ?", (number,)).fetchone()  # noqa: S608 - a constant
                if row is None:
                    # To its end: a statement that returns a row stops the script until the row is fetched.
                    self.connection.execute(script).fetchall()
                    self.connection.execute(
                        f"INSERT INTO {LEDGER} VALUES (?, ?, ?)",  # noqa: S608 - a constant
                        (number, name, time.time()),
                    )
                    applied.append(name)
        if steps is schema_steps():
            _check_shape(self)
        self.migrated = True
        return applied

    @contextlib.contextmanager
    def writing(self, what: str) -> Iterator[apsw.Connection]:
        """One write transaction; the lock is taken at once, because upgrading a read fails without waiting."""
        with translated(what):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def rows(self, sql: str, bindings: Any = ()) -> list[dict[str, Any]]:  # noqa: ANN401 - tuple or mapping
        """Run a statement and return its rows as dictionaries."""
        with translated("reading"):
            cursor = self.connection.execute(sql, bindings)
            names: list[str] | None = None
            found = []
            for row in cursor:
                if names is None:
                    names = [column[0] for column in cursor.get_description()]
                found.append(dict(zip(names, row, strict=True)))
            return found

    def named(self, name: str, bindings: Any = ()) -> list[dict[str, Any]]:  # noqa: ANN401 - tuple or mapping
        """Run a statement of ``statements.sql`` by its name."""
        return self.rows(statement(name), bindings)

    def used_bytes(self) -> int:
        """Return the bytes of live pages (the file itself never shrinks)."""
        with translated("measuring"):
            pages = self.connection.pragma("page_count") - self.connection.pragma("freelist_count")
            return int(pages * self.connection.pragma("page_size"))

    def replaced(self) -> bool:
        """Return whether the file is no longer the one that was opened (wiped tmpfs, restored snapshot)."""
        try:
            return self.path.stat().st_ino != self.inode
        except OSError:
            return True

    def lock_for_writer(self) -> None:
        """Be the one store writer of this file until it is closed; StoreUnavailable when there is one."""
        self._stack.enter_context(writer_lock(self.path))
        with translated(f"preparing {self.path}"):
            self.connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}").fetchall()

    def __enter__(self) -> Store:
        """Return itself."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close the connection and give up the lock."""
        self.connection.close()
        self._stack.close()


def refuse_newer(store: Store, steps: Sequence[SchemaStep] | None = None) -> None:
    """Raise StoreTooNew, with the remedy, when the file has schema steps that this version does not know."""
    known = (schema_steps() if steps is None else steps)[-1][0]
    newest = max(_steps_done(store), default=0)
    if newest > _LAST_STEP:
        raise StoreDamaged(f"{store.path} says it has schema step {newest}: the file is damaged")
    if newest > known:
        raise StoreTooNew(
            f"{store.path} has schema step {newest}, this version knows {known}; use the version that wrote it,"
            f" or stop everything and `rm {store.path}*`: it is filled again from snapshot and streams"
        )


def _steps_done(store: Store) -> set[int]:
    """Return the numbers of the steps that the ledger of a file has; none where there is no ledger."""
    if not store.rows("SELECT 1 FROM sqlite_schema WHERE name = ?", (LEDGER,)):
        return set()
    return {row["step"] for row in store.rows(f"SELECT step FROM {LEDGER}")}  # noqa: S608 - a constant


@lru_cache(maxsize=1)
def _columns_made() -> dict[str, frozenset[str]]:
    """Return the columns of each table that the steps of this version make."""
    fresh = apsw.Connection(":memory:")
    try:
        for _, _, script in schema_steps():
            fresh.execute(script).fetchall()
        return _columns(fresh)
    finally:
        fresh.close()


def _columns(connection: apsw.Connection) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for table, column in connection.execute(
        "SELECT m.name, c.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table'"
    ):
        found.setdefault(str(table), set()).add(str(column))
    return {table: frozenset(columns) for table, columns in found.items()}


def _check_shape(store: Store) -> None:
    """Raise StoreDamaged when the file lacks what its own ledger of steps says it has."""
    with translated("looking at the tables"):
        there = _columns(store.connection)
    missing = [
        f"{table}.{column}"
        for table, columns in _columns_made().items()
        for column in sorted(columns - there.get(table, frozenset()))
    ]
    if missing:
        raise StoreDamaged(f"{store.path} lacks {', '.join(missing[:5])}, which its schema steps should have made")
