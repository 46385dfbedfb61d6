"""A3: SIGSTOP of the broker: connections stay open, nothing answers, and everything asked is done late."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.faults.report import Row, Tier
from tests.faults.rig import DETECTOR, ROUTER, Rig
from tests.faults.scenarios import frozen_broker

from dsmil.events.streams import StreamName


@pytest.mark.scenario("A3 broker frozen 6/12/20 s")
def test_broker_frozen(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    with make_rig() as rig:
        load = rig.load(stream=StreamName.L3_IN)
        rig.detector()
        rig.router("router-0")
        rig.router("router-1")
        rig.store()
        for seconds in tier.pick((6, 12, 20), (6, 12, 20) * 20):
            rig.accept(load, rig.chance.randint(50, 500))
            frozen_broker(rig, row, seconds)
        row.note = f"{len(load.accepted)} entries, {load.failures} calls without an answer"
        assert load.failures, "the freeze was too short to be noticed"
        row.judge(rig.finish(load, hops=(DETECTOR, ROUTER), drain_s=tier.pick(30, 300)))
