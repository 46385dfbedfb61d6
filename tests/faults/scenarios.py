"""Short scenarios that each force one fault into the one gap where it matters.

They are run with the product, which must pass, and with the mutant that has this gap, which must fail.
"""

from __future__ import annotations

import signal
import time
from typing import Any

from tests.faults.crew import HOLDING, Life
from tests.faults.report import Row
from tests.faults.rig import Drained, Rig

from dsmil.testing.waiting import until

#: Times of the product that would make a scenario wait for a minute: how long an entry may be in hand.
HASTY = {"dsmil.services.runner:CLAIM_IDLE_MS": 700, "dsmil.services.runner:_CLAIM_EVERY_S": 0.2}
#: Shorter than the time after which idle entries are claimed: own entries must be read without that.
_SOON_S = 10.0


def killed_while_settling(rig: Rig, row: Row, times: int = 6) -> Drained:
    """Kill a router when the first command of a settlement has left."""
    load = rig.load()
    rig.store()
    rig.router(lives=[Life(point="settle:sent", nth=rig.chance.randint(1, 5)) for _ in range(times)])
    rig.crew.play_out(60)
    row.injected = rig.crew.hits()["settle:sent"]
    return rig.finish(load, drain_s=_SOON_S)


def killed_in_hand(rig: Rig, row: Row, times: int = 6) -> Drained:
    """Kill a router when it has read and not yet settled."""
    load = rig.load()
    rig.store()
    rig.router(lives=[HOLDING] * times)
    rig.crew.play_out(60)
    row.injected = rig.crew.hits()[HOLDING.point]
    return rig.finish(load, drain_s=_SOON_S)


def started_last(rig: Rig, row: Row) -> Drained:
    """Start the router after the producer."""
    load = rig.load(first=1000)
    rig.store()
    rig.router()
    row.injected = 1
    return rig.finish(load, drain_s=_SOON_S)


def output_refused(rig: Rig, row: Row, times: int = 3) -> Drained:
    """Let the output of a settlement fail at run time, for a while."""
    load = rig.load()
    rig.store()
    rig.router()
    rig.flowing()
    for _ in range(times):
        swap = rig.client.pipeline(transaction=True)
        swap.rename("SOC_EVENTS", "held")
        swap.set("SOC_EVENTS", "not a stream")
        swap.execute()
        rig.accept(load, 200)
        back = rig.client.pipeline(transaction=True)
        back.delete("SOC_EVENTS")
        back.rename("held", "SOC_EVENTS")
        back.execute()
        row.injected += 1
        row.recovered(rig.flowing())
    return rig.finish(load)


def woken_late(rig: Rig, row: Row, times: int = 3) -> Drained:
    """Freeze a router just before it settles; wake it when another has taken its entries. Needs ``HASTY``."""
    load = rig.load()
    rig.store()
    lives = [
        Life(point="settle:before", nth=rig.chance.randint(2, 6), signal=signal.SIGSTOP) for _ in range(times)
    ]
    sleeper = rig.router("router-0", lives)
    rig.router("router-1")
    for _ in range(times):
        until(lambda: sleeper.frozen, 60, "the freeze")
        until(lambda: not _consumer(rig, "-0")["pending"], 60, "the other router to take over")
        sleeper.thaw()
        row.injected += 1
        # It settles what it held, and only then does it ask the broker for more.
        until(lambda: _consumer(rig, "-0")["idle"] < 300, 60, "the router that woke up")
        sleeper.kill()
    return rig.finish(load)


def _consumer(rig: Rig, suffix: str) -> dict[str, Any]:
    found: Any = rig.client.xinfo_consumers("L3_OUT", "soc-router")
    return next(dict(row) for row in found if row["name"].decode().endswith(suffix))


def frozen_broker(rig: Rig, row: Row, seconds: float) -> None:
    """Freeze the broker for a time under load, and see everything flow again."""
    rig.broker.freeze()
    time.sleep(seconds)  # the fault itself, not a wait for something
    rig.broker.thaw()
    row.injected += 1
    row.recovered(rig.flowing())
