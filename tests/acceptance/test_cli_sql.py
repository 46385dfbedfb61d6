"""``dsmil sql``: reading and nothing else, within limits, in a shape that scripts can rely on."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.acceptance.fabric_process import Fabric


def test_sql(fabric: Fabric) -> None:
    finding = "for-the-sql"
    fabric.send(finding)
    fabric.wait_row(finding)
    mine = f"FROM soc_events_cache WHERE event_id = '{finding}'"
    done = fabric.cli("sql", "--json", f"SELECT event_id, severity, 1 AS one {mine}")
    assert done.code == 0
    assert done.json == {"columns": ["event_id", "severity", "one"], "rows": [[finding, "MEDIUM", 1]]}
    assert fabric.cli("sql", "--json", "SELECT event_id FROM soc_events_cache WHERE 0").json["rows"] == []
    blob = fabric.cli("sql", "--json", "SELECT payload, NULL, 1.5 FROM raw_events_fast LIMIT 1").json
    assert isinstance(json.loads(blob["rows"][0][0]), dict)
    assert blob["rows"][0][1:] == [None, 1.5]
    shown = fabric.cli("sql", f"SELECT severity {mine}")
    assert "MEDIUM" in shown.out
    assert shown.err.startswith("1 rows in ")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM soc_events_cache",
        "INSERT INTO layer_state VALUES (1, '[]', 0, 0, 0, 0, 0)",
        "UPDATE layer_state SET layer = layer + 100",
        "DROP TABLE raw_events_fast",
        "CREATE TABLE mine (x)",
        "CREATE TEMP TABLE mine (x)",
        "ATTACH '{folder}/other.db' AS other",
        "VACUUM INTO '{folder}/copy.db'",
        "PRAGMA query_only = 0; DELETE FROM soc_events_cache",
        "SELECT 1; DELETE FROM soc_events_cache",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA user_version = 7",
        "PRAGMA writable_schema = 1",
        "WITH gone AS (SELECT 1) DELETE FROM device_status",
        "BEGIN IMMEDIATE",
        "SELECT load_extension('/tmp/x')",
        "SELECT writefile('{folder}/file', 'x')",
        "no sql at all",
        "",
    ],
)
def test_sql_refuses_what_is_not_reading(fabric: Fabric, tmp_path: Path, statement: str) -> None:
    counted = (
        "SELECT (SELECT count(*) FROM sqlite_master), (SELECT max(layer) FROM layer_state),"
        " (SELECT count(*) FROM device_status),"
        " (SELECT count(*) > 0 FROM soc_events_cache), (SELECT count(*) > 0 FROM raw_events_fast)"
    )
    before = fabric.rows(counted)
    done = fabric.cli("sql", statement.format(folder=tmp_path))
    if statement:
        assert done.code == 65, done
        assert done.complaint.startswith("dsmil: ")
    assert fabric.rows(counted) == before
    assert list(tmp_path.iterdir()) == []


def test_sql_limits_rows_and_time(fabric: Fabric) -> None:
    counting = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c {limit}) SELECT {what} FROM c"
    done = fabric.cli("sql", "--json", "--max-rows", "3", counting.format(limit="LIMIT 10", what="x"))
    assert done.json == {"columns": ["x"], "rows": [[1], [2], [3]], "truncated": True}
    exact = fabric.cli("sql", "--json", "--max-rows", "3", counting.format(limit="LIMIT 3", what="x"))
    assert exact.json == {"columns": ["x"], "rows": [[1], [2], [3]]}
    usual = fabric.cli("sql", "--json", counting.format(limit="LIMIT 5000", what="x"))
    assert len(usual.json["rows"]) == 1000
    started = time.monotonic()
    endless = fabric.cli("sql", "--max-seconds", "0.3", counting.format(limit="", what="count(*)"))
    assert endless.code == 69
    assert "0.3 s" in endless.complaint
    assert time.monotonic() - started < 5
    heavy = fabric.cli("sql", "SELECT length(zeroblob(1000000000))")
    assert heavy.code == 65, "one value must not take all memory"


def test_sql_names_the_columns_of_an_empty_answer(fabric: Fabric) -> None:
    done = fabric.cli("sql", "--json", "SELECT event_id, severity FROM soc_events_cache WHERE 0")
    assert done.json == {"columns": ["event_id", "severity"], "rows": []}


@pytest.mark.parametrize("statement", ["SELECT 1 AS a; SELECT 2 AS b, 3 AS c", "SELECT 1 WHERE 0; SELECT 2"])
def test_sql_takes_one_statement(fabric: Fabric, statement: str) -> None:
    """Rows of a second one would stand under the columns of the first."""
    done = fabric.cli("sql", "--json", statement)
    assert done.code == 65
    assert "one statement" in done.complaint
    assert done.out == ""


def test_sql_of_text_that_is_not_utf8(fabric: Fabric) -> None:
    """As when a query cuts a payload inside a character."""
    done = fabric.cli("sql", "--json", "SELECT CAST(substr(CAST('é' AS BLOB), 1, 1) AS TEXT) AS cut")
    assert done.code == 65
    assert "hex(" in done.complaint, "the remedy"


def test_sql_may_begin_with_a_comment(fabric: Fabric) -> None:
    """The documented queries are printed under comments, and are pasted with them."""
    done = fabric.cli("sql", "--json", "-- Event counts\nSELECT 1 AS one;")
    assert done.code == 0, done
    assert done.json == {"columns": ["one"], "rows": [[1]]}
