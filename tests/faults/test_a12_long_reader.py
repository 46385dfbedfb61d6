"""A12: somebody reads the hot store in one transaction for minutes while events flow."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults import checker
from tests.faults.others import log_of
from tests.faults.report import Row, Tier
from tests.faults.rig import Rig

from dsmil.testing.waiting import until

MOST_WAL = 256 << 20
_READER = """
import sqlite3, sys
connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, isolation_level=None)
connection.execute("BEGIN")
print(connection.execute("SELECT count(*) FROM soc_events_cache").fetchone()[0], flush=True)
sys.stdin.read()
"""


@pytest.mark.scenario("A12 long reader")
def test_long_reader(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    with make_rig() as rig:
        load = rig.load(rate=1000)
        rig.router()
        store = rig.store()
        rig.flowing()
        rig.accept(load, 1000)
        until(lambda: checker.rows(rig.settings, "SELECT count(*) FROM soc_events_cache")[0][0], 20, "rows")
        wal = Path(f"{rig.settings.hotpath_db}-wal")
        command = [sys.executable, "-c", _READER, rig.settings.hotpath_db]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
            assert reader.stdin is not None
            assert reader.stdout is not None
            assert int(reader.stdout.readline()) > 0
            row.injected = 1
            biggest, ends = 0, time.monotonic() + tier.pick(40, 600)
            while time.monotonic() < ends:
                rig.accept(load, 200)
                biggest = max(biggest, wal.stat().st_size)
            reader.stdin.close()
        row.note = f"{len(load.accepted)} entries, log {biggest >> 20} MB"
        found = rig.finish(load, drain_s=tier.pick(30, 120))
        assert "Busy" not in log_of(store)
        row.judge(found)
        assert biggest <= MOST_WAL
