"""The kept counts of the event tables are what counting gives, whoever writes and however."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmil.events.streams import StreamName
from dsmil.fusion.fuse import fuse
from dsmil.infrastructure.event_counts import TABLES, adding, mend, totals
from dsmil.infrastructure.hotpath_db import HotPathConfig, HotPathDB
from dsmil.infrastructure.retention import expire, shrink_to
from dsmil.infrastructure.rows import raw_row, soc_row
from dsmil.infrastructure.sql import statement
from dsmil.infrastructure.store import Store
from dsmil.testing.factories import make_event

NOW = 1_800_000_000.0
DAY = 24 * 3600.0
#: Columns of a row by SQL, and where its layer stands.
FOREIGN = {
    "raw_events_fast": "(ts, event_id, layer, severity, device_id, source, compartment, category, payload)"
    " VALUES (1.0, ?, ?, ?, 16, 's', 'GENERAL', 'NETWORK', '')",
    "soc_events_cache": "(ts, event_id, source_layer, severity, category, source_device, payload)"
    " VALUES (1.0, ?, ?, ?, 'SOC', 52, '')",
}
OWN = "CREATE TRIGGER own AFTER INSERT ON soc_events_cache BEGIN SELECT NEW.event_id; END"
REPLACED = "DO UPDATE SET severity = excluded.severity"
LAYER = {"raw_events_fast": "layer", "soc_events_cache": "source_layer"}
IDS = st.sampled_from([f"e-{n}" for n in range(8)])
SEVERITIES = st.sampled_from(["LOW", "HIGH", "whatever"])
WHERE = st.tuples(st.sampled_from(list(TABLES)), IDS, st.integers(3, 4), SEVERITIES)
STEPS = st.lists(
    st.tuples(st.sampled_from(["insert", "ignore", "upsert", "update", "delete", "empty"]), WHERE)
    | st.tuples(st.sampled_from(["batch", "old batch"]), st.lists(IDS, max_size=6))
    | st.tuples(st.sampled_from(["expire", "shrink"]), st.none()),
    max_size=25,
)


def by_counting(store: Store) -> dict[tuple[str, int, str], int]:
    return {
        (table, row["layer"], row["severity"]): row["n"]
        for table, layer in LAYER.items()
        for row in store.rows(
            f"SELECT {layer} AS layer, severity, count(*) AS n FROM {table} GROUP BY {layer}, severity"  # noqa: S608
        )
    }


def kept(store: Store) -> dict[tuple[str, int, str], int]:
    return {
        (row["events_of"], row["layer"], row["severity"]): row["events"] for row in store.named("event_counts")
    }


def by_sql(path: Path, what: str, where: tuple[str, str, int, str]) -> None:
    """Write as somebody does who knows the documented tables only.

    Through the library the store uses: two of them in one process would undo each other's locks.
    """
    table, event_id, layer, severity = where
    statements: dict[str, tuple[str, tuple[Any, ...]]] = {
        "insert": (f"INSERT INTO {table} {FOREIGN[table]}", (event_id, layer, severity)),
        "ignore": (f"INSERT OR IGNORE INTO {table} {FOREIGN[table]}", (event_id, layer, severity)),
        "upsert": (
            f"INSERT INTO {table} {FOREIGN[table]} ON CONFLICT (event_id) {REPLACED}",
            (event_id, layer, severity),
        ),
        "update": (
            f"UPDATE {table} SET {LAYER[table]} = ?, severity = ? WHERE event_id = ?",  # noqa: S608
            (layer, severity, event_id),
        ),
        "delete": (f"DELETE FROM {table} WHERE event_id = ?", (event_id,)),  # noqa: S608
        "empty": (f"DELETE FROM {table}", ()),  # noqa: S608
    }
    with closing(apsw.Connection(str(path))) as connection:
        try:
            connection.execute(*statements[what])
        except apsw.ConstraintError:
            assert what == "insert", "only a plain insert of an id that is there is refused"


def by_writer(store: Store, ids: list[str], ingest_ts: float) -> None:
    """Write a batch as the store writer does."""
    made = [make_event({}, event_id=event_id, ingest_ts=ingest_ts) for event_id in ids]
    events = [fuse(event, StreamName.L3_OUT, None) for event in made]
    with store.writing("test") as connection:
        for table, name, rows in (
            ("raw_events_fast", "insert_raw", [raw_row(event) for event in events]),
            ("soc_events_cache", "insert_soc", [soc_row(event) for event in events]),
        ):
            with adding(store, table):
                connection.executemany(statement(name), rows)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, own_trigger=st.booleans())
def test_they_are_what_counting_gives(steps: list[tuple[str, Any]], *, own_trigger: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "hotpath.db") as store:
        store.migrate()
        store.counts_in_bulk = True
        for what, values in steps:
            if what in {"batch", "old batch"}:
                by_writer(store, values, NOW - 8 * DAY if what == "old batch" else NOW)
            elif what == "expire":
                expire(store, NOW)
            elif what == "shrink":
                shrink_to(store, 0, NOW)
            else:
                by_sql(store.path, what, values)
            assert kept(store) == by_counting(store), what
            if own_trigger and what == "batch":  # one that somebody makes while the store is written to
                store.connection.execute(OWN)
                own_trigger = False
        assert not mend(store)


def test_a_connection_with_triggers_counts_once(tmp_path: Path) -> None:
    """The documented client, and retention called by it, leave the counting to the triggers."""
    with HotPathDB(HotPathConfig(db_path=tmp_path / "hotpath.db")) as db:
        assert db.insert_event("e", 16, 3, "s", "GENERAL", "NETWORK", "LOW", {})
        assert db.insert_event("e", 16, 3, "s", "GENERAL", "NETWORK", "LOW", {})
        by_writer(db._ready(), ["f"], 1.0)
        assert totals(db._ready()) == {"raw_events_fast": 2, "soc_events_cache": 1}
        assert db.cleanup_old_data()["raw_events_fast"] == 1
        assert kept(db._ready()) == by_counting(db._ready()) == {("raw_events_fast", 3, "LOW"): 1}
        assert db.get_event_counts() == [
            {"events_of": "raw_events_fast", "layer": 3, "severity": "LOW", "events": 1}
        ]


def test_other_sqlite_libraries_fire_the_triggers(tmp_path: Path) -> None:
    """The standard library's is older than ours, as that of a sqlite3 shell may be."""
    path = tmp_path / "hotpath.db"
    with Store(path) as store:
        store.migrate()
    table = "raw_events_fast"
    script = f"""
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as store:
    store.executemany({f"INSERT INTO {table} {FOREIGN[table]}"!r}, [(str(n), 3 + n % 2, "LOW") for n in range(5)])
    store.execute("DELETE FROM {table} WHERE layer = 4")
    store.execute("UPDATE {table} SET severity = ? WHERE event_id = ?", ("HIGH", "0"))
"""  # noqa: S608 - fixed names
    subprocess.run([sys.executable, "-c", script, path], check=True)
    with Store(path, read_only=True) as store:
        assert kept(store) == by_counting(store) == {(table, 3, "LOW"): 2, (table, 3, "HIGH"): 1}


