"""A1: SIGKILL at every step of the janitor, while it trims all that may go and other services are killed too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.faults.crew import HOLDING
from tests.faults.others import janitor
from tests.faults.points import JANITOR
from tests.faults.report import Row, Tier
from tests.faults.rig import Rig
from tests.faults.test_a1_kills import assert_each_was_hit, lives
from tests.faults.witness import Witness

from dsmil.infrastructure.pressure import Level, heard
from dsmil.testing.waiting import until

#: A round follows the other, snapshots come often, and names of dead consumers go at once.
_OFTEN = {
    "dsmil.services.janitor:_ROUND_S": 0.02,
    "dsmil.services.janitor:_REAP_EVERY_S": 0.1,
    "dsmil.services.janitor:_REAP_IDLE_S": 0.2,
}


@pytest.mark.scenario("A1 kills: janitor")
def test_janitor(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    times = tier.pick(4, 40)
    with make_rig(constants=_OFTEN) as rig, Witness(rig):
        load = rig.load()
        router = rig.router()
        rig.store()
        keeper = janitor(rig)
        rig.flowing()
        # So little memory is left that all that everybody has read and every snapshot has goes at once.
        used: Any = rig.client.info("memory")["used_memory"]
        rig.client.config_set("maxmemory", str(int(used / 0.6)))
        until(lambda: heard(rig.client).level >= Level.TIDY, 20, "the janitor to be in a hurry")
        until(lambda: rig.client.xlen("SOC_EVENTS") < rig.put_out(), 60, "the janitor to trim")
        keeper.add(*lives(JANITOR, times, rig.chance)[0])
        keeper.kill()
        for _ in range(times):
            router.add(HOLDING)
            router.kill()
            rig.accept(load, 500)
            held: Any = rig.client.info("memory")["used_memory"]
            rig.client.config_set("maxmemory", str(int(held / 0.6)))
        rig.crew.play_out(tier.pick(120, 1200))
        hits = rig.crew.hits()
        row.injected = sum(hits.values())
        info: Any = rig.client.xinfo_stream("L3_OUT")
        row.note = f"{len(load.accepted)} entries, {info['entries-added'] - info['length']} of L3_OUT trimmed"
        assert_each_was_hit(hits, JANITOR, times)
        assert info["entries-added"] > info["length"]
        row.judge(rig.finish(load, drain_s=60))
