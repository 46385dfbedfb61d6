"""Anybody's SQL: it reads, it writes nothing, and it ends."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dsmil.errors import QueryRefused, QueryTooLong, StoreUnavailable
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.query import query

ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT {} FROM c"


@pytest.fixture
def path(db: HotPathDB) -> Path:
    for n in range(20):
        assert db.insert_event(f"e-{n:02}", 16, 3, "s", "GENERAL", "NETWORK", "LOW", {"n": n}, ts=float(n))
    return db.place.path


def test_columns_and_rows(path: Path) -> None:
    found = query(path, "SELECT event_id AS id, ts FROM raw_events_fast ORDER BY ts LIMIT 2")
    assert found.columns == ["id", "ts"]
    assert found.rows == [["e-00", 0.0], ["e-01", 1.0]]
    assert found.truncated is False
    assert found.seconds >= 0


def test_no_rows_still_have_their_columns(path: Path) -> None:
    found = query(path, "SELECT event_id, ts FROM raw_events_fast WHERE ts < 0")
    assert (found.columns, found.rows) == (["event_id", "ts"], [])


def test_values_are_such_as_json_can_carry(path: Path) -> None:
    found = query(path, "SELECT payload, NULL, 1, 1.5, 'x', x'ff41' FROM raw_events_fast LIMIT 1")
    assert found.rows == [['{"n":0}', None, 1, 1.5, "x", "\ufffdA"]]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM raw_events_fast",
        "WITH a AS (SELECT 1 AS x) SELECT x FROM a",
        "EXPLAIN QUERY PLAN SELECT 1",
        "PRAGMA table_info(raw_events_fast)",
        "SELECT name FROM pragma_table_info('raw_events_fast')",
        "PRAGMA journal_mode",
        "PRAGMA integrity_check",
        "SELECT name FROM sqlite_schema",
        "SELECT payload ->> 'n' FROM raw_events_fast",
        "VALUES (1)",
        "SELECT 1;",
        "SELECT 1; -- and a comment",
        "/* a comment */ SELECT 1",
    ],
)
def test_reading_is_allowed(path: Path, sql: str) -> None:
    assert query(path, sql).rows


@pytest.mark.parametrize("sql", ["", "  ", "-- a comment", ";"])
def test_nothing_asked_is_nothing_found(path: Path, sql: str) -> None:
    found = query(path, sql)
    assert (found.columns, found.rows, found.truncated) == ([], [], False)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO layer_state (layer, active_devices) VALUES (1, '[]')",
        "UPDATE layer_state SET tops_used = 1",
        "DELETE FROM layer_state",
        "REPLACE INTO layer_state (layer) VALUES (2)",
        "DROP TABLE layer_state",
        "DROP INDEX idx_raw_ts",
        "CREATE TABLE x (a)",
        "CREATE TEMP TABLE x (a)",
        "CREATE VIEW x AS SELECT 1",
        "CREATE TRIGGER x AFTER INSERT ON layer_state BEGIN SELECT 1; END",
        "CREATE VIRTUAL TABLE x USING fts5(a)",
        "ALTER TABLE layer_state RENAME TO x",
        "ATTACH '{folder}/attached.db' AS x",
        "DETACH main",
        "VACUUM",
        "VACUUM INTO '{folder}/attached.db'",
        "ANALYZE",
        "REINDEX",
        "BEGIN",
        "BEGIN IMMEDIATE",
        "COMMIT",
        "SAVEPOINT x",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA JOURNAL_MODE = DELETE",
        "PRAGMA user_version = 5",
        "PRAGMA USER_VERSION = 5",
        "PRAGMA page_size = 512",
        "PRAGMA query_only = 0",
        "PRAGMA writable_schema = 1",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA optimize",
        "PRAGMA database_list",
        "PRAGMA foreign_keys = 0",
        "SELECT load_extension('x')",
        "SELECT LOAD_EXTENSION('x', 'y')",
        "SELECT writefile('{folder}/attached.db', 'x')",
        "SELECT 1; DROP TABLE layer_state",
        "SELECT 1; PRAGMA user_version = 5",
        "SELECT 1; SELECT 2",
        "EXPLAIN DROP TABLE layer_state",
        "SELECT ?",
        "SELECT * FROM nothing",
        "not sql at all",
        "SELECT 'open",
    ],
)
def test_anything_else_is_refused_and_changes_nothing(path: Path, sql: str) -> None:
    before = query(path, "SELECT type, name, sql FROM sqlite_schema").rows
    with pytest.raises(QueryRefused):
        query(path, sql.format(folder=path.parent))
    assert query(path, "SELECT type, name, sql FROM sqlite_schema").rows == before
    assert query(path, "SELECT count(*), sum(tops_used) FROM layer_state").rows == [[8, 0.0]]
    assert query(path, "PRAGMA user_version").rows == [[0]]
    assert query(path, "PRAGMA journal_mode").rows == [["wal"]]
    assert not (path.parent / "attached.db").exists()


def test_the_time_limit_ends_an_endless_statement(path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(QueryTooLong, match=r"stopped after 0\.2 s"):
        query(path, ENDLESS.format("count(*)"), max_seconds=0.2)
    assert time.monotonic() - started < 5


def test_the_row_limit_ends_an_endless_result(path: Path) -> None:
    found = query(path, ENDLESS.format("x"), max_rows=3)
    assert found.rows == [[1], [2], [3]]
    assert found.truncated is True


@pytest.mark.parametrize(("limit", "truncated"), [(19, True), (20, False), (21, False), (0, True)])
def test_truncated_is_said_only_when_there_was_more(path: Path, limit: int, *, truncated: bool) -> None:
    found = query(path, "SELECT * FROM raw_events_fast", max_rows=limit)
    assert len(found.rows) == min(limit, 20)
    assert found.truncated is truncated


@pytest.mark.parametrize("sql", ["SELECT zeroblob(100000000)", "SELECT hex(randomblob(16000000))"])
def test_a_value_beyond_the_limit_is_refused(path: Path, sql: str) -> None:
    with pytest.raises(QueryRefused, match="too big"):
        query(path, sql)


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"missing\.db cannot be opened"):
        query(tmp_path / "missing.db", "SELECT 1")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello " * 1000)
    with pytest.raises(StoreUnavailable, match="not a database"):
        query(tmp_path / "text", "SELECT * FROM sqlite_schema")
    with pytest.raises(StoreUnavailable):
        query(tmp_path, "SELECT 1")


def test_a_query_sees_what_the_open_store_has_just_written(db: HotPathDB, path: Path) -> None:
    assert db.insert_event("later", 16, 3, "s", "GENERAL", "NETWORK", "LOW", {})
    assert query(path, "SELECT count(*) FROM raw_events_fast").rows == [[21]]
