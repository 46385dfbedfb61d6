"""Copying a snapshot back: set-equal, whatever happens in between and whoever writes meanwhile."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.integration.recorded_release import Release, release, rows, said
from tests.integration.test_snapshots import events, insert, restored, snapshots, store

from dsmil.config import Settings
from dsmil.errors import StoreTooNew, StoreUnavailable
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.snapshots import Snapshots, describe, restore
from dsmil.infrastructure.sql import statement
from dsmil.infrastructure.store import Store

__all__ = ["release", "snapshots", "store"]


def test_everything_comes_back(store: Store, snapshots: Snapshots, tmp_path: Path) -> None:
    insert(store, 1, 100)
    c = store.connection
    soc = (1.5, "s-1", "LOW", "SOC", 52, 8, None, None, '{"l8": 1}', "{}", 2.5, None, None, "c", 0.5, "{}", "9-0")
    c.execute(statement("insert_soc"), soc)
    c.execute(statement("insert_model_output"), (1.5, "m-1", 47, 7, "m", None, "{}", 0.5, 1.0, 1.0, "NPU"))
    c.execute(statement("insert_shrink"), (1.5, 0.1, 0, 0.2, 0.3, 0.4, "{}"))
    c.execute(statement("insert_shrink"), (1.5, 0.9, 0, 0.2, 0.3, 0.4, "{}"))
    c.execute(statement("upsert_device"), (16, 3, "x", "ONLINE", 1.0, None, 5.0, "{}"))
    c.execute("INSERT INTO producers VALUES ('s', 16, 3, 100, 1.0, 2.0, 7, 3.5)")
    c.execute("UPDATE raw_events_fast SET processed = 1 WHERE id < 10")
    taken = snapshots.take()
    assert taken is not None
    path = tmp_path / "new.db"
    restored(path, taken.path).close()
    tables = ("raw_events_fast", "soc_events_cache", "model_outputs_fast", "shrink_metrics", "device_status")
    for table in (*tables, "producers", "stream_positions"):
        assert rows(path, table) == rows(store.path, table), table


def test_a_row_with_a_giant_number_does_not_keep_it_busy_for_ever(
    store: Store, snapshots: Snapshots, tmp_path: Path
) -> None:
    insert(store, 1, 10)
    for number in (-(2**63), 2**62):
        store.connection.execute(
            "INSERT INTO raw_events_fast (id, ts, event_id, device_id, layer, source, compartment, category,"
            " severity, payload) VALUES (?, 1.0, ?, 16, 3, 's', 'GENERAL', 'NETWORK', 'LOW', '')",
            (number, f"by-hand-{number}"),
        )
    taken = snapshots.take()
    assert taken is not None
    restored(tmp_path / "new.db", taken.path).close()
    assert events(tmp_path / "new.db") == events(store.path)


def test_what_others_have_written_meanwhile_stays(store: Store, snapshots: Snapshots, tmp_path: Path) -> None:
    insert(store, 1, 50)
    c = store.connection
    c.execute(statement("upsert_device"), (16, 3, "old", "ERROR", 1.0, None, 5.0, "{}"))
    c.execute(statement("upsert_device"), (52, 8, "router", "ONLINE", 1.0, None, 5.0, "{}"))
    c.execute(statement("insert_shrink"), (1.5, 0.1, 0, 0.2, 0.3, 0.4, "{}"))
    taken = snapshots.take()
    assert taken is not None
    path = tmp_path / "new.db"
    with Store(path) as fresh:
        fresh.migrate()
        insert(fresh, 1000, 1, position=False)  # by SQL, into row number 1
        fresh.connection.execute("UPDATE raw_events_fast SET event_id = 'by-hand'")
        fresh.connection.execute(statement("upsert_device"), (16, 3, "new", "ONLINE", 2.0, None, 99.0, "{}"))
        fresh.connection.execute(statement("insert_shrink"), (77.5, 0.7, 0, 0.2, 0.3, 0.4, "{}"))
        assert restore(fresh, taken.path)
    assert events(path) == events(store.path) | {"by-hand"}
    assert {row["device_id"]: row["name"] for row in rows(path, "device_status")} == {16: "new", 52: "router"}
    assert sorted(row["ts"] for row in rows(path, "shrink_metrics")) == [1.5, 77.5]


RESTORING = """
import os, signal, sys
from pathlib import Path
from dsmil.infrastructure import snapshots
from dsmil.infrastructure.store import Store
snapshots._CHUNK = 100
store = Store(Path(sys.argv[1])); store.migrate()
def progress(done, rows):
    if done >= int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
