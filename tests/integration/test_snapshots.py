"""Snapshots: one view of a store that is written to, whole or not there, and copied back without loss."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.integration.recorded_release import Release, release, rows, said

from dsmil.config import Settings
from dsmil.errors import StoreTooNew, StoreUnavailable
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.snapshots import KEPT, Snapshots, describe, restore
from dsmil.infrastructure.sql import statement
from dsmil.infrastructure.store import Store
from dsmil.testing.waiting import until

__all__ = ["release"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "hot.db") as made:
        made.migrate()
        yield made


@pytest.fixture
def snapshots(store: Store, tmp_path: Path) -> Snapshots:
    return Snapshots(store.path, tmp_path / "state")


def insert(store: Store, first: int, count: int, *, position: bool = True) -> None:
    """Add rows as the store writer does: with the position, in one transaction."""
    with store.writing("test") as connection:
        for n in range(first, first + count):
            raw = (1.5, f"e-{n}", 16, 3, "s", "GENERAL", "NETWORK", "LOW", b"{}", None, None, 2.5, None, f"{n}-0")
            connection.execute(statement("insert_raw"), raw)
        if position:
            values = ("L3_IN", f"{first + count - 1}-0", "epoch", count, count, 0, 0, 1.0)
            connection.execute(statement("move_position"), values)


def events(path: Path, table: str = "raw_events_fast") -> set[str]:
    return {row["event_id"] for row in rows(path, table)}


def restored(path: Path, snapshot: Path) -> Store:
    fresh = Store(path)
    fresh.migrate()
    assert restore(fresh, snapshot)
    return fresh


def test_rows_and_positions_of_a_snapshot_belong_together(store: Store, snapshots: Snapshots) -> None:
    """While a writer adds and another process beats."""
    insert(store, 1, 3000)
    stop = threading.Event()
    written = [3000]

    def write() -> None:
        with Store(store.path) as own:
            while not stop.is_set():
                insert(own, written[0] + 1, 50)
                written[0] += 50

    beat = (
        "import sys\nfrom dsmil.config import Settings\nfrom dsmil.infrastructure.hotpath_db import HotPathDB\n"
        "db = HotPathDB(settings=Settings.from_env({'HOTPATH_DB': sys.argv[1]}))\n"
        "while db.update_device_status(device_id=16, layer=3, name='x', status='ONLINE'): print(flush=True)"
    )
    other = subprocess.Popen([sys.executable, "-c", beat, str(store.path)], stdout=subprocess.PIPE)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert other.stdout is not None
        other.stdout.readline()
        for _ in range(5):
            before = written[0]
            until(lambda before=before: written[0] > before)  # type: ignore[misc]
            taken = snapshots.take()
            assert taken is not None
            (place,) = rows(taken.path, "stream_positions")
            numbers = {int(row["stream_id"].partition("-")[0]) for row in rows(taken.path, "raw_events_fast")}
            assert numbers == set(range(1, int(place["last_id"].partition("-")[0]) + 1))
            assert place["rows"] == len(numbers) > before - 50
            assert taken.positions == {"L3_IN": place["last_id"]}
            assert taken.epochs == {"L3_IN": "epoch"}
            assert other.poll() is None, "beats go on"
    finally:
        stop.set()
        writer.join()
        other.kill()
        other.communicate()


def test_two_are_kept_and_the_newest_is_found(store: Store, snapshots: Snapshots) -> None:
    made = []
    for n in range(4):
        insert(store, 1 + 10 * n, 10)
        taken = snapshots.take()
        assert taken is not None
        made.append(taken.path)
    assert snapshots.paths() == made[:1:-1]
    assert len(snapshots.paths()) == KEPT
    newest = snapshots.newest()
    assert newest is not None
    assert newest.positions == {"L3_IN": "40-0"}
    assert newest.path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in snapshots.folder.iterdir() if p.suffix != ".db"] == []


def test_a_clock_that_was_set_back_does_not_remove_the_newest(
    store: Store, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(store, 1, 10)
    monkeypatch.setattr("dsmil.infrastructure.snapshots.time.time", lambda: 2_000_000_000.0)
    assert snapshots.take()
    assert snapshots.take()
    monkeypatch.setattr("dsmil.infrastructure.snapshots.time.time", lambda: 1_000_000_000.0)
    for n in range(1, 4):
        insert(store, 1 + 10 * n, 10)
        assert snapshots.take()
        newest = snapshots.newest()
        assert newest is not None
        assert newest.positions == {"L3_IN": f"{10 * n + 10}-0"}
    assert len(snapshots.paths()) == KEPT


def test_a_store_without_positions_is_not_copied(store: Store, snapshots: Snapshots) -> None:
    """A store that is new or half restored would push out the copies that have everything."""
    insert(store, 1, 10)
    assert snapshots.take()
    store.connection.execute("DELETE FROM stream_positions")
    for _ in range(3):
        assert snapshots.take() is None
    newest = snapshots.newest()
    assert newest is not None
    assert newest.positions == {"L3_IN": "10-0"}
    assert len(list(snapshots.folder.iterdir())) == 1, "and no part of one is left"


def test_stores_that_share_a_state_directory_do_not_mix(store: Store, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with Store(tmp_path / "x" / "hot.db") as second:
        second.migrate()
        insert(second, 1, 3)
        insert(store, 1, 5)
        for made in (Snapshots(store.path, tmp_path), Snapshots(second.path, tmp_path)):
            assert made.take()
            assert made.take()
            assert len(made.paths()) == 2
        found = Snapshots(second.path, tmp_path).newest()
        assert found is not None
        assert found.positions == {"L3_IN": "3-0"}


@pytest.mark.parametrize("name", ["hot [1].db", "a.b.c.db", "ünï*.db", "-x.db"])
def test_any_name_of_a_store_will_do(tmp_path: Path, name: str) -> None:
    with Store(tmp_path / name) as store:
        store.migrate()
        insert(store, 1, 5)
        made = Snapshots(store.path, tmp_path / "state")
        for _ in range(3):
            assert made.take()
        assert len(made.paths()) == 2
        left = made.folder / f"{made.paths()[0].stem}.999999999.part"
        left.touch()
        assert made.take()
        assert not left.exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from dsmil.infrastructure import snapshots
snapshots._STEP_PAGES = 1
made = snapshots.Snapshots(Path(sys.argv[1]), Path(sys.argv[2]))
looks = [0]
def give_up():
    looks[0] += 1
    if looks[0] > 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return False
made.take(give_up)
"""


