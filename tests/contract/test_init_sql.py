"""The documented schema script: current, repeatable, and what the product itself would have made."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dsmil.config import Settings
from dsmil.infrastructure.hotpath_db import HotPathConfig, HotPathDB
from dsmil.infrastructure.store import Store

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "init_hotpath_db.sql"
#: Columns that the documented tables must have; ``*`` is NOT NULL.
TABLES = {
    "raw_events_fast": "id ts* event_id* device_id* layer* source* compartment* category* severity* payload* "
    "token_id clearance processed ingest_ts",
    "model_outputs_fast": "id ts* output_id* device_id* layer* model* input_ref output_json* score tops_used "
    "latency_ms hardware",
    "layer_state": "layer active_devices* memory_used_gb* tops_used* tops_available* event_count last_update*",
    "device_status": "device_id layer* name* status* memory_mb tops_allocated last_heartbeat metadata",
    "soc_events_cache": "id ts* event_id* severity* category* source_device* source_layer* signals shrink_metrics "
    "l8_enrichment payload* ingest_ts original_severity escalation correlation_id score",
    "shrink_metrics": "id ts* risk_acute_stress crisis_level lbi_hyperfocus_density sentiment_score entropy "
    "metrics_json",
}


def _by_python(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCRIPT.read_text("utf-8"))


def _by_shell(path: Path) -> None:
    if shutil.which("sqlite3") is None:
        pytest.skip("there is no sqlite3 shell here")
    with SCRIPT.open("rb") as script:
        ended = subprocess.run(["sqlite3", path], stdin=script, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


WAYS = {"python": _by_python, "shell": _by_shell}


def _ask(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def _shape(path: Path) -> list[tuple[Any, ...]]:
    rows = _ask(path, "SELECT type, name, sql FROM sqlite_master ORDER BY type, name")
    return [(kind, name, " ".join((sql or "").replace("IF NOT EXISTS ", "").split())) for kind, name, sql in rows]


def test_is_up_to_date() -> None:
    ended = subprocess.run(
        [sys.executable, "scripts/make-init-sql", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("way", WAYS)
def test_works_twice_and_keeps_what_is_there(tmp_path: Path, way: str) -> None:
    path = tmp_path / "hotpath.db"
    WAYS[way](path)
    first = _shape(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE layer_state SET event_count = 7 WHERE layer = 3")
    WAYS[way](path)
    assert _shape(path) == first
    assert _ask(path, "SELECT event_count FROM layer_state WHERE layer = 3") == [(7,)]
    assert _ask(path, "SELECT count(*) FROM schema_steps") == _ask(path, "SELECT max(step) FROM schema_steps")
    assert _ask(path, "PRAGMA journal_mode") == [("wal",)]
    assert _ask(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("way", WAYS)
def test_the_product_opens_it_without_changing_it(tmp_path: Path, way: str) -> None:
    path = tmp_path / "hotpath.db"
    WAYS[way](path)
    before = (_shape(path), _ask(path, "SELECT * FROM schema_steps"))
    store = Store(path)
    try:
        assert store.migrate() == [], "no step is missing"
    finally:
        store.close()
    with HotPathDB(HotPathConfig(db_path=path), settings=Settings.from_env({})) as db:
        assert db.connect()
        assert db.initialize_schema()
        assert db.insert_event("one", 52, 8, "contract", "GENERAL", "SECURITY", "HIGH", {"a": 1})
        assert [event["event_id"] for event in db.get_recent_events(layer=8, severity="HIGH")] == ["one"]
    assert (_shape(path), _ask(path, "SELECT * FROM schema_steps")) == before


def test_the_product_makes_the_same(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.db", tmp_path / "theirs.db"
    _by_python(theirs)
    with HotPathDB(HotPathConfig(db_path=ours), settings=Settings.from_env({})) as db:
        assert db.connect()
        assert db.initialize_schema()
    assert _shape(ours) == _shape(theirs)
    pragmas = ("page_size", "journal_mode")
    assert [_ask(ours, f"PRAGMA {p}") for p in pragmas] == [_ask(theirs, f"PRAGMA {p}") for p in pragmas]


@pytest.mark.parametrize("table", TABLES)
def test_documented_columns(tmp_path: Path, table: str) -> None:
    path = tmp_path / "hotpath.db"
    _by_python(path)
    columns = {row[1]: bool(row[3]) for row in _ask(path, f"PRAGMA table_info({table})")}
    for word in TABLES[table].split():
        name = word.rstrip("*")
        assert name in columns
        assert columns[name] is word.endswith("*"), f"{name}: NOT NULL or not"


def test_layers_start_with_their_documented_budgets(tmp_path: Path) -> None:
    path = tmp_path / "hotpath.db"
    _by_python(path)
    found = _ask(path, "SELECT layer, tops_available FROM layer_state ORDER BY layer")
    assert found == [(2, 102), (3, 50), (4, 65), (5, 105), (6, 160), (7, 440), (8, 80), (9, 200)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT layer, severity, COUNT(*) FROM raw_events_fast GROUP BY layer, severity",
        "SELECT * FROM soc_events_cache ORDER BY ts DESC LIMIT 10",
        "SELECT * FROM device_status WHERE status = 'ONLINE'",
        "SELECT * FROM shrink_metrics ORDER BY ts DESC LIMIT 5",
    ],
)
def test_documented_queries_use_an_index(tmp_path: Path, query: str) -> None:
    path = tmp_path / "hotpath.db"
    _by_python(path)
    plan = " ".join(row[3] for row in _ask(path, f"EXPLAIN QUERY PLAN {query}"))
    assert " USING " in plan
    assert "INDEX idx_" in plan
    assert "TEMP B-TREE" not in plan
