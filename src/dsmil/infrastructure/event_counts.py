"""How many rows the event tables have, by layer and severity, without a look through them.

Triggers keep the counts whoever writes by SQL. They cost a microsecond or two a row, so the store writer has them
off and counts a batch in one statement, in the transaction of its rows. Where a user has made a trigger it has
them on, and they count for it too.
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


#: Triggers of the schema; any other is the user's own, and fires whoever writes.
_OURS: Final = tuple(
    f"count_{table}_{what}" for table in TABLES.values() for what in ("added", "removed", "changed")
)


def counted_by_triggers(store: Store) -> bool:
    """Return whether triggers count what this connection writes in the transaction that it is in.

    One that counts in bulk has them off, as long as there are no others: SQLite turns them off all together.
    """
    if not store.counts_in_bulk:
        return True
    version = store.connection.pragma("schema_version")
    if version != store.schema_seen:
        marks = ", ".join("?" * len(_OURS))
        foreign = store.rows(
            f"SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name NOT IN ({marks})",  # noqa: S608 - marks
            _OURS,
        )
        store.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, int(bool(foreign)))
        store.schema_seen = version
    return bool(store.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, -1))


@contextlib.contextmanager
def adding(store: Store, table: str) -> Iterator[None]:
    """Count the rows that a table is given meanwhile: they come behind all others."""
    if counted_by_triggers(store) or table not in TABLES:
        yield
        return
    last: Any = store.connection.execute(statement(f"last_{TABLES[table]}")).fetchone()
    yield
    store.connection.execute(statement(f"count_added_{TABLES[table]}"), last)


def removing(store: Store, table: str, last: int, before: float) -> None:
    """Take off the rows that are deleted next: those up to ``last`` that arrived before ``before``."""
    if not counted_by_triggers(store) and table in TABLES:
        store.connection.execute(statement(f"count_removed_{TABLES[table]}"), (last, before))


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
