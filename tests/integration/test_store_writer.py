"""The store writer: rows and position move together, whatever happens between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from dsmil.config import Settings
from dsmil.events import codec
from dsmil.events.model import Event
from dsmil.events.streams import StreamName
from dsmil.fusion.fuse import fuse
from dsmil.infrastructure.broker import Broker, bundled_binary
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.infrastructure.retention import CHUNK
from dsmil.infrastructure.rows import raw_row
from dsmil.infrastructure.sql import statement
from dsmil.infrastructure.store import Store
from dsmil.services import row_reader
from dsmil.services import store_writer as writer_module
from dsmil.services.letters import read_letters
from dsmil.services.store_writer import StoreWriter
from dsmil.testing.factories import make_event
from dsmil.testing.running import Running
from dsmil.testing.waiting import until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "pause", lambda *_: 0.01)
    monkeypatch.setattr(writer_module, "_LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(row_reader, "_SLICE_MS", 20)


@pytest.fixture
def writing(bus: RedisStreamsClient, settings: Settings) -> Iterator[Running]:
    assert bus.connect()
    with Running(StoreWriter(settings)) as made:
        yield made


def publish_soc(bus: RedisStreamsClient, events: list[Event]) -> None:
    bodies = [codec.encode(fuse(event, StreamName.L3_OUT, None)) for event in events]
    bus.append(StreamName.SOC_EVENTS, bodies)


def count(db: HotPathDB, table: str = "soc_events_cache") -> int:
    return int(db.get_stats()["row_counts"][table])


def position(db: HotPathDB, stream: str = "SOC_EVENTS") -> dict[str, Any]:
    return next((row for row in db.get_positions() if row["stream"] == stream), {})


def test_copies_records_and_soc_events_once(bus: RedisStreamsClient, db: HotPathDB, writing: Running) -> None:
    records = [make_event({"n": n}) for n in range(700)]
    findings = [make_event({"n": n}) for n in range(300)]
    bus.publish_many(StreamName.L3_IN, records)
    publish_soc(bus, findings)
    publish_soc(bus, findings[:50])
    until(lambda: position(db).get("entries") == 350 and position(db, "L3_IN").get("entries") == 700)
    assert count(db) == 300
    assert count(db, "raw_events_fast") == 1000
    where = position(db)
    assert (where["rows"], where["duplicates"], where["rejected"]) == (300, 50, 0)
    assert where["last_id"] == bus.last_id(StreamName.SOC_EVENTS)
    assert writing.part.vitals().durations["insert", "soc_events_cache"][0] >= 1


@pytest.mark.usefixtures("bus")
def test_retention_goes_on_at_once_while_there_is_something_to_delete(
    db: HotPathDB, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One chunk a second is less than a busy fabric adds: the store would outgrow its limit."""
    outlived = [raw_row(make_event(ingest_ts=1.0), f"{n}-1") for n in range(1, 10 * CHUNK + 1)]
    with Store(db.place.path) as store, store.writing("test") as connection:
        connection.executemany(statement("insert_raw"), outlived)
    monkeypatch.setattr(writer_module, "_RETENTION_EVERY_S", 3600.0)
    with Running(StoreWriter(settings)) as writing:
        until(lambda: writing.part.vitals().outcomes.get(("raw_events_fast", "expired")) == 10 * CHUNK)
    assert count(db, "raw_events_fast") == 0


def test_the_first_body_of_an_id_stays(bus: RedisStreamsClient, db: HotPathDB, writing: Running) -> None:
    event = make_event({"body": "first"})
    publish_soc(bus, [event, event.replace(payload={"body": "second"})])
    until(lambda: position(db).get("entries") == 2)
    assert db.get_event(event.event_id)["soc"]["payload"] == {"body": "first"}  # type: ignore[index]
    assert writing.part.vitals().healthy


