"""A13: the hot store is wiped, as at a reboot, once the janitor has trimmed the streams to its snapshot."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.faults import checker
from tests.faults.others import janitor, put_in
from tests.faults.report import Row, Tier
from tests.faults.rig import Rig
from tests.faults.witness import Witness

from dsmil.testing.waiting import until

REBUILT_S = 60.0
_ROWS = "SELECT event_id, severity, category, payload, escalation, stream_id FROM soc_events_cache"
#: A snapshot every few seconds: the product waits for minutes.
_OFTEN = {"dsmil.services.snapshot_keeper:_HURRY_S": 3.0}


@pytest.mark.scenario("A13 store wiped")
def test_wiped(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    with make_rig(constants=_OFTEN) as rig, Witness(rig):
        rig.router()
        store = rig.store()
        janitor(rig)
        first = put_in(rig, tier.pick(100_000, 1_000_000), timeout_s=1200)
        until(rig.at_rest, tier.pick(120, 1200), "rest")

        def trimmed() -> bool:
            used: Any = rig.client.info("memory")["used_memory"]
            rig.client.config_set("maxmemory", str(int(used / 0.6)))  # short again, whatever has gone already
            return bool(rig.client.xlen("SOC_EVENTS") < rig.put_out() / 10)

        until(trimmed, 120, "the janitor to trim")
        later = put_in(rig, tier.pick(2000, 20_000))
        until(rig.at_rest, 60, "rest")
        store.freeze()
        before = set(checker.rows(rig.settings, _ROWS))
        for path in Path(rig.settings.hotpath_db).parent.glob("hotpath.db*"):
            path.unlink()
        row.injected = 1
        started = time.monotonic()
        store.kill()
        until(rig.at_rest, 600, "the store")
        row.recovered(time.monotonic() - started)
        after = set(checker.rows(rig.settings, _ROWS))
        row.lost, row.duplicated = len(before - after), len(after - before)
        row.note = f"{len(before)} rows"
        assert before == after
        row.judge(rig.finish(first, later))
        assert (row.recovery_s or 0) <= REBUILT_S
