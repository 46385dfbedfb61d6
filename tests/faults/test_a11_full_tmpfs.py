"""A11: the tmpfs of the hot store is full for a while: rows are late, alerts are not, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults import checker
from tests.faults.others import log_of
from tests.faults.report import Row, Tier
from tests.faults.rig import Rig

from dsmil.testing.waiting import until

RECOVERY_S = 10.0


@pytest.fixture
def tmpfs(tmp_path: Path, tier: Tier) -> Iterator[Path]:
    place = tmp_path / "ram"
    place.mkdir()
    size = tier.pick("160m", "2g")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def _fill(place: Path) -> Path:
    filler = place / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
    return filler


@pytest.mark.scenario("A11 tmpfs full")
def test_full(make_rig: Callable[..., Rig], tier: Tier, row: Row, tmpfs: Path) -> None:
    with make_rig(environ={"HOTPATH_DB": str(tmpfs / "hotpath.db")}) as rig:
        load = rig.load(rate=300)
        rig.router()
        store = rig.store()
        ballast = tmpfs / "hotpath.db.ballast"
        until(ballast.exists, 20, "the ballast")
        rig.flowing()
        filler = _fill(tmpfs)
        row.injected = 1
        until(lambda: not ballast.exists(), 60, "the ballast to be given away")
        ends = time.monotonic() + tier.pick(12, 300)
        while time.monotonic() < ends:
            _fill(tmpfs)
            assert rig.flowing(5) < 5, "routing waited for the store"
        assert os.statvfs(tmpfs).f_bavail * os.statvfs(tmpfs).f_frsize < 1 << 20
        goal = rig.put_out()
        filler.unlink()
        started = time.monotonic()
        until(lambda: _rows(rig) >= goal * 0.95, 60, "the rows")  # 5 % are sent twice
        row.recovered(time.monotonic() - started)
        row.note = f"{len(load.accepted)} entries, {log_of(store).count('store.trouble')} refusals of the disk"
        row.judge(rig.finish(load))
        assert checker.rows(rig.settings, "PRAGMA quick_check") == [("ok",)]
        assert (row.recovery_s or 0) <= RECOVERY_S


def _rows(rig: Rig) -> int:
    entries = checker.rows(rig.settings, "SELECT entries FROM stream_positions WHERE stream = 'SOC_EVENTS'")
    return int(entries[0][0]) if entries else 0
