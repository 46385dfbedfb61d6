"""What earlier releases wrote, met by this version: nothing is lost, nothing changes its meaning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.fabric_process import dsmil, environment
from tests.integration.recorded_release import VERSIONS, Release, release, rows, said, tables

from dsmil import __version__
from dsmil.config import Settings
from dsmil.detections.suricata_alert import DETECTOR
from dsmil.events.streams import DEAD_LETTERS, StreamName
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.instance import StateDir
from dsmil.infrastructure.positions import Positions
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.infrastructure.sql import schema_steps
from dsmil.infrastructure.store import LEDGER, Store
from dsmil.services.letters import read_letters
from dsmil.services.runner import Runner
from dsmil.services.soc_router import SOCRouter, SOCRouterConfig
from dsmil.services.store_writer import StoreWriter
from dsmil.sources._follow import Position
from dsmil.testing.http import ShrinkStub
from dsmil.testing.running import Running
from dsmil.testing.waiting import until

__all__ = ["release"]

QUERIES = (
    "SELECT layer, severity, COUNT(*) FROM raw_events_fast GROUP BY layer, severity",
    "SELECT * FROM soc_events_cache ORDER BY ts DESC LIMIT 10",
    "SELECT device_id, layer, name, status, last_heartbeat FROM device_status",
    "SELECT ts, risk_acute_stress, crisis_level FROM shrink_metrics ORDER BY ts DESC LIMIT 10",
    "SELECT event_id FROM raw_events_fast WHERE processed = 0 ORDER BY ts LIMIT 10",
)


@pytest.fixture
def store(release: Release, settings: Settings) -> Path:
    """Return the recorded hot store, where this test's settings look for it."""
    return release.restore("hotpath", Path(settings.hotpath_db))


def env(settings: Settings) -> dict[str, str]:
    return environment(
        REDIS_URL=str(settings.redis_url),
        HOTPATH_DB=settings.hotpath_db,
        DSMIL_STATE_DIR=settings.state_dir,
        SHRINK_URL="http://127.0.0.1:9",
    )


def test_this_version_has_its_recording() -> None:
    assert __version__ in VERSIONS, "run tests/data/upgrade/record-release"


# The hot store


def test_a_recorded_store_keeps_every_row(store: Path, settings: Settings) -> None:
    before = {name: rows(store, name) for name in tables(store) if name != LEDGER}
    assert len(before["soc_events_cache"]) > 15
    assert len(before["raw_events_fast"]) > 40
    with HotPathDB(settings=settings) as db:
        assert db.initialize_schema()
        assert len(db.get_recent_events(limit=1000)) == len(before["raw_events_fast"])
        assert len(db.get_recent_soc_events(limit=1000)) == len(before["soc_events_cache"])
        assert db.get_device_statuses()
        assert db.get_shrink_metrics()
    for name, old in before.items():
        # A later step may add columns and tables; what was there must be there.
        new = [{key: row[key] for key in old[0]} for row in rows(store, name)] if old else []
        assert new == old, name
    assert [row["step"] for row in rows(store, LEDGER)] == [number for number, _, _ in schema_steps()]
    fresh = Store(store)
    assert fresh.migrate() == []
    fresh.close()


@pytest.mark.parametrize("query", QUERIES)
def test_documented_queries_work_on_it(store: Path, settings: Settings, query: str) -> None:
    done = dsmil("sql", "--json", query, env=env(settings))
    assert done.code == 0, (store, done)
    assert done.json["rows"]


def test_why_tells_of_an_old_event(store: Path, settings: Settings) -> None:
    by_record = [row for row in rows(store, "soc_events_cache") if json.loads(row["context"]).get("evidence")]
    assert by_record
    done = dsmil("why", by_record[0]["event_id"], "--json", env=env(settings))
    assert done.code == 0, done
    assert [step["stage"] for step in done.json["steps"]] == [
        *("source", "detection", "fusion", "escalation", "publication")
    ]
    assert dsmil("why", "old-unknown", env=env(settings)).code == 0
    raw = json.loads(by_record[0]["context"])["evidence"][0]
    told = dsmil("why", raw, "--json", env=env(settings)).json["steps"]
    # The detector is asked again today, and must name the finding that it made then.
    assert any(step["detail"].get("event_id") == by_record[0]["event_id"] for step in told[1:])