snapshots.restore(store, Path(sys.argv[2]), progress=progress)
"""


def test_a_kill_while_copying_back_and_once_more(
    store: Store, snapshots: Snapshots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(store, 1, 1000)
    for n in range(300):
        store.connection.execute(statement("insert_shrink"), (float(n), 0.1, 0, 0.2, 0.3, 0.4, "{}"))
    taken = snapshots.take()
    assert taken is not None
    path = tmp_path / "new.db"
    for at in (100, 700, 1000, 1200, 1300):
        command = [sys.executable, "-c", RESTORING, str(path), str(taken.path), str(at)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        assert len(rows(path, "raw_events_fast")) >= min(at, 1000)
        assert rows(path, "stream_positions") == [], "positions come last"
        half = Snapshots(path, tmp_path / "state")
        assert half.take() is None
    monkeypatch.setattr("dsmil.infrastructure.snapshots._CHUNK", 100)
    told: list[tuple[int, int]] = []
    with Store(path) as again:
        assert restore(again, taken.path, progress=lambda done, rows: told.append((done, rows)))
    assert events(path) == events(store.path)
    assert len(rows(path, "shrink_metrics")) == 300
    assert rows(path, "stream_positions") == rows(store.path, "stream_positions")
    assert told[-1] == (1300, 1300)
    assert told == sorted(told)


def test_giving_up_moves_no_position(store: Store, snapshots: Snapshots, tmp_path: Path) -> None:
    insert(store, 1, 10)
    taken = snapshots.take()
    assert taken is not None
    with Store(tmp_path / "new.db") as fresh:
        fresh.migrate()
        assert restore(fresh, taken.path, give_up=lambda: True) is False
        assert fresh.named("positions") == []
        assert restore(fresh, taken.path)
        assert snapshots.take(lambda: True) is None
    assert snapshots.paths() == [taken.path]


def test_one_of_a_newer_version_is_refused(store: Store, snapshots: Snapshots, tmp_path: Path) -> None:
    insert(store, 1, 10)
    store.connection.execute("INSERT INTO schema_steps VALUES (9999, 'later', 1.0)")
    taken = snapshots.take()
    assert taken is not None
    with Store(tmp_path / "new.db") as fresh:
        fresh.migrate()
        with pytest.raises(StoreTooNew, match="schema step 9999"):
            restore(fresh, taken.path)
        assert fresh.named("positions") == []
        with pytest.raises(StoreUnavailable, match="there is no snapshot"):
            restore(fresh, tmp_path / "nowhere.db")


def test_one_of_an_earlier_release_comes_back(release: Release, tmp_path: Path) -> None:
    old = release.restore("hotpath", tmp_path / "old.db")
    with contextlib.closing(apsw.Connection(str(old))) as connection:
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    assert describe(old).positions
    path = tmp_path / "new.db"
    restored(path, old).close()
    for table in ("raw_events_fast", "soc_events_cache", "shrink_metrics", "device_status", "stream_positions"):
        was = [said(row) for row in rows(old, table)]
        now: list[dict[str, Any]] = [said(row) for row in rows(path, table)]
        assert [{key: row[key] for key in was[0]} for row in now] == was, table


def test_the_documented_reader_sees_what_came_back(store: Store, snapshots: Snapshots, settings: Settings) -> None:
    insert(store, 1, 10)
    taken = snapshots.take()
    assert taken is not None
    restored(Path(settings.hotpath_db), taken.path).close()
    with HotPathDB(settings=settings) as db:
        assert len(db.get_recent_events(limit=100)) == 10
