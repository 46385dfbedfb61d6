"""Retention: by age only what has outlived its time, by bytes the table that is nearest its end."""

from __future__ import annotations

import time
from typing import Any

import apsw
import pytest

from dsmil.events.model import Event, create_event
from dsmil.events.streams import StreamName
from dsmil.fusion.fuse import fuse
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.retention import CHUNK, DEFAULT_MAX_BYTES, RULES, expire, shrink_to
from dsmil.infrastructure.rows import raw_row, soc_row
from dsmil.infrastructure.sql import statement
from dsmil.infrastructure.store import Store

HOUR = 3600.0
DAY = 24 * HOUR
NOW = 1_800_000_000.0


@pytest.fixture
def store(db: HotPathDB) -> Store:
    return db._ready()


def made(event_id: str, age: float, pad: int = 0) -> Event:
    """Return an event that happened long ago and arrived ``age`` seconds before NOW."""
    return create_event(
        16, 3, "NETWORK", "LOW", {"pad": "x" * pad}, event_id=event_id, ts=5.0, ingest_ts=NOW - age
    )


def add_raw(store: Store, *events: Event) -> None:
    with store.writing("test") as connection:
        connection.executemany(statement("insert_raw"), [raw_row(event, "1-0") for event in events])


def add_soc(store: Store, *events: Event) -> None:
    rows = [soc_row(fuse(event, StreamName.L3_OUT, None), "1-0") for event in events]
    with store.writing("test") as connection:
        connection.executemany(statement("insert_soc"), rows)


def left(store: Store, table: str, column: str = "event_id") -> list[Any]:
    return [row[column] for row in store.rows(f"SELECT {column} FROM {table} ORDER BY id")]  # noqa: S608 - fixed names


def test_the_documented_times() -> None:
    assert {rule.table: rule.seconds for rule in RULES} == {
        "raw_events_fast": DAY,
        "model_outputs_fast": DAY,
        "soc_events_cache": 7 * DAY,
        "shrink_metrics": DAY,
    }
    assert int(0.8 * 4 * 1024**3) == DEFAULT_MAX_BYTES


def test_only_outlived_rows_go_and_fresh_ones_between_them_stay(store: Store) -> None:
    ages = {"old-1": DAY + 1, "fresh-1": 5, "old-2": 2 * DAY, "edge": DAY, "fresh-2": 0, "old-3": DAY + 0.5}
    add_raw(store, *(made(name, age) for name, age in ages.items()))
    assert expire(store, NOW) == {"raw_events_fast": 3}
    assert left(store, "raw_events_fast") == ["fresh-1", "edge", "fresh-2"]
    assert expire(store, NOW) == {}


def test_age_counts_from_arrival_not_from_the_time_of_the_event(store: Store) -> None:
    """A log of last year read today stays a day."""
    add_raw(store, made("just read", 10))
    assert expire(store, NOW) == {}


def test_soc_events_stay_a_week(store: Store) -> None:
    add_soc(store, made("eight days", 8 * DAY), made("six days", 6 * DAY))
    add_raw(store, made("six days", 6 * DAY))
    assert expire(store, NOW) == {"soc_events_cache": 1, "raw_events_fast": 1}
    assert left(store, "soc_events_cache") == ["six days"]


def test_readings_and_model_outputs_go_by_their_time(db: HotPathDB, store: Store) -> None:
    for n, age in enumerate((DAY + 1, DAY - 1)):
        assert db.insert_shrink_metrics({"entropy": n}, ts=NOW - age)
        assert db.insert_model_output(f"o-{n}", 47, 7, "m", {}, ts=NOW - age)
    assert expire(store, NOW) == {"model_outputs_fast": 1, "shrink_metrics": 1}
    assert left(store, "model_outputs_fast", "output_id") == ["o-1"]
    assert left(store, "shrink_metrics", "entropy") == [1]


def test_live_tables_have_no_retention(db: HotPathDB, store: Store) -> None:
    assert db.update_device_status(52, 8, "n", "ONLINE")
    assert expire(store, NOW + 1000 * DAY) == {}
    assert len(db.get_device_statuses()) == 1


def test_a_chunk_at_a_time(store: Store) -> None:
    add_raw(store, *(made(f"e-{n}", 2 * DAY) for n in range(CHUNK + 5)))
    assert expire(store, NOW) == {"raw_events_fast": CHUNK}
    assert expire(store, NOW) == {"raw_events_fast": 5}
    assert expire(store, NOW) == {}


