"""A16: ten times the usual rate for a while."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from tests.faults.others import latencies, percentile, producer, rss
from tests.faults.report import Row, Tier
from tests.faults.rig import Rig

BASE_P99_S = 0.25
DRAINED_S = 90.0
MOST_RSS = 1536 << 20


@pytest.mark.scenario("A16 burst x10")
def test_burst(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    """The short tier goes from 200 to 2,000 events a second: a fifth of the contract's, for a shared machine."""
    rate = tier.pick(200, 1000)
    with make_rig() as rig:
        router, store = rig.router(), rig.store()
        load = rig.load(rate=rate)
        early = set(load.accepted)
        rig.accept(load, rate * 8)
        base = {n: e for n, e in load.accepted.items() if n not in early}
        burst = producer(rig, rate=9 * rate, most=200)
        rig.accept(burst, 9 * rate * tier.pick(10, 60), 300)
        burst.finish()
        row.injected = 1
        biggest = sum(rss(slot.pid) for slot in (router, store)) + rss(rig.broker.pid or 0)
        started = time.monotonic()
        found = rig.finish(load, burst, drain_s=DRAINED_S)
        p99 = percentile(latencies(rig, base), 0.99)
        row.recovery_s = min(found.recovery_s, time.monotonic() - started)
        row.note = f"{rate} -> {10 * rate}/s, base p99 {p99 * 1000:.0f} ms, {biggest >> 20} MB"
        row.judge(found)
        assert p99 <= BASE_P99_S
        assert biggest <= MOST_RSS
