"""Retention of the hot store: by age and by bytes, a few rows at a time."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil.infrastructure import event_counts
from dsmil.infrastructure.sql import statement
from dsmil.infrastructure.store_place import is_tmpfs

if TYPE_CHECKING:
    from pathlib import Path

    from dsmil.config import Settings
    from dsmil.infrastructure.store import Store

_HOUR: Final = 3600.0
#: Rows per transaction: a delete holds the write lock, some 5 ms for this many.
CHUNK: Final = 1000
_SHARE: Final = 0.8
#: 80 % of the documented 4 GB.
DEFAULT_MAX_BYTES: Final = int(_SHARE * 4 * 1024**3)


def max_bytes(settings: Settings, place: Path) -> int:
    """Return the most bytes the live pages may take: as set, else 80 % of 4 GB or of a smaller tmpfs."""
    if settings.hotpath_max_bytes:
        return settings.hotpath_max_bytes
    if not is_tmpfs(place.parent):
        return DEFAULT_MAX_BYTES
    return min(DEFAULT_MAX_BYTES, int(_SHARE * shutil.disk_usage(place.parent).total))


class Rule(msgspec.Struct, frozen=True):
    """How long the rows of one table are kept."""

    table: str
    #: Suffix of its statements ``oldest_*`` and ``delete_*``.
    statements: str
    seconds: float


RULES: Final = (
    Rule("raw_events_fast", "raw", 24 * _HOUR),
    Rule("model_outputs_fast", "model", 24 * _HOUR),
    Rule("soc_events_cache", "soc", 7 * 24 * _HOUR),
    Rule("shrink_metrics", "shrink", 24 * _HOUR),
)
#: The longest that any row is kept, seconds.
LONGEST_S: Final = max(rule.seconds for rule in RULES)


def expire(store: Store, now: float) -> dict[str, int]:
    """Delete at most one chunk of outlived rows per table; return how many by table.

    Age counts from arrival until ``now``, Unix seconds; ask a :class:`SteadyClock` for it. Only the head of
    each table is looked at, so it costs the same on a full store; call it again while it finds something.
    """
    gone: dict[str, int] = {}
    for rule in RULES:
        # Rows dated after now came by a clock that was ahead; those behind them must not wait for them.
        head = _head(store, rule, until=now)
        outlived = [row_id for row_id, arrived in head if arrived < now - rule.seconds]
        if outlived:
            gone[rule.table] = _delete(store, rule, outlived[-1], before=now - rule.seconds)
    return gone


def shrink_to(store: Store, max_bytes: int, now: float) -> dict[str, int]:
    """Delete one chunk when the store is larger than ``max_bytes``; return how many by table.

    The table that gives is the one whose oldest row has used up most of its own time, so that a day of raw
    records does not push out a week of alerts.
    """
    if store.used_bytes() <= max_bytes:
        return {}
    oldest = []
    for rule in RULES:
        row: Any = store.connection.execute(statement(f"first_{rule.statements}")).fetchone()
        if row:
            oldest.append(((now - row[0]) / rule.seconds, rule))
    if not oldest:
        return {}
    _, rule = max(oldest, key=lambda item: item[0])
    last: Any = store.connection.execute(statement(f"chunk_{rule.statements}"), (CHUNK,)).fetchone()
    return {rule.table: _delete(store, rule, last[0], before=math.inf)}


def _head(store: Store, rule: Rule, *, until: float) -> list[tuple[int, float]]:
    rows: Any = store.connection.execute(statement(f"oldest_{rule.statements}"), (until, CHUNK)).fetchall()
    return [(row_id, arrived) for row_id, arrived in rows]


def _delete(store: Store, rule: Rule, last: int, *, before: float) -> int:
    with store.writing(f"retention of {rule.table}") as connection:
        event_counts.removing(store, rule.table, last, before)
        connection.execute(statement(f"delete_{rule.statements}"), (last, before))
        return int(connection.changes())