def test_the_documented_clean_up_takes_all_chunks_and_counts_them(db: HotPathDB, store: Store) -> None:
    old = time.time() - NOW - 2 * DAY
    add_raw(store, *(made(f"e-{n}", -old) for n in range(2 * CHUNK + 1)))
    assert db.insert_event("fresh", 16, 3, "s", "GENERAL", "NETWORK", "LOW", {}, ts=1.0)
    assert db.cleanup_old_data() == {
        "raw_events_fast": 2 * CHUNK + 1,
        "model_outputs_fast": 0,
        "soc_events_cache": 0,
        "shrink_metrics": 0,
    }
    assert [row["event_id"] for row in db.get_recent_events()] == ["fresh"]


def test_below_its_bytes_a_store_gives_nothing(store: Store) -> None:
    add_raw(store, made("e", 5))
    assert shrink_to(store, store.used_bytes(), NOW) == {}


def test_above_its_bytes_it_gives_its_oldest_chunk(store: Store) -> None:
    add_raw(store, *(made(f"e-{n:05}", 5) for n in range(CHUNK + 3)))
    assert shrink_to(store, 0, NOW) == {"raw_events_fast": CHUNK}
    assert left(store, "raw_events_fast") == [f"e-{CHUNK + n:05}" for n in range(3)]


def test_bytes_are_freed_until_it_fits(store: Store) -> None:
    add_raw(store, *(made(f"e-{n}", 5, pad=4000) for n in range(3 * CHUNK)))
    limit = store.used_bytes() // 2
    rounds = 0
    while shrink_to(store, limit, NOW):
        rounds += 1
    assert store.used_bytes() <= limit
    assert rounds == 2


def test_raw_records_of_a_day_do_not_push_out_a_week_of_alerts(store: Store) -> None:
    """The table gives whose oldest row has used up most of its own time: 12 of 24 hours, 2 of 7 days."""
    add_raw(store, made("raw", 12 * HOUR))
    add_soc(store, made("soc", 2 * DAY))
    assert shrink_to(store, 0, NOW) == {"raw_events_fast": 1}
    assert shrink_to(store, 0, NOW) == {"soc_events_cache": 1}
    assert shrink_to(store, 0, NOW) == {}


def test_alerts_give_when_they_are_nearer_their_end(store: Store) -> None:
    add_raw(store, made("raw", 1 * HOUR))
    add_soc(store, made("soc", 6 * DAY))
    assert shrink_to(store, 0, NOW) == {"soc_events_cache": 1}


INSERTS = {
    "raw_events_fast": "(ts, event_id, device_id, layer, source, compartment, category, severity, payload)"
    " VALUES ({}, 'x', 16, 3, 's', 'GENERAL', 'NETWORK', 'LOW', '')",
    "soc_events_cache": "(ts, event_id, severity, category, source_device, source_layer, payload)"
    " VALUES ({}, 'x', 'LOW', 'SOC', 52, 8, '')",
    "shrink_metrics": "(ts, entropy) VALUES ({}, 0.5)",
    "model_outputs_fast": "(ts, output_id, device_id, layer, model, output_json) VALUES ({}, 'x', 47, 7, 'm', '')",
}


@pytest.mark.parametrize("table", INSERTS)
@pytest.mark.parametrize("ts", ["datetime('now')", "'yesterday'", "x'00'", "''"])
def test_a_time_that_is_no_number_is_refused_because_it_would_stop_retention(
    store: Store, table: str, ts: str
) -> None:
    """``datetime('now')`` is what people write into a column called ts; rows like that never grew old."""
    with pytest.raises(apsw.ConstraintError):
        store.connection.execute(f"INSERT INTO {table} {INSERTS[table].format(ts)}")
    assert left(store, table, "ts") == []


@pytest.mark.parametrize("table", INSERTS)
@pytest.mark.parametrize("ts", ["5", "5.5", "'5.5'", "unixepoch('now')", "julianday('now')"])
def test_any_number_is_a_time(store: Store, table: str, ts: str) -> None:
    store.connection.execute(f"INSERT INTO {table} {INSERTS[table].format(ts)}")
    (found,) = left(store, table, "ts")
    assert isinstance(found, float)


def test_rows_of_a_clock_that_was_ahead_do_not_stop_retention(store: Store) -> None:
    add_raw(store, *(made(f"future-{n}", -10 * 365 * DAY) for n in range(CHUNK)))
    add_raw(store, made("old", 2 * DAY))
    expire(store, NOW)
    assert "old" not in left(store, "raw_events_fast")