def test_events_lists_what_was_there(store: Path, settings: Settings) -> None:
    listed = dsmil("events", "-n", "1000", "--json", env=env(settings)).json
    assert {row["event_id"] for row in listed} == {row["event_id"] for row in rows(store, "soc_events_cache")}


def test_the_store_writer_goes_on_from_the_recorded_position(
    release: Release, store: Path, settings: Settings, bus: RedisStreamsClient
) -> None:
    before = {name: len(rows(store, name)) for name in ("raw_events_fast", "soc_events_cache")}
    release.replay(bus.client, "L3_IN", "SOC_EVENTS")
    document = release.events("SOC_EVENTS")[0] | {"event_id": "after-the-upgrade"}
    writer = StoreWriter(settings, clock=release.clock())
    with Running(writer):
        bus.client.xadd("SOC_EVENTS", {"event": json.dumps(document)})
        until(lambda: {row["event_id"] for row in rows(store, "soc_events_cache")} >= {"after-the-upgrade"})
    assert len(rows(store, "soc_events_cache")) == before["soc_events_cache"] + 1
    assert len(rows(store, "raw_events_fast")) == before["raw_events_fast"] + 1
    assert writer.vitals().outcomes == {("SOC_EVENTS", "stored"): 1}, "nothing was copied a second time"


# The streams


def test_old_entries_go_through_the_router_and_end_as_the_same_rows(
    release: Release, settings: Settings, bus: RedisStreamsClient, tmp_path: Path
) -> None:
    old = release.restore("hotpath", tmp_path / "old.db")
    new = Path(settings.hotpath_db)
    with ShrinkStub(release.about["reading"]) as shrink:
        router = SOCRouter(SOCRouterConfig(shrink_url=shrink.url), settings=settings)
        with Running(router), Running(StoreWriter(settings, clock=release.clock())):
            until(lambda: router.get_stats()["shrink"], what="an operator reading")
            release.replay(bus.client, "L3_IN", "L3_OUT", "L4_OUT")
            expected = [said(row) for row in rows(old, "soc_events_cache", "event_id")]
            until(lambda: new.exists() and len(rows(new, "soc_events_cache")) >= len(expected), what="SOC rows")
            raw = [said(row) for row in rows(old, "raw_events_fast", "event_id")]
            until(lambda: len(rows(new, "raw_events_fast")) >= len(raw), what="all raw rows")
    found = [said(row) for row in rows(new, "soc_events_cache", "event_id")]
    for one in (*expected, *found):
        reading = one["shrink_metrics"]
        one["shrink_metrics"] = {name: reading[name] for name in release.about["reading"]}  # not its age
    assert found == expected
    assert {row["severity"] for row in found} >= {"MEDIUM", "HIGH", "CRITICAL"}
    assert [said(row) for row in rows(new, "raw_events_fast", "event_id")] == raw
    causes = [letter.cause for letter in read_letters(settings, None)[0]]
    assert sorted(causes) == sorted(
        dict(fields)[b"cause"].decode()
        for _, fields in release.entries("DEAD_LETTERS")
        if dict(fields)[b"service"] == b"soc-router"
    )


def test_old_soc_events_fill_a_wiped_store_with_the_same_rows(
    release: Release, settings: Settings, bus: RedisStreamsClient, tmp_path: Path
) -> None:
    old, new = release.restore("hotpath", tmp_path / "old.db"), Path(settings.hotpath_db)
    release.replay(bus.client, "L3_IN", "SOC_EVENTS")
    places = {row["stream"]: row["entries"] for row in rows(old, "stream_positions")}
    writer = StoreWriter(settings, clock=release.clock())
    with Running(writer):
        until(lambda: sum(writer.vitals().outcomes.values()) == sum(places.values()), what="the end")
    for table in ("soc_events_cache", "raw_events_fast"):
        ours, theirs = rows(new, table, "event_id"), rows(old, table, "event_id")
        assert [said(row) for row in ours] == [said(row) for row in theirs], table
    assert [row["stream_id"] for row in rows(new, "soc_events_cache", "event_id")] == [
        row["stream_id"] for row in rows(old, "soc_events_cache", "event_id")
    ]


