"""The store writer and its snapshots: a wiped store comes back whole after the streams were trimmed."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.recorded_release import rows

from dsmil.config import Settings
from dsmil.errors import StoreUnavailable
from dsmil.events.streams import StreamName
from dsmil.infrastructure import snapshots as snapshots_module
from dsmil.infrastructure.broker import Broker, bundled_binary
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.pressure import announce, judge
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.infrastructure.snapshots import Snapshot, Snapshots
from dsmil.infrastructure.store import Store
from dsmil.infrastructure.trimming import saved_positions
from dsmil.services import row_reader, store_care
from dsmil.services import snapshot_keeper as keeper_module
from dsmil.services import store_writer as writer_module
from dsmil.services.store_writer import StoreWriter
from dsmil.testing.factories import make_event
from dsmil.testing.running import Running
from dsmil.testing.waiting import until

RAW = "raw_events_fast"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "pause", lambda *_: 0.01)
    monkeypatch.setattr(writer_module, "_LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(row_reader, "_SLICE_MS", 20)
    monkeypatch.setattr(keeper_module, "_LOOK_S", 0.02)
    monkeypatch.setattr(keeper_module, "_AGAIN_S", 0.05)


def publish(bus: RedisStreamsClient, count: int) -> set[str]:
    events = [make_event() for _ in range(count)]
    bus.publish_many(StreamName.L3_IN, events)
    return {event.event_id for event in events}


def stored(settings: Settings) -> set[str]:
    path = Path(settings.hotpath_db)
    return {row["event_id"] for row in rows(path, RAW)} if path.exists() else set()


def saved(bus: RedisStreamsClient) -> set[str]:
    return set(saved_positions(bus.client).get("L3_IN", {}).values())


def of(settings: Settings) -> Snapshots:
    return Snapshots(Path(settings.hotpath_db), settings.state_dir)


def trim_to_snapshot(bus: RedisStreamsClient) -> None:
    """Remove exactly what the newest snapshot has."""
    (bound,) = saved(bus)
    client: Any = bus.client
    client.xtrim("L3_IN", minid=bound, approximate=False)


def fill(bus: RedisStreamsClient, settings: Settings) -> set[str]:
    """Leave a snapshot of some events, a stream trimmed up to it, and events behind it."""
    first = publish(bus, 50)
    with Running(StoreWriter(settings)):
        until(lambda: stored(settings) == first)
    until(lambda: saved(bus) == {bus.last_id("L3_IN")})
    trim_to_snapshot(bus)
    return first | publish(bus, 20)


def wipe(settings: Settings) -> None:
    for end in ("", "-wal", "-shm"):
        Path(f"{settings.hotpath_db}{end}").unlink(missing_ok=True)


def count_looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows with each look of the keeper."""
    looks: list[int] = []
    real = keeper_module.SnapshotKeeper.announce

    def counted(keeper: keeper_module.SnapshotKeeper, client: Any) -> None:
        real(keeper, client)
        looks.append(1)

    monkeypatch.setattr(keeper_module.SnapshotKeeper, "announce", counted)
    return looks


def test_a_snapshot_is_taken_at_the_stop_andannounced(bus: RedisStreamsClient, settings: Settings) -> None:
    events = publish(bus, 10)
    with Running(StoreWriter(settings)):
        until(lambda: stored(settings) == events)
    newest = of(settings).newest()
    assert newest is not None
    assert newest.positions["L3_IN"] == bus.last_id("L3_IN")
    assert saved(bus) == {bus.last_id("L3_IN")}


def test_a_wiped_store_comes_back_from_snapshot_and_streams(bus: RedisStreamsClient, settings: Settings) -> None:
    everything = fill(bus, settings)
    wipe(settings)
    with Running(StoreWriter(settings)):
        until(lambda: stored(settings) == everything)


@pytest.mark.parametrize("whole_folder", [False, True])
def test_wiped_while_it_runs(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path, *, whole_folder: bool
) -> None:
    settings = settings.replace(hotpath_db=str(tmp_path / "ram" / "hotpath.db"), state_dir=tmp_path / "disk")
    everything = fill(bus, settings)
    with Running(StoreWriter(settings)) as running:
        until(lambda: stored(settings) == everything)
        for _ in range(2):
            if whole_folder:
                shutil.rmtree(tmp_path / "ram")
            else:
                wipe(settings)
            until(lambda: stored(settings) == everything)
        everything |= publish(bus, 5)
        until(lambda: stored(settings) == everything)
        until(lambda: running.part.vitals().healthy)


