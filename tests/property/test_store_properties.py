"""Queries of the hot store against a plain filter over the same rows."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dsmil.events.model import Severity, create_event
from dsmil.infrastructure.hotpath_db import HotPathConfig, HotPathDB
from dsmil.infrastructure.retention import RULES, expire, shrink_to
from dsmil.infrastructure.rows import raw_row
from dsmil.infrastructure.sql import statement

NOW = 1_800_000_000.0
DAY = 24 * 3600.0
ROWS = st.lists(
    st.tuples(
        st.integers(0, 10_000).map(lambda n: n / 7),
        st.integers(2, 9),
        st.sampled_from(Severity),
    ),
    unique_by=lambda row: row[0],
    max_size=150,
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
PAYLOADS = st.dictionaries(TEXT, st.none() | st.booleans() | NUMBERS | TEXT, max_size=5)


def opened(folder: str) -> HotPathDB:
    db = HotPathDB(HotPathConfig(db_path=Path(folder) / "hotpath.db"))
    assert db.initialize_schema()
    return db


@settings(max_examples=40)
@given(ROWS, st.none() | st.integers(2, 9), st.none() | st.sampled_from(Severity), st.integers(0, 200))
def test_recent_events_are_what_a_filter_finds(
    rows: list[tuple[float, int, Severity]], layer: int | None, severity: Severity | None, limit: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, opened(folder) as db:
        events = [
            create_event(16, number, "NETWORK", level, {}, event_id=f"e-{ts}", ts=ts) for ts, number, level in rows
        ]
        with db._ready().writing("test") as connection:
            connection.executemany(statement("insert_raw"), [raw_row(event) for event in events])
        expected = sorted(
            (
                ts
                for ts, number, level in rows
                if layer in {None, number} and (severity is None or level is severity)
            ),
            reverse=True,
        )[:limit]
        found = db.get_recent_events(layer=layer, severity=severity, limit=limit)
        assert [row["ts"] for row in found] == expected


@settings(max_examples=40)
@given(st.lists(st.sampled_from(Severity), max_size=30), st.none() | st.sampled_from(Severity), st.integers(0, 40))
def test_recent_soc_events_are_what_a_filter_finds(
    levels: list[Severity], severity: Severity | None, limit: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, opened(folder) as db:
        for n, level in enumerate(levels):
            assert db.insert_soc_event(f"s-{n}", level, "SOC", 52, 8, {}, ts=float(n))
        expected = [n for n, level in enumerate(levels) if severity in {None, level}][::-1][:limit]
        found = db.get_recent_soc_events(limit=limit, severity=severity)
        assert [row["ts"] for row in found] == expected
        assert list(db.stream_soc_events(limit=limit, severity=severity)) == found[::-1]


@settings(max_examples=30)
@given(st.lists(PAYLOADS, max_size=10), TEXT, TEXT)
def test_what_was_written_is_read_back(payloads: list[dict[str, Any]], source: str, compartment: str) -> None:
    with tempfile.TemporaryDirectory() as folder, opened(folder) as db:
        for n, payload in enumerate(payloads):
            assert db.insert_event(f"e-{n}", 16, 3, source, compartment, "NETWORK", "LOW", payload, ts=float(n))
        found = db.get_recent_events()
        assert [row["payload"] for row in found] == payloads[::-1]
        assert {(row["source"], row["compartment"]) for row in found} <= {(source, compartment)}


@settings(max_examples=30)
@given(st.lists(st.floats(0, 3 * DAY), max_size=60))
def test_retention_takes_exactly_what_has_outlived_its_time(ages: list[float]) -> None:
    with tempfile.TemporaryDirectory() as folder, opened(folder) as db:
        store = db._ready()
        for n, age in enumerate(ages):
            assert db.insert_shrink_metrics({"entropy": n}, ts=NOW - age)
        gone = 0
        while found := expire(store, NOW):
            gone += sum(found.values())
        kept = [n for n, age in enumerate(ages) if NOW - age >= NOW - DAY]
        assert sorted(row["entropy"] for row in db.get_shrink_metrics(limit=1000)) == kept
        assert gone == len(ages) - len(kept)


@settings(max_examples=20)
@given(st.lists(st.floats(0, DAY), min_size=1, max_size=30), st.lists(st.floats(0, 7 * DAY), max_size=30))
def test_by_bytes_a_store_is_emptied_step_by_step_and_never_hangs(raw: list[float], soc: list[float]) -> None:
    with tempfile.TemporaryDirectory() as folder, opened(folder) as db:
        store = db._ready()
        events = [
            create_event(16, 3, "NETWORK", "LOW", {}, event_id=f"e-{n}", ingest_ts=NOW - age)
            for n, age in enumerate(raw)
        ]
        with store.writing("test") as connection:
            connection.executemany(statement("insert_raw"), [raw_row(event) for event in events])
        for n in range(len(soc)):
            assert db.insert_soc_event(f"s-{n}", "LOW", "SOC", 52, 8, {})
        rounds = 0
        while shrink_to(store, 0, NOW):
            rounds += 1
        assert rounds <= len(RULES)
        assert db.get_recent_events() == db.get_recent_soc_events() == []
