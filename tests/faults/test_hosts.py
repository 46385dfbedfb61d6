"""Two hosts' routers on one broker and one group; one host is gone for good, and the other takes over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.faults.crew import HOLDING
from tests.faults.oddities import odd
from tests.faults.report import Row, Tier
from tests.faults.rig import Rig
from tests.faults.scenarios import HASTY

from dsmil.events.streams import StreamName
from dsmil.infrastructure.trimming import Trimmer
from dsmil.testing.waiting import until


@pytest.mark.scenario("hosts: one gone for good")
def test_host_gone(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    with make_rig(constants=HASTY) as rig:
        load = rig.load()
        rig.store()
        with odd(rig, "host:alpha"):
            rig.router("alpha")
        for n in range(tier.pick(3, 20)):
            with odd(rig, f"host:beta-{n}"):
                beta = rig.router(f"beta-{n}", [HOLDING])
            until(lambda beta=beta: beta.deaths, 60, "the death")  # type: ignore[misc]
            until(lambda beta=beta: beta.pid, 20)  # type: ignore[misc]
            beta.freeze()  # the life that follows: this host is gone for good
            row.injected += 1
            name = f"beta-{n}-soc-router-0"
            assert name in _consumers(rig), _consumers(rig)
            gone = Trimmer(rig.client).reap(StreamName.L3_OUT, "soc-router", 0) if _consumers(rig)[name] else []
            assert name not in gone, "a name was removed although it holds entries"
            until(lambda name=name: not _consumers(rig).get(name), 60, "the other host to take over")  # type: ignore[misc]
            beta.thaw()
            beta.expected_kills += 1
            beta._ending.set()
            beta.kill()
            until(lambda name=name: name in _reap(rig), 20, "the name to go")  # type: ignore[misc]
        row.note = f"{len(load.accepted)} entries"
        row.judge(rig.finish(load))


def _consumers(rig: Rig) -> dict[str, int]:
    """Return what each consumer holds."""
    found: Any = rig.client.xinfo_consumers("L3_OUT", "soc-router")
    return {row["name"].decode(): row["pending"] for row in found}


def _reap(rig: Rig) -> list[str]:
    return Trimmer(rig.client).reap(StreamName.L3_OUT, "soc-router", 0.3)