def test_a_crash_between_rows_and_position_repeats_nothing(
    bus: RedisStreamsClient, db: HotPathDB, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and position are one transaction: an error at the position takes the rows back."""
    events = [make_event() for _ in range(10)]
    publish_soc(bus, events)
    real, calls = statement, [0]

    def failing(name: str) -> str:
        if name == "move_position":
            calls[0] += 1
            if calls[0] <= 2:
                return "SELECT no_such_function(?, ?, ?, ?, ?, ?, ?, ?)"
        return real(name)

    monkeypatch.setattr(writer_module, "statement", failing)
    with Running(StoreWriter(settings)):
        until(lambda: position(db).get("entries") == 10)
    assert calls[0] == 3
    assert (position(db)["rows"], position(db)["duplicates"]) == (10, 0)


def test_a_wiped_store_fills_itself_again(bus: RedisStreamsClient, db: HotPathDB, writing: Running) -> None:
    events = [make_event() for _ in range(20)]
    publish_soc(bus, events)
    until(lambda: count(db) == 20)
    for end in ("", "-wal", "-shm"):
        Path(f"{db.place.path}{end}").unlink()
    until(lambda: count(db) == 20)
    more = [make_event()]
    publish_soc(bus, more)
    until(lambda: count(db) == 21)
    until(lambda: writing.part.vitals().healthy)


def test_a_flushed_stream_is_read_from_its_start(bus: RedisStreamsClient, db: HotPathDB, writing: Running) -> None:
    publish_soc(bus, [make_event() for _ in range(5)])
    until(lambda: count(db) == 5)
    bus.client.flushall()
    late = make_event()
    body = codec.encode(fuse(late, StreamName.L3_OUT, None))
    bus.client.xadd("SOC_EVENTS", {"event": body}, id="5-0")  # ids start over, far below the position
    until(lambda: count(db) == 6)
    assert db.get_event(late.event_id)["soc"]
    assert writing.part.vitals().healthy


def test_a_position_of_another_broker_is_not_believed(
    bus: RedisStreamsClient, db: HotPathDB, settings: Settings, tmp_path: Path
) -> None:
    """Its ids are times: entries that waited in the second broker lie before the first one's position."""
    waiting = [make_event() for _ in range(3)]
    other = Broker(bundled_binary(), tmp_path / "other")
    other.start()
    try:
        second = settings.replace(redis_url=other.url)
        with RedisStreamsClient(settings=second) as other_bus:
            publish_soc(other_bus, waiting)
        publish_soc(bus, [make_event()])
        with Running(StoreWriter(settings)):
            until(lambda: count(db) == 1)
        with Running(StoreWriter(second)):
            until(lambda: count(db) == 4)
    finally:
        other.stop()


def test_two_store_writers_on_one_store_are_refused(
    bus: RedisStreamsClient, settings: Settings, writing: Running, db: HotPathDB
) -> None:
    until(lambda: writing.part.vitals().healthy)
    second = StoreWriter(settings)
    with Running(second):
        until(lambda: "another store writer" in second.vitals().checks["store"])
        publish_soc(bus, [make_event()])
        until(lambda: count(db) == 1)


def test_an_entry_that_is_no_event_is_rejected_with_its_cause(
    bus: RedisStreamsClient, db: HotPathDB, writing: Running, settings: Settings
) -> None:
    bus.append(StreamName.SOC_EVENTS, [b"garbage", codec.encode(make_event())])
    publish_soc(bus, [make_event()])
    until(lambda: position(db).get("entries") == 3)
    assert (position(db)["rows"], position(db)["rejected"]) == (1, 2)
    letters, total = read_letters(settings, 10)
    assert total == 2
    assert {letter.cause for letter in letters} == {"malformed_json", "bad_field"}
    assert {letter.raw for letter in letters} >= {b"garbage"}
    assert writing.part.vitals().healthy


def test_a_full_disk_delays_rows_and_loses_none(
    bus: RedisStreamsClient, db: HotPathDB, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_set_up = Store._set_up
    full = [True]

    def small(store: Store) -> None:
        real_set_up(store)
        if full[0]:
            store.connection.pragma("max_page_count", 40)

    monkeypatch.setattr(Store, "_set_up", small)
    events = [make_event({"x": "y" * 4000}) for _ in range(400)]
    publish_soc(bus, events)
    writer = StoreWriter(settings)
    with Running(writer):
        until(lambda: "FullError" in writer.vitals().checks["store"])
        assert count(db) < 400
        full[0] = False
        until(lambda: count(db) == 400)
        until(lambda: writer.vitals().healthy)
    assert position(db)["entries"] == 400


def test_a_broken_file_is_told_and_does_not_end_the_writer(bus: RedisStreamsClient, settings: Settings) -> None:
    path = HotPathDB(settings=settings).place.path
    path.write_bytes(b"this is no database, and longer than one hundred bytes " * 10)
    writer = StoreWriter(settings)
    publish_soc(bus, [make_event()])
    with Running(writer):
        until(lambda: "NotADBError" in writer.vitals().checks["store"])
        path.unlink()
        until(lambda: writer.vitals().healthy)
        with HotPathDB(settings=settings) as db:
            until(lambda: count(db) == 1)


def test_readers_are_not_in_the_way(bus: RedisStreamsClient, db: HotPathDB, writing: Running) -> None:
    publish_soc(bus, [make_event() for _ in range(10)])
    until(lambda: count(db) == 10)
    reader = apsw.Connection(str(db.place.path), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM soc_events_cache").fetchall() == [(10,)]
    publish_soc(bus, [make_event() for _ in range(10)])
    until(lambda: count(db) == 20)
    assert reader.execute("SELECT count(*) FROM soc_events_cache").fetchall() == [(10,)], "its own snapshot"
    reader.close()
    assert writing.part.vitals().healthy
