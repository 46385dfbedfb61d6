"""A run of the benchmarks in which an event is lost or doubled has no figures."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks import checks, drain
from benchmarks.events import by_stream, fused, new_events
from benchmarks.preload import add_rows, open_documented, product_store, rows_of
from benchmarks.rig import BenchFailed, Process, Rig

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads CPU time from /proc")


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig() as rig:
        yield rig


def test_router_drains_everything_and_costs_time() -> None:
    found = drain.drain(drain.ROUTER, 2000, shrink_url="http://127.0.0.1:9")
    assert found.published_per_s > 0
    assert set(found.us) == {"broker", "soc-router"}
    assert found.us["soc-router"] > 0


def test_whole_path_on_a_store_with_rows_removes_old_ones(tmp_path: Path) -> None:
    preloaded = tmp_path / "full.db"
    # Many old rows to few new ones: what makes room must not reach the rows that are looked for.
    product_store(preloaded, 20_000, "v4")
    found = drain.drain(drain.WHOLE, 500, shrink_url="http://127.0.0.1:9", ids="v4", preloaded=preloaded)
    assert found.stored_per_s > 0
    assert found.removed_per_event > 0


def test_lost_and_doubled_entries_are_found(rig: Rig) -> None:
    events = new_events(10, "v7")
    ids = [event.event_id for event in events]
    rig.add("SOC_EVENTS", fused(events))
    checks.check_stream(rig.client, "SOC_EVENTS", ids)
    rig.add("SOC_EVENTS", fused(events[:1]))
    with pytest.raises(BenchFailed, match="1 doubled or foreign"):
        checks.check_stream(rig.client, "SOC_EVENTS", ids)
    rig.client.xtrim("SOC_EVENTS", maxlen=9, approximate=False)
    with pytest.raises(BenchFailed, match="1 events lost"):
        checks.check_stream(rig.client, "SOC_EVENTS", ids)


def test_unacknowledged_entries_are_found(rig: Rig) -> None:
    rig.add("L3_OUT", by_stream(new_events(10, "v7"))["L3_OUT"])
    rig.client.xgroup_create("L3_OUT", "g", id="0")
    with pytest.raises(BenchFailed, match="not everything was read"):
        checks.check_groups(rig.client, ["L3_OUT"])
    entries = rig.client.xreadgroup("g", "c", {"L3_OUT": ">"})
    with pytest.raises(BenchFailed, match=r"\('g', 5, 0\)"):
        checks.check_groups(rig.client, ["L3_OUT"])
    rig.client.xack("L3_OUT", "g", *(entry_id for entry_id, _ in entries[0][1]))
    checks.check_groups(rig.client, ["L3_OUT"])


def test_lost_rows_are_found(tmp_path: Path) -> None:
    path, events = tmp_path / "hotpath.db", new_events(10, "v4")
    ids = [event.event_id for event in events]
    store = open_documented(path)
    add_rows(store, rows_of(events))
    store.close()
    checks.check_rows(path, drain.TABLES, ids, {})
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute("DELETE FROM raw_events_fast WHERE id = 3")
    with pytest.raises(BenchFailed, match="raw_events_fast: 1 events lost"):
        checks.check_rows(path, drain.TABLES, ids, {})


def test_process_that_ends_fails_the_run(rig: Rig) -> None:
    rig.start("broken", sys.executable, "-c", "raise SystemExit('no such thing')")
    with pytest.raises(BenchFailed, match="broken ended with 1: no such thing"):
        rig.until(lambda: False, 20, "anything")


def test_processes_are_gone_after_a_run() -> None:
    with Rig() as other:
        process: Process = other.service("soc-router")
        store = other.store
    assert not Path(f"/proc/{process.pid}").exists()
    assert not store.parent.exists()
