"""A real, small tmpfs under the hot store: full, it delays rows; the ballast makes room to delete."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import IN_CI
from tests.integration.recorded_release import rows

from dsmil.config import Settings
from dsmil.events.streams import StreamName
from dsmil.infrastructure.ballast import Ballast
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.infrastructure.store import Store
from dsmil.infrastructure.store_place import is_tmpfs
from dsmil.services import row_reader
from dsmil.services import snapshot_keeper as keeper_module
from dsmil.services import store_writer as writer_module
from dsmil.services.store_writer import StoreWriter
from dsmil.testing.factories import make_event
from dsmil.testing.running import Running
from dsmil.testing.waiting import until


@pytest.fixture
def ram(tmp_path: Path) -> Iterator[Path]:
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root on Linux")
    folder = tmp_path / "ram"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode:
        message = f"a tmpfs cannot be mounted here: {mounted.stderr.decode().strip()}"
        if IN_CI:
            pytest.fail(message)
        pytest.skip(message)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill_up(path: Path) -> None:
    """Take all the room there is left."""
    with path.open("wb", buffering=0) as file:
        try:
            for size in (1 << 20, 4096):
                while True:
                    file.write(b"\0" * size)
        except OSError:
            while True:
                try:
                    file.write(b"\0" * 4096)
                except OSError:
                    return


def test_the_ballast_is_taken_once_and_given_away(ram: Path) -> None:
    ballast = Ballast(ram / "hot.db")
    assert is_tmpfs(ram)
    assert ballast.take()
    assert ballast.take()
    assert ballast.path.stat().st_blocks * 512 == 64 * 1024 * 1024 // 64
    assert ballast.give()
    assert not ballast.give()
    fill_up(ram / "other")
    assert not ballast.take(), "there must be plenty of room beside it"
    assert not ballast.path.exists()


def test_a_full_tmpfs_delays_rows_and_loses_none(
    ram: Path, bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "pause", lambda *_: 0.05)
    monkeypatch.setattr(writer_module, "_LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(row_reader, "_SLICE_MS", 20)
    settings = settings.replace(hotpath_db=str(ram / "hot.db"))
    path = Path(settings.hotpath_db)

    def stored() -> set[str]:
        return {row["event_id"] for row in rows(path, "raw_events_fast")} if path.exists() else set()

    first = [make_event({"x": "y" * 2000}) for _ in range(500)]
    bus.publish_many(StreamName.L3_IN, first)
    writer = StoreWriter(settings)
    with Running(writer):
        until(lambda: len(stored()) == 500)
        until(Ballast(path).path.exists)
        fill_up(ram / "other")
        second = [make_event({"x": "y" * 2000}) for _ in range(3000)]
        bus.publish_many(StreamName.L3_IN, second)
        until(lambda: "Full" in writer.vitals().checks["store"])
        until(lambda: not Ballast(path).path.exists())
        until(lambda: "Full" in writer.vitals().checks["store"])
        (ram / "other").unlink()
        began = time.monotonic()
        until(lambda: len(stored()) == 3500)
        assert time.monotonic() - began < 10
        until(lambda: writer.vitals().healthy)
        until(Ballast(path).path.exists)
    with Store(path) as store:
        assert store.rows("PRAGMA quick_check") == [{"quick_check": "ok"}]
    assert stored() == {event.event_id for event in first + second}


def test_a_disk_without_room_for_a_snapshot_is_told(
    ram: Path, bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "_LOOK_S", 0.02)
    bus.publish_many(StreamName.L3_IN, [make_event()])
    writer = StoreWriter(settings.replace(state_dir=ram / "state"))
    with Running(writer):
        until(lambda: "MB free, a snapshot takes" in writer.vitals().checks["snapshots"])
    assert list((ram / "state" / "snapshots").iterdir()) == []
