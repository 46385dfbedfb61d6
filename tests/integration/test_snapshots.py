"""Snapshots: one view of a store that is written to, whole or not there, and copied back without loss."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.recorded_release import rows

from dsmil.errors import StoreUnavailable
from dsmil.infrastructure.snapshots import KEPT, Snapshots, restore
from dsmil.infrastructure.sql import statement
from dsmil.infrastructure.store import Store
from dsmil.testing.waiting import until


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


def test_writes_in_the_middle_do_not_make_a_copy_begin_anew(
    store: Store, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy fabric it would never end."""
    monkeypatch.setattr("dsmil.infrastructure.snapshots._STEP_PAGES", 1)
    insert(store, 1, 1000)
    looks = [0]

    def write() -> bool:
        looks[0] += 1
        insert(store, 1000 + looks[0], 1)
        return looks[0] > 1000

    taken = snapshots.take(write)
    assert taken is not None
    assert looks[0] > 10
    assert taken.positions == {"L3_IN": "1000-0"}
    assert len(rows(taken.path, "raw_events_fast")) == 1000


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
