"""A2: SIGKILL of the broker under load; it comes back on its append-only file."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.faults.report import Row, Tier
from tests.faults.rig import DETECTOR, ROUTER, Rig

from dsmil.events.streams import StreamName

#: Something new must have come out this long after the broker is up again, seconds.
FLOWING_S = 5.0


@pytest.mark.scenario("A2 broker killed")
@pytest.mark.parametrize(("server", "durable"), [("bundled", True), ("bundled", False), ("system", True)])
def test_broker_killed(make_rig: Callable[..., Rig], tier: Tier, row: Row, server: str, durable: bool) -> None:  # noqa: FBT001 - a parameter of the test
    # With `everysec` a broker holds back its log while the disk still syncs the second before, and a kill costs
    # what it held: that is not promised. So its disk is one that never lags.
    with make_rig(server=server, durable=durable, quick_disk=not durable) as rig:
        load = rig.load(stream=StreamName.L3_IN)
        rig.detector()
        rig.router()
        rig.store()
        for _ in range(tier.pick(8, 50)):
            rig.accept(load, rig.chance.randint(50, 800))
            rig.broker.kill()
            rig.broker.start()
            row.injected += 1
            row.recovered(rig.flowing())
        row.note = f"{len(load.accepted)} entries, fsync {'always' if durable else 'everysec'}"
        row.judge(rig.finish(load, hops=(DETECTOR, ROUTER)))
        assert (row.recovery_s or 0) <= FLOWING_S
