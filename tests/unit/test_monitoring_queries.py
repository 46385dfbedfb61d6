"""The monitoring queries of the specification, as they stand, on a full store and by an index."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.query import query
from dsmil.infrastructure.sql import statement

SPECIFICATION = Path(__file__).parents[3] / "shared" / "seed" / "phase1_2f.md"
EVENT_COUNTS = "SELECT layer, severity, COUNT(*) FROM raw_events_fast GROUP BY layer, severity;"
SOC_EVENTS = "SELECT * FROM soc_events_cache ORDER BY ts DESC LIMIT 10;"
DEVICE_STATUS = "SELECT * FROM device_status WHERE status = 'ONLINE';"
SHRINK = "SELECT * FROM shrink_metrics ORDER BY ts DESC LIMIT 5;"
DOCUMENTED = [EVENT_COUNTS, SOC_EVENTS, DEVICE_STATUS, SHRINK]

#: Columns of the contract, section 4.
COLUMNS = {
    "raw_events_fast": "id ts event_id device_id layer source compartment category severity payload token_id "
    "clearance processed ingest_ts",
    "model_outputs_fast": "id ts output_id device_id layer model input_ref output_json score tops_used latency_ms "
    "hardware",
    "layer_state": "layer active_devices memory_used_gb tops_used tops_available event_count last_update",
    "device_status": "device_id layer name status memory_mb tops_allocated last_heartbeat metadata",
    "soc_events_cache": "id ts event_id severity category source_device source_layer signals shrink_metrics "
    "l8_enrichment payload ingest_ts original_severity escalation correlation_id score",
    "shrink_metrics": "id ts risk_acute_stress crisis_level lbi_hyperfocus_density sentiment_score entropy "
    "metrics_json",
}


@pytest.fixture
def filled(db: HotPathDB) -> HotPathDB:
    for n in range(60):
        severity = ("LOW", "HIGH", "CRITICAL")[n % 3]
        assert db.insert_event(f"e-{n}", 16, 3 + n % 2, "s", "GENERAL", "NETWORK", severity, {}, ts=float(n))
        assert db.insert_soc_event(f"s-{n}", severity, "SOC", 52, 8, {}, ts=float(n))
        assert db.insert_shrink_metrics({"entropy": n / 100}, ts=float(n))
    for number, status in ((16, "ONLINE"), (52, "ONLINE"), (53, "OFFLINE")):
        assert db.update_device_status(number, 8, "n", status)
    return db


def test_these_are_the_queries_of_the_specification() -> None:
    if not SPECIFICATION.is_file():
        pytest.skip("the specification is not beside this checkout")
    (block,) = re.findall(r"```sql\n(.*?)```", SPECIFICATION.read_text(encoding="utf-8"), re.DOTALL)
    assert [line for line in block.splitlines() if line.startswith("SELECT")] == DOCUMENTED


@pytest.mark.parametrize("sql", DOCUMENTED)
@pytest.mark.parametrize("full", [False, True])
def test_each_runs_as_it_stands(request: pytest.FixtureRequest, sql: str, *, full: bool) -> None:
    store: HotPathDB = request.getfixturevalue("filled" if full else "db")
    found = query(store.place.path, sql)
    assert found.truncated is False
    assert bool(found.rows) is full


@pytest.mark.parametrize("sql", DOCUMENTED)
def test_each_uses_an_index_and_sorts_nothing(filled: HotPathDB, sql: str) -> None:
    plan = [row["detail"] for row in filled._ready().rows(f"EXPLAIN QUERY PLAN {sql}")]
    assert plan
    assert all("USING" in step and "INDEX" in step for step in plan), plan
    assert not any("TEMP B-TREE" in step for step in plan), plan


def test_event_counts(filled: HotPathDB) -> None:
    expected = Counter((3 + n % 2, ("LOW", "HIGH", "CRITICAL")[n % 3]) for n in range(60))
    found = query(filled.place.path, EVENT_COUNTS)
    assert found.columns == ["layer", "severity", "COUNT(*)"]
    assert {(layer, severity): count for layer, severity, count in found.rows} == expected


def test_newest_soc_events_and_readings(filled: HotPathDB) -> None:
    for sql, most in ((SOC_EVENTS, 10), (SHRINK, 5)):
        found = query(filled.place.path, sql)
        times = [row[found.columns.index("ts")] for row in found.rows]
        assert times == [float(59 - n) for n in range(most)]


def test_devices_online(filled: HotPathDB) -> None:
    assert [row[0] for row in query(filled.place.path, DEVICE_STATUS).rows] == [16, 52]


@pytest.mark.parametrize("table", COLUMNS)
def test_every_documented_column_is_there(db: HotPathDB, table: str) -> None:
    found = [row["name"] for row in db._ready().rows("SELECT name FROM pragma_table_info(?)", (table,))]
    assert [name for name in found if name in COLUMNS[table].split()] == COLUMNS[table].split()


@pytest.mark.parametrize(
    "name",
    [*("recent_raw", "recent_raw_of"), *("recent_soc", "recent_soc_of"), *("recent_soc_ids", "recent_soc_ids_of")],
)
def test_the_readers_own_statements_use_an_index_too(filled: HotPathDB, name: str) -> None:
    values = {"limit": 5, "layer": 3, "severity": "HIGH"}
    plan = [row["detail"] for row in filled._ready().rows(f"EXPLAIN QUERY PLAN {statement(name)}", values)]
    assert all("USING INDEX" in step or "USING COVERING INDEX" in step for step in plan), plan