def test_no_snapshot_of_an_empty_store_pushes_out_the_whole_one(
    bus: RedisStreamsClient, settings: Settings
) -> None:
    """After a reboot the heartbeats of others have made a store before the writer copies the snapshot back."""
    everything = fill(bus, settings)
    wipe(settings)
    with HotPathDB(settings=settings) as db:
        db.initialize_schema()
        assert db.update_device_status(device_id=16, layer=3, name="x", status="ONLINE")
        keeper = keeper_module.SnapshotKeeper(
            Path(settings.hotpath_db), ["L3_IN", "SOC_EVENTS"], settings, every_s=0.0
        )
        before = of(settings).paths()
        keeper.start()
        keeper.stop()
        assert of(settings).paths() == before
    with Running(StoreWriter(settings, snapshot_every_s=0.0)):
        until(lambda: stored(settings) == everything)


def test_a_stop_in_the_middle_of_copying_back(
    bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = fill(bus, settings)
    wipe(settings)
    real = snapshots_module.restore
    running: list[Running] = []

    def stopped(store: Any, path: Path, give_up: Any, progress: Any) -> bool:
        running[0].stop.set()
        return real(store, path, give_up, progress)

    monkeypatch.setattr(writer_module, "restore", stopped)
    running.append(Running(StoreWriter(settings, snapshot_every_s=0.0)))
    with running[0]:
        until(running[0].stop.is_set)
    monkeypatch.setattr(writer_module, "restore", real)
    with Running(StoreWriter(settings)):
        until(lambda: stored(settings) == everything)


def test_a_damaged_newest_snapshot_gives_way_to_the_one_before(
    bus: RedisStreamsClient, settings: Settings
) -> None:
    """Its first page can be read, so it is found out only while it is copied back."""
    with Running(StoreWriter(settings)):
        first = publish(bus, 2000)
        until(lambda: stored(settings) == first)
    everything = first | publish(bus, 2000)
    with Running(StoreWriter(settings)):
        until(lambda: stored(settings) == everything)
    newest, _ = of(settings).paths()
    data = bytearray(newest.read_bytes())
    positions = data[: 16384 * 40]
    newest.write_bytes(positions + b"\xa5" * (len(data) - len(positions)))
    wipe(settings)
    with Running(StoreWriter(settings)):
        until(lambda: stored(settings) == everything)


def test_a_snapshot_of_a_newer_version_is_refused_and_the_streams_go_on(
    bus: RedisStreamsClient, settings: Settings
) -> None:
    first = publish(bus, 5)
    with Running(StoreWriter(settings)):
        until(lambda: stored(settings) == first)
        with Store(Path(settings.hotpath_db)) as store:
            store.connection.execute("INSERT INTO schema_steps VALUES (9999, 'later', 1.0)")
        more = first | publish(bus, 1)
        until(lambda: stored(settings) == more)
    wipe(settings)
    writer = StoreWriter(settings)
    with Running(writer):
        until(lambda: stored(settings) == more)
        until(lambda: writer.vitals().healthy)


def test_a_snapshot_that_is_gone_is_withdrawn(bus: RedisStreamsClient, settings: Settings) -> None:
    events = publish(bus, 5)
    with Running(StoreWriter(settings, snapshot_every_s=1000.0)):
        until(lambda: stored(settings) == events)
        until(lambda: saved(bus) == {bus.last_id("L3_IN")})
        for path in of(settings).paths():
            path.rename(path.with_suffix(".elsewhere"))
            last = bus.last_id("L3_IN")
        until(lambda: saved(bus) in (set(), {last}))
        until(lambda: of(settings).newest() is not None)  # and a new one is taken at once
        until(lambda: saved(bus) == {last})


def test_a_flush_withdraws_what_was_saved(
    bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = publish(bus, 5)
    with Running(StoreWriter(settings, snapshot_every_s=1000.0)):
        until(lambda: stored(settings) == events)
        until(lambda: saved(bus))
        bus.client.flushall()
        events |= publish(bus, 5)
        until(lambda: stored(settings) == events)
        looks = count_looks(monkeypatch)
        until(lambda: len(looks) >= 2)
        assert saved(bus) == set(), "its ids are of data that is no more"


def test_short_memory_hurries_a_snapshot(
    bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper_module, "_HURRY_S", 0.0)
    events = publish(bus, 5)
    with Running(StoreWriter(settings, snapshot_every_s=1000.0)):
        until(lambda: stored(settings) == events)
        until(lambda: saved(bus) == {bus.last_id("L3_IN")})
        first = of(settings).paths()
        events |= publish(bus, 5)
        until(lambda: stored(settings) == events)
        assert of(settings).paths() == first
        announce(bus.client, judge({"broker": 0.5}))
        until(lambda: saved(bus) == {bus.last_id("L3_IN")})


def test_a_clock_set_back_does_not_end_snapshots(bus: RedisStreamsClient, settings: Settings) -> None:
    """The newest one then lies in the future, and whatever comes next is older by its name."""
    everything = publish(bus, 5)
    with Running(StoreWriter(settings)):
        until(lambda: stored(settings) == everything)
    (path,) = of(settings).paths()
    head, _, stamp = path.stem.rpartition("-")
    for days in (1, 2):
        shutil.copy(path, path.with_name(f"{head}-{int(stamp) + days * 86_400_000:014d}.db"))
    path.unlink()
    with Running(StoreWriter(settings, snapshot_every_s=0.1)):
        for _ in range(3):
            everything.update(publish(bus, 5))
            until(lambda: stored(settings) == everything)
            until(lambda: saved(bus) == {bus.last_id("L3_IN")})


def test_trouble_with_snapshots_stays_visible_until_one_is_taken(
    bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsmil.infrastructure.snapshots._SPARE_BYTES", 1 << 60)
    monkeypatch.setattr(keeper_module, "_AGAIN_S", 1000.0)
    events = publish(bus, 5)
    writer = StoreWriter(settings, snapshot_every_s=0.0)
    looks = count_looks(monkeypatch)
    with Running(writer):
        until(lambda: stored(settings) == events)
        until(lambda: "must stay" in writer.vitals().checks["snapshots"])
        seen = len(looks)
        until(lambda: len(looks) > seen + 2)
        assert "must stay" in writer.vitals().checks["snapshots"]


def test_a_snapshot_that_met_a_wiped_store_is_tried_again_soon(
    bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer makes the store anew within a second: half a minute of "unhealthy" would be a false alarm."""
    monkeypatch.setattr(keeper_module, "_AGAIN_S", 1000.0)
    take, failed = Snapshots.take, threading.Event()

    def once_gone(snapshots: Snapshots, stop: Callable[[], bool]) -> Snapshot | None:
        if not failed.is_set():
            failed.set()
            raise StoreUnavailable("opening hotpath.db: FileNotFoundError")
        return take(snapshots, stop)

    monkeypatch.setattr(Snapshots, "take", once_gone)
    publish(bus, 5)
    writer = StoreWriter(settings, snapshot_every_s=0.0)
    with Running(writer):
        assert failed.wait(20)
        until(lambda: of(settings).paths() and not writer.vitals().checks["snapshots"])


def test_a_position_that_somebody_else_moved_is_taken_up_from_there(
    bus: RedisStreamsClient, settings: Settings
) -> None:
    """A store rebuilt under the writer: going on from its own place would leave a gap."""
    events = publish(bus, 10)
    with Running(StoreWriter(settings)):
        until(lambda: stored(settings) == events)
        with Store(Path(settings.hotpath_db)) as store, store.writing("rebuilding") as connection:
            connection.execute("DELETE FROM raw_events_fast")
            connection.execute("UPDATE stream_positions SET last_id = '0-1' WHERE stream = 'L3_IN'")
        events |= publish(bus, 1)
        until(lambda: stored(settings) == events)


def test_producers_are_counted_with_their_rows(bus: RedisStreamsClient, settings: Settings) -> None:
    bus.publish_many(StreamName.L3_IN, [make_event(source=f"s{n % 3}") for n in range(30)])
    bus.publish_many(StreamName.L3_IN, [make_event(source="s0", source_device=15)])
    with Running(StoreWriter(settings)):
        until(lambda: len(stored(settings)) == 31)
    found = {(r["source"], r["device_id"]): r for r in rows(Path(settings.hotpath_db), "producers")}
    counts = {key: row["events"] for key, row in found.items()}
    assert counts == {("s0", 16): 10, ("s1", 16): 10, ("s2", 16): 10, ("s0", 15): 1}
    assert all(row["active_minutes"] == 1 and row["longest_gap"] == 0 for row in found.values())


def test_a_store_of_another_broker_does_not_free_this_one(settings: Settings, tmp_path: Path) -> None:
    """The positions of a snapshot speak of one broker's data only."""
    servers = [Broker(bundled_binary(), tmp_path / name) for name in ("a", "b")]
    try:
        for server in servers:
            server.start()
        for server in servers:
            chosen = settings.replace(redis_url=server.url)
            with RedisStreamsClient(settings=chosen) as bus:
                events = stored(settings) | publish(bus, 3)
                with Running(StoreWriter(chosen, snapshot_every_s=0.05)):
                    until(lambda events=events: stored(settings) == events)  # type: ignore[misc]
                    until(lambda bus=bus: saved(bus) == {bus.last_id("L3_IN")})  # type: ignore[misc]
    finally:
        for server in servers:
            server.stop()


def test_a_store_that_is_gone_for_good_is_forgotten(bus: RedisStreamsClient, settings: Settings) -> None:
    bus.client.hset(
        "dsmil:saved", mapping={"old:/x|L3_IN": "1-1", "old:/x|SOC_EVENTS": "1-1", "other:/x|L3_IN": "2-2"}
    )
    assert store_care.forget(settings, "old:/x")
    assert not store_care.forget(settings, "old:/x")
    assert bus.client.hgetall("dsmil:saved") == {b"other:/x|L3_IN": b"2-2"}