def test_a_kill_in_the_middle_leaves_nothing_that_counts(
    store: Store, snapshots: Snapshots, tmp_path: Path
) -> None:
    insert(store, 1, 5000)
    whole = snapshots.take()
    assert whole is not None
    command = [sys.executable, "-c", KILLED, str(store.path), str(tmp_path / "state")]
    killed = subprocess.run(command, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(snapshots.folder.glob("*.part"))) == 1
    assert snapshots.paths() == [whole.path]
    alive = snapshots.folder / f"{whole.path.stem}.{os.getppid()}.part"
    own = snapshots.folder / f"{whole.path.stem}.{os.getpid()}.part"
    for path in (alive, own):
        path.touch()
    assert snapshots.take()
    assert list(snapshots.folder.glob("*.part")) == [alive], "what a living process is about is left alone"


def test_no_room_is_told_before_anything_is_written(
    store: Store, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(store, 1, 10)
    monkeypatch.setattr("dsmil.infrastructure.snapshots._SPARE_BYTES", 1 << 60)
    with pytest.raises(StoreUnavailable, match=r"MB free, a snapshot takes \d+ MB and 256 MB must stay"):
        snapshots.take()
    assert list(snapshots.folder.iterdir()) == []


def test_a_newest_that_cannot_be_read_is_passed_over(store: Store, snapshots: Snapshots) -> None:
    for n in range(2):
        insert(store, 1 + 10 * n, 10)
        snapshots.take()
    newest, before = snapshots.paths()
    for damage in (b"", b"this is no database" * 100):
        newest.write_bytes(damage)
        found = snapshots.newest()
        assert found is not None
        assert found.path == before
    newest.unlink()
    before.unlink()
    assert snapshots.newest() is None


# Copying back


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
