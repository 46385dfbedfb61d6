"""The checker sees each single thing that is wrong in a fabric that is right but for that."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from tests.faults import checker
from tests.faults.report import Row
from tests.faults.rig import Rig

Tamper = Callable[[Rig], object]


def _last(rig: Rig, stream: str) -> tuple[bytes, dict[bytes, bytes]]:
    reply: Any = rig.client.xrevrange(stream, count=1)
    return reply[0][0], reply[0][1]


def _again(rig: Rig) -> None:
    _, fields = _last(rig, "SOC_EVENTS")
    rig.client.xadd("SOC_EVENTS", dict(fields))  # type: ignore[arg-type]


def _sql(statement: str) -> Tamper:
    def tamper(rig: Rig) -> None:
        with contextlib.closing(sqlite3.connect(rig.settings.hotpath_db, isolation_level=None)) as connection:
            assert connection.execute(statement).rowcount == 1

    return tamper


TAMPERED: dict[str, tuple[Tamper, str]] = {
    "output twice": (_again, " duplicated"),
    "output gone": (lambda rig: rig.client.xdel("SOC_EVENTS", _last(rig, "SOC_EVENTS")[0]), " lost"),
    "input gone": (lambda rig: rig.client.xdel("L3_OUT", _last(rig, "L3_OUT")[0]), " lost"),
    "row gone": (_sql("DELETE FROM soc_events_cache WHERE id = 1"), " lost"),
    "row changed": (
        _sql("UPDATE soc_events_cache SET payload = json_set(payload, '$.copy', 0) WHERE id = 1"),
        "another body",
    ),
    "raw row gone": (
        _sql("DELETE FROM raw_events_fast WHERE id = 1"),
        "raw rows are missing",
    ),
    "foreign row": (
        _sql("UPDATE soc_events_cache SET event_id = 'nobody' WHERE id = 1"),
        "never published",
    ),
    "ledger off": (lambda rig: rig.client.hincrby("dsmil:ledger:L3_OUT:soc-router", "published", 1), "is off by"),
    "ledger of the store off": (
        _sql("UPDATE stream_positions SET rows = rows + 1 WHERE stream = 'SOC_EVENTS'"),
        "store's ledger",
    ),
    "dead letter": (lambda rig: rig.client.xadd("DEAD_LETTERS", {"cause": "x"}), "dead letters"),
    "pending": (
        lambda rig: (
            rig.client.xgroup_setid("L3_OUT", "soc-router", "0"),
            rig.client.xreadgroup("soc-router", "late", {"L3_OUT": ">"}, count=1),
        ),
        "still pending",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_one_thing_that_is_wrong_is_seen(make_rig: Callable[..., Rig], name: str) -> None:
    tamper, words = TAMPERED[name]
    with make_rig() as rig:
        load = rig.load(first=50)
        rig.router()
        rig.store()
        found = rig.finish(load)
        Row(scenario=name).judge(found)
        tamper(rig)
        after = checker.check(rig.client, rig.settings, load.accepted)
        assert words in "\n".join(after.problems())