def test_old_records_give_the_findings_that_they_gave_then(
    release: Release, settings: Settings, bus: RedisStreamsClient
) -> None:
    release.replay(bus.client, "L3_IN")
    then = [event for event in release.events("L3_OUT") if event.get("evidence")]
    assert then
    with Running(Runner(DETECTOR(), settings)):
        until(lambda: bus.client.xlen("L3_OUT") >= len(then), what="all findings")
    now = [json.loads(fields[b"event"]) for _, fields in bus.client.xrange("L3_OUT")]
    assert now == then


def test_old_dead_letters_are_listed_shown_and_put_back(
    release: Release, settings: Settings, bus: RedisStreamsClient
) -> None:
    release.replay(bus.client, DEAD_LETTERS)
    recorded = {entry_id: dict(fields) for entry_id, fields in release.entries(DEAD_LETTERS)}
    letters, total = read_letters(settings, None)
    assert total == len(recorded) == len(letters)
    for letter in letters:
        then = recorded[letter.id]
        assert (letter.cause, letter.service, letter.stream, letter.raw) == (
            *(then[b"cause"].decode(), then[b"service"].decode(), then[b"stream"].decode()),
            then[b"raw"],
        )
        assert dsmil("dlq", "show", letter.id, env=env(settings)).code == 0
    # They are still no events; mended bytes would be.
    done = dsmil("dlq", "redrive", "--all", env=env(settings))
    assert done.code == 65, done
    mended = dict(recorded[letters[0].id]) | {b"raw": b'{"event_id": "mended", "source_device": 16}'}
    mended |= {b"stream": b"L3_OUT", b"form": b"event"}
    fields: Any = mended
    letter_id: Any = bus.client.xadd(DEAD_LETTERS, fields)
    assert dsmil("dlq", "redrive", letter_id.decode(), env=env(settings)).code == 0
    assert [event.event_id for _, event in bus.read(StreamName.L3_OUT)] == ["mended"]


# The state directory


def test_the_record_of_an_older_instance_is_read(release: Release, tmp_path: Path) -> None:
    text = (release.folder / "instance.json").read_text()
    (tmp_path / "instance.json").write_text(text)
    record = StateDir(tmp_path).read()
    assert record is not None
    assert (record.pid, record.version) == (json.loads(text)["pid"], release.about["version"])


@pytest.mark.parametrize("missing", ["started", "version", "broker_url", "socket", "hotpath_db", "ports"])
def test_a_record_without_a_key_is_still_the_instance_s(tmp_path: Path, missing: str) -> None:
    """An instance that runs must be found, or `dsmil down` after an update would say that none runs."""
    release = Release(VERSIONS[-1])
    record = json.loads((release.folder / "instance.json").read_text())
    del record[missing]
    state = StateDir(tmp_path)
    state.acquire()
    (tmp_path / "instance.json").write_text(json.dumps(record | {"a_later_key": {"x": 1}}))
    found = StateDir(tmp_path).running()
    assert found is not None
    assert found.pid == record["pid"]
    done = dsmil("config", "show", env=environment(DSMIL_STATE_DIR=tmp_path))
    assert done.code == 0, done
    state.release()


def test_the_place_in_a_followed_log_is_found_again(release: Release, tmp_path: Path) -> None:
    path = release.restore("ingest", tmp_path / "ingest.db")
    (row,) = rows(path, "positions", "key")
    positions = Positions(tmp_path, row["key"], 100_000)
    place = positions.load(Position)
    assert isinstance(place, Position)
    assert place.offset > place.head_bytes > 0
    assert len(positions.seen()) == 40
    positions.close()


@pytest.mark.parametrize("missing", ["inode", "line"])
def test_a_place_without_a_key_is_still_the_place(tmp_path: Path, missing: str) -> None:
    path = Release(VERSIONS[-1]).restore("ingest", tmp_path / "ingest.db")
    (row,) = rows(path, "positions", "key")
    position = json.loads(row["position"])
    del position[missing]
    store = Store(path)
    store.connection.execute("UPDATE positions SET position = ?", (json.dumps(position | {"later": 1}).encode(),))
    store.close()
    positions = Positions(tmp_path, row["key"], 100_000)
    place = positions.load(Position)
    assert isinstance(place, Position)
    assert place.offset == position["offset"]
    positions.close()
