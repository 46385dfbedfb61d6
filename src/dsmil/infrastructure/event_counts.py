"""How many rows the event tables have, by layer and severity, without a look through them.

Triggers keep the counts whoever writes by SQL. They cost a microsecond or two a row, so the store writer has them
off and counts a batch in one statement, in the transaction of its rows.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import apsw

from dsmil.infrastructure.sql import statement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dsmil.infrastructure.store import Store


#: The tables that are counted -> suffix of their statements.
TABLES: Final = {"raw_events_fast": "raw", "soc_events_cache": "soc"}


def count_in_bulk(store: Store) -> None:
    """Turn the triggers off for this connection: :func:`adding` and :func:`removing` count in their place."""
    store.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)


@contextlib.contextmanager
def adding(connection: apsw.Connection, table: str) -> Iterator[None]:
    """Count the rows that a table is given meanwhile: they come behind all others."""
    if table not in TABLES or _triggers(connection):
        yield
        return
    last: Any = connection.execute(statement(f"last_{TABLES[table]}")).fetchone()
    yield
    connection.execute(statement(f"count_added_{TABLES[table]}"), last)


def removing(connection: apsw.Connection, table: str, last: int, before: float) -> None:
    """Take off the rows that are deleted next: those up to ``last`` that arrived before ``before``."""
    if table in TABLES and not _triggers(connection):
        connection.execute(statement(f"count_removed_{TABLES[table]}"), (last, before))


def mend(store: Store) -> bool:
    """Count anew when the sum is not the number of rows; return whether it was not.

    So it is after ``INSERT OR REPLACE`` from outside has replaced a row, which fires no trigger for the old one.
    """
    if not store.named("counts_off")[0]["off"]:
        return False
    with store.writing("counting the events anew") as connection:
        for name in ("forget_counts", "count_raw_anew", "count_soc_anew"):
            connection.execute(statement(name))
    return True


def totals(store: Store) -> dict[str, int]:
    """Return the rows of each event table."""
    found = dict.fromkeys(TABLES, 0)
    for row in store.named("event_counts"):
        found[row["events_of"]] += row["events"]
    return found


def _triggers(connection: apsw.Connection) -> bool:
    return bool(connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, -1))