def test_a_row_replaced_by_sql_is_noticed_and_counted_anew(tmp_path: Path) -> None:
    with Store(tmp_path / "hotpath.db") as store:
        store.migrate()
        table = "raw_events_fast"
        for severity in ("LOW", "HIGH"):
            store.connection.execute(f"INSERT OR REPLACE INTO {table} {FOREIGN[table]}", ("e", 3, severity))
        assert kept(store) != by_counting(store)
        assert mend(store)
        assert kept(store) == by_counting(store) == {(table, 3, "HIGH"): 1}
        assert not mend(store)


def test_a_trigger_of_the_users_own_fires_for_the_store_writer_too(tmp_path: Path) -> None:
    with Store(tmp_path / "hotpath.db") as store:
        store.migrate()
        store.counts_in_bulk = True
        by_writer(store, ["before"], NOW)
        store.connection.execute(
            "CREATE TABLE mine (event_id TEXT);"
            "CREATE TRIGGER mine AFTER INSERT ON soc_events_cache"
            " BEGIN INSERT INTO mine VALUES (NEW.event_id); END"
        ).fetchall()
        by_writer(store, ["with"], NOW)
        store.connection.execute("DROP TRIGGER mine")
        by_writer(store, ["after"], NOW)
        assert store.rows("SELECT * FROM mine") == [{"event_id": "with"}]
        assert totals(store) == {"raw_events_fast": 3, "soc_events_cache": 3}
