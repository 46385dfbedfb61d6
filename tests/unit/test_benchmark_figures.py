"""The benchmarks' own arithmetic: what the guard lets pass, and the plan for larger machines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import cases, guard, page
from benchmarks.scaling import Cost, plan, walls

ROOT = Path(__file__).resolve().parents[2]


def test_ratio_may_fall_a_fifth_and_no_further() -> None:
    floor = {"routed.ratio_to_naive": 50.0}
    assert guard.fallen({"routed.ratio_to_naive": 40.1}, floor) == {}
    found = guard.fallen({"routed.ratio_to_naive": 39.9}, floor)
    assert list(found) == ["routed.ratio_to_naive"]
    assert "39.90" in found["routed.ratio_to_naive"]
    assert "least allowed 40.00" in found["routed.ratio_to_naive"]


def test_ratio_that_was_not_measured_has_fallen() -> None:
    assert list(guard.fallen({}, {"routed.ratio_to_naive": 50.0})) == ["routed.ratio_to_naive"]


def test_steady_ratios_count_by_their_median_and_rates_by_their_best() -> None:
    samples = {"routed.cpu_ratio_to_naive": [1.0, 9.0, 2.0], "whole_path.ratio_to_naive": [1.0, 9.0, 2.0]}
    assert guard.values(samples) == {"routed.cpu_ratio_to_naive": 2.0, "whole_path.ratio_to_naive": 9.0}


def test_committed_ratios_are_those_that_are_guarded() -> None:
    assert set(guard.committed()) == set(guard.GUARDED)


def test_written_ratios_come_back(tmp_path: Path) -> None:
    measured = dict.fromkeys(guard.GUARDED, 2.5)
    guard.write(measured, tmp_path / "floor.json")
    assert guard.committed(tmp_path / "floor.json") == measured
    with pytest.raises(ValueError, match="run without --only"):
        guard.write({}, tmp_path / "floor.json")


def test_plan_names_the_wall() -> None:
    cost = Cost(router=5, broker=10, store=20)
    assert walls(cost) == {"router": 200_000, "broker": 100_000, "store writer": 50_000}
    small = plan(cost, 1)
    assert (small.wall, round(small.single)) == ("cores", 28_571)
    large = plan(cost, 8)
    assert (large.wall, large.single) == ("store writer", 50_000)
    assert (round(large.partitioned), large.partitions, large.routers) == (228_571, 5, 2)


def test_page_says_what_was_not_measured() -> None:
    about = {"peers": {}, "loads": [0.5], "date": "2026-01-01", "rounds": 1, "minutes": 1}
    about |= {"events": 1, "naive_events": 1, "rows": 1}
    names = ("dsmil", "python", "broker", "sqlite", "redis-py", "hiredis", "msgspec", "kernel", "cpu", "cores")
    about |= dict.fromkeys((*names, "memory_gb"), "x")
    shown = page.text({"routed.ratio_to_naive": [41.0, 43.0, 45.0]}, about)
    assert "| 43.0 (41.0-45.0) | 35 | 60 | `routed.ratio_to_naive` |" in shown
    assert "| not measured | 22 | 40 | `whole_path.full.ratio_to_naive` |" in shown


def test_quick_leaves_out_what_takes_long() -> None:
    assert [case.name for case in cases.chosen((), quick=False)] == [case.name for case in cases.CASES]
    quick = {case.name for case in cases.chosen((), quick=True)}
    assert {case.name for case in cases.CASES} - quick == {"settings", "growth"}
    assert [case.name for case in cases.chosen(["store"], quick=True)] == ["store"]


def test_reference_loop_has_no_fast_parser() -> None:
    script = (
        "import sys; sys.path.insert(0, 'benchmarks'); sys.modules['requests'] = sys\n"
        "import naive, redis.utils; print(redis.utils.HIREDIS_AVAILABLE)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout.strip() == "False"
