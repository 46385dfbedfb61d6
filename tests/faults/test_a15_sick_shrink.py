"""A15: SHRINK is ill: routing keeps its rate, nobody is alarmed by a lie, and nobody is led elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import pytest
from tests.faults import checker
from tests.faults.load import Load
from tests.faults.others import rss
from tests.faults.report import Row, Tier
from tests.faults.rig import Rig
from tests.faults.sick_shrink import ILLNESSES, STRESS, SickShrink

from dsmil.testing.waiting import until

_POLL_S: Final = 0.2
_RATIO: Final = 0.95
_MOST_GROWTH: Final = 64 << 20
_RAISED: Final = "SELECT count(*) FROM soc_events_cache WHERE severity <> original_severity"


@pytest.mark.scenario("A15 SHRINK ill")
def test_sick_shrink(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    environ = {"SHRINK_POLL_INTERVAL": str(_POLL_S)}
    with SickShrink() as shrink, make_rig(environ=environ | {"SHRINK_URL": shrink.url}) as rig:
        router = rig.router()
        rig.store()
        load = rig.load(rate=tier.pick(1500, 3000))
        until(lambda: shrink.asked.get(None, 0) > 2, 30, "the router to ask")
        rig.flowing()
        before = rss(router.pid)
        well, ill = [], {}
        for illness in ILLNESSES:
            well.append(_routed(rig, load, tier.pick(1.5, 20.0)))
            shrink.illness = illness
            until(lambda illness=illness: shrink.asked.get(illness), 10, illness)  # type: ignore[misc]
            ill[illness] = _routed(rig, load, tier.pick(1.5, 20.0))
            shrink.illness = None
            row.injected += 1
            answered = shrink.asked[None]
            started = time.monotonic()
            until(lambda answered=answered: shrink.asked[None] > answered, 30, f"asking after {illness}")  # type: ignore[misc]
            row.recovered(time.monotonic() - started)
        growth = rss(router.pid) - before
        until(lambda: checker.rows(rig.settings, "SELECT count(*) FROM soc_events_cache")[0][0] > 0, 30, "rows")
        load.finish()
        until(rig.at_rest, 30, "rest")
        assert checker.rows(rig.settings, _RAISED) == [(0,)]
        assert shrink.forbidden.visits == 0
        # It does believe a good answer, or all of the above would prove nothing.
        shrink.metrics = STRESS
        answered = shrink.asked[None]
        until(lambda: shrink.asked[None] > answered + 2, 10, "the bad news to be read")
        more = rig.load(rate=200, first=50)
        more.finish()
        until(lambda: checker.rows(rig.settings, _RAISED)[0][0] > 0, 30, "an escalated row")
        worst = min(ill, key=lambda name: ill[name])
        ratio = ill[worst] / min(1.0, sum(well) / len(well))
        row.note = f"{ratio:.0%} of the rate at worst ({worst}), router +{max(growth, 0) >> 20} MB"
        assert ratio >= _RATIO
        assert growth <= _MOST_GROWTH
        assert shrink.forbidden.visits == 0


def _routed(rig: Rig, load: Load, seconds: float) -> float:
    """Return which part of what was put in meanwhile came out meanwhile."""
    out, put_in = rig.put_out(), rig.put_out("L3_OUT")
    ends = time.monotonic() + seconds
    until(lambda: time.monotonic() >= ends, seconds + 5, "the window")
    assert load.is_alive()
    return (rig.put_out() - out) / max(rig.put_out("L3_OUT") - put_in, 1)
