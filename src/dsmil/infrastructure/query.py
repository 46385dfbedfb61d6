"""Anybody's SQL on the hot store: read-only, bounded in time and rows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from dsmil.errors import DsmilError, StoreUnavailable

#: Virtual-machine steps between looks at the clock.
_STEPS: Final = 10_000
#: Longest value a query may build; a row of the store is far smaller.
_MAX_VALUE_BYTES: Final = 16 * 1024 * 1024


class QueryRefused(DsmilError, ValueError):
    """The statement is not allowed, or not SQL."""


class QueryTooLong(DsmilError):
    """The statement ran into its time limit."""


class Result(msgspec.Struct, frozen=True):
    """Columns and rows of a query."""

    columns: list[str]
    rows: list[list[Any]]
    #: Whether there were more rows than allowed.
    truncated: bool
    seconds: float


def query(path: Path, sql: str, *, max_rows: int = 1000, max_seconds: float = 5.0) -> Result:
    """Run one read-only statement; raises QueryRefused, QueryTooLong or StoreUnavailable."""
    started = time.monotonic()
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error as exc:
        raise StoreUnavailable(f"{path} cannot be opened: {exc}") from exc
    try:
        connection.set_busy_timeout(1000)
        connection.pragma("query_only", True)  # noqa: FBT003 - the pragma's value
        connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
        connection.limit(apsw.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
        connection.authorizer = _reading_only
        connection.set_progress_handler(lambda: time.monotonic() - started > max_seconds, _STEPS)
        rows: list[list[Any]] = []
        cursor = connection.execute(sql)
        described = cursor.get_description() if cursor.is_readonly else ()
        columns = [column[0] for column in described]
        truncated = False
        for row in cursor:
            if len(rows) >= max_rows:
                truncated = True
                break
            rows.append([_shown(value) for value in row])
        return Result(columns, rows, truncated, time.monotonic() - started)
    except apsw.InterruptError:
        raise QueryTooLong(f"stopped after {max_seconds:g} s; narrow it down, or raise the limit") from None
    except apsw.ExecutionCompleteError:
        return Result([], [], truncated=False, seconds=time.monotonic() - started)
    except (apsw.CantOpenError, apsw.IOError, apsw.BusyError, apsw.CorruptError, apsw.NotADBError) as exc:
        raise StoreUnavailable(f"{path}: {exc}") from exc
    except apsw.Error as exc:
        raise QueryRefused(str(exc)) from None
    finally:
        connection.close()


_READING: Final = frozenset(
    {apsw.SQLITE_SELECT, apsw.SQLITE_READ, apsw.SQLITE_FUNCTION, apsw.SQLITE_RECURSIVE, apsw.SQLITE_PRAGMA}
)
#: Pragmas that only tell something.
_PRAGMAS: Final = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "page_count"}
    | {"page_size", "freelist_count", "journal_mode", "quick_check", "integrity_check", "user_version"}
)


def _reading_only(code: int, first: str | None, second: str | None, _db: str | None, _by: str | None) -> int:
    if code not in _READING or (code == apsw.SQLITE_FUNCTION and second == "load_extension"):
        return apsw.SQLITE_DENY
    if code == apsw.SQLITE_PRAGMA and ((first or "").lower() not in _PRAGMAS or _sets(first, second)):
        return apsw.SQLITE_DENY
    return apsw.SQLITE_OK


def _sets(pragma: str | None, argument: str | None) -> bool:
    """Return whether a pragma with an argument would set something rather than name a table."""
    return argument is not None and pragma in {"journal_mode", "page_size", "user_version"}


def _shown(value: Any) -> Any:  # noqa: ANN401 - any SQLite value
    """Return a value as JSON can carry it: the store's blobs are JSON text."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
