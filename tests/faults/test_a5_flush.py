"""A5: FLUSHALL under load: streams, groups and ledger are gone; what was committed stays, what comes is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from tests.faults import checker
from tests.faults.report import Row, Tier
from tests.faults.rig import Rig

from dsmil.testing.waiting import until

BACK_S = 2.0
ERRORS_A_SECOND = 5


@pytest.mark.scenario("A5 FLUSHALL")
def test_flushall(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    kept: set[str] = set()
    with make_rig() as rig:
        load = rig.load()
        slots = [rig.router("router-0"), rig.router("router-1")]
        rig.store()
        for _ in range(tier.pick(8, 60)):
            rig.accept(load, rig.chance.randint(100, 1500))
            rig.flowing()
            troubles = [slot.log.read_text().count("runner.trouble") for slot in slots]
            with load.held():
                kept |= {
                    str(row[0]) for row in checker.rows(rig.settings, "SELECT event_id FROM soc_events_cache")
                }
                rig.client.flushall()
                load.forget()
                started = time.monotonic()
            until(lambda: _group_is_back(rig), 30, "the group")
            seconds = time.monotonic() - started
            rig.flowing()
            row.recovered(seconds)
            row.injected += 1
            for slot, before in zip(slots, troubles, strict=True):
                errors = slot.log.read_text().count("runner.trouble") - before
                assert errors <= ERRORS_A_SECOND * max(1.0, time.monotonic() - started), slot.log.read_text()[
                    -2000:
                ]
        row.note = f"{len(kept)} rows kept"
        row.judge(rig.finish(load, kept=kept))
        assert (row.recovery_s or 0) <= BACK_S


def _group_is_back(rig: Rig) -> bool:
    try:
        found: Any = rig.client.xinfo_groups("L3_OUT")
    except redis.ResponseError:
        return False
    return any(row["name"] == b"soc-router" for row in found)
