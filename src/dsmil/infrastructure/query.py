"""Anybody's SQL on the hot store: read-only, bounded in time and rows."""

from __future__ import annotations

import itertools
import re
import time
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from dsmil.errors import QueryRefused, QueryTooLong, StoreUnavailable

#: Virtual-machine steps between looks at the clock.
_STEPS: Final = 10_000
_NOTHING: Final = re.compile(r"--[^\n]*|/\*.*?\*/|[\s;]", re.DOTALL)
#: Longest value a query may build; a row of the store is far smaller.
_MAX_VALUE_BYTES: Final = 16 * 1024 * 1024


class Result(msgspec.Struct, frozen=True):
    """Columns and rows of a query."""

    columns: list[str]
    rows: list[list[Any]]
    #: Whether there were more rows than allowed.
    truncated: bool
    seconds: float


def query(path: Path, sql: str, *, max_rows: int = 1000, max_seconds: float = 5.0) -> Result:
    """Run one read-only statement; raises QueryRefused, QueryTooLong or StoreUnavailable."""
    if not path.exists():
        raise StoreUnavailable(f"{path} cannot be opened: there is no such file; start the fabric with `dsmil up`")
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error as exc:
        raise StoreUnavailable(f"{path} cannot be opened: {exc}") from exc
    try:
        return _run(connection, sql, max_rows, max_seconds)
    except apsw.InterruptError:
        raise QueryTooLong(f"stopped after {max_seconds:g} s; narrow it down, or raise the limit") from None
    except apsw.ExecTraceAbort:
        raise QueryRefused("one statement at a time, please") from None
    except UnicodeDecodeError:
        raise QueryRefused("a value is text that is not UTF-8; look at it with hex(...)") from None
    except apsw.AuthError as exc:
        raise QueryRefused(f"{exc}: the store is read-only here, only SELECT and looking pragmas run") from None
    except (apsw.CantOpenError, apsw.IOError, apsw.BusyError, apsw.CorruptError, apsw.NotADBError) as exc:
        raise StoreUnavailable(f"{path}: {exc}") from exc
    except apsw.Error as exc:
        raise QueryRefused(str(exc)) from None
    finally:
        connection.close()


def _run(connection: apsw.Connection, sql: str, max_rows: int, max_seconds: float) -> Result:
    started = time.monotonic()
    columns: list[str] = []
    statements = itertools.count()

    def begin(cursor: apsw.Cursor, text: str, _bindings: object) -> bool:
        """Note the columns, which are gone once a statement without rows has run; refuse a second one."""
        if not _NOTHING.sub("", text):
            return True  # a comment behind the statement
        columns.extend(column[0] for column in cursor.get_description())
        return next(statements) == 0

    connection.set_busy_timeout(1000)
    connection.pragma("query_only", True)  # noqa: FBT003 - the pragma's value
    connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 0)
    connection.limit(apsw.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
    connection.authorizer = _reading_only
    connection.exec_trace = begin
    connection.set_progress_handler(lambda: time.monotonic() - started > max_seconds, _STEPS)
    cursor = connection.execute(sql)
    rows = [[_shown(value) for value in row] for row in itertools.islice(cursor, max_rows)]
    truncated = next(cursor, None) is not None
    return Result(columns, rows, truncated, time.monotonic() - started)


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
    return argument is not None and (pragma or "").lower() in {"journal_mode", "page_size", "user_version"}


def _shown(value: Any) -> Any:  # noqa: ANN401 - any SQLite value
    """Return a value as JSON can carry it: the store's blobs are JSON text."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
