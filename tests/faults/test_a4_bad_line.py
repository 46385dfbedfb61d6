"""A4: a line to the broker that cuts, swallows replies, delays and drips, for producers and services alike."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from tests.faults.report import Row, Tier
from tests.faults.rig import DETECTOR, DRAIN_S, ROUTER, Rig

from dsmil.events.streams import StreamName
from dsmil.testing.proxy import Faults

FAULTS = Faults(cut=0.01, drop_reply=0.01, delay=0.01, drip=0.01)


@pytest.mark.scenario("A4 bad line")
def test_bad_line(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    with make_rig(proxied=True) as rig:
        # Half an hour of more than the slowest detector reads over such a line leaves a queue that only grows, and
        # says nothing about the thirty seconds in which what is pending must be settled.
        rate = tier.pick(1000, 250)
        load = rig.load(stream=StreamName.L3_IN, settings=rig.service_settings, rate=rate)
        rig.detector()
        rig.router("router-0")
        rig.router("router-1")
        rig.store()
        rig.proxy.faults = FAULTS
        until = time.monotonic() + tier.pick(45, 1800)
        while time.monotonic() < until:
            rig.accept(load, 200, 120)
        rig.proxy.faults = Faults()
        injected = {name: rig.proxy.injected[name] for name in ("cut", "drop_reply", "delay", "drip")}
        assert all(injected.values()), injected
        row.injected = sum(injected.values())
        row.note = f"{len(load.accepted)} entries, {', '.join(f'{n} {k}' for k, n in injected.items())}"
        row.judge(rig.finish(load, hops=(DETECTOR, ROUTER), drain_s=DRAIN_S))
