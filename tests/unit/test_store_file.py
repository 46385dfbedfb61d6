"""The hot store's file: schema ledger, transactions, a wiped file, and the sqlite3 shell beside us."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import apsw
import pytest

from dsmil.config import Settings
from dsmil.errors import StoreDamaged, StoreTooNew, StoreUnavailable
from dsmil.infrastructure.hotpath_db import TABLES, HotPathDB
from dsmil.infrastructure.sql import schema_steps, statement
from dsmil.infrastructure.store import LEDGER, Store, sqlite_version_ok

ROOT = Path(__file__).parents[2]
READ_LEDGER = f"SELECT step, name, applied FROM {LEDGER} ORDER BY step"  # noqa: S608 - a constant
INSERT = """
INSERT INTO raw_events_fast (ts, event_id, device_id, layer, source, compartment, category, severity, payload)
VALUES (1700000000.5, 'by-hand', 52, 8, 'shell', 'GENERAL', 'SECURITY', 'HIGH', '{"alert": "data"}')
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "hotpath.db"


@pytest.fixture
def shell() -> str:
    """Return the sqlite3 command line, or skip; in CI it must be there."""
    found = shutil.which("sqlite3")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("the sqlite3 command line is not installed")
        pytest.skip("the sqlite3 command line is not installed")
    return found


def run(shell: str, path: Path, sql: str) -> str:
    done = subprocess.run([shell, str(path)], input=sql, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_each_schema_step_is_recorded_and_a_second_run_applies_nothing(path: Path) -> None:
    store = Store(path)
    names = [name for _, name, _ in schema_steps()]
    assert store.migrate() == names
    ledger = store.rows(READ_LEDGER)
    assert [(row["step"], row["name"]) for row in ledger] == [(n, name) for n, name, _ in schema_steps()]
    assert all(row["applied"] > 1e9 for row in ledger)
    assert store.migrate() == []
    store.close()
    again = Store(path)
    assert again.migrated is False
    assert again.migrate() == []
    assert again.migrated is True
    assert again.rows(READ_LEDGER) == ledger
    again.close()


def test_schema_steps_are_numbered_from_one_without_a_gap() -> None:
    assert [number for number, _, _ in schema_steps()] == list(range(1, len(schema_steps()) + 1))


def test_a_store_of_a_newer_version_is_refused_and_left_alone(path: Path, settings: Settings) -> None:
    store = Store(path)
    store.migrate()
    store.connection.execute(f"INSERT INTO {LEDGER} VALUES (9999, '9999_future.sql', 0)")  # noqa: S608
    with pytest.raises(StoreTooNew, match="has schema step 9999"):
        store.migrate()
    store.close()
    with HotPathDB(settings=settings.replace(hotpath_db=str(path))) as db:
        assert db.connect() is True
        assert db.initialize_schema() is False
        assert db.insert_shrink_metrics({}) is False
        with pytest.raises(StoreTooNew):
            db.get_recent_events()


def test_a_schema_step_that_fails_leaves_nothing_behind(path: Path) -> None:
    store = Store(path)
    with pytest.raises(StoreUnavailable, match="schema step one"):
        store.migrate([(1, "one", "CREATE TABLE a(x); CREATE TABLE a(x);")])
    assert store.rows("SELECT name FROM sqlite_schema WHERE name = 'a'") == []
    assert store.rows(READ_LEDGER) == []
    assert store.migrated is False
    store.close()


def test_a_failed_transaction_is_rolled_back(path: Path) -> None:
    store = Store(path)
    store.migrate()

    def write_and_fail() -> None:
        with store.writing("test") as connection:
            connection.execute("DELETE FROM layer_state")
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    assert store.rows("SELECT count(*) AS n FROM layer_state") == [{"n": 8}]
    store.close()


def test_the_file_is_set_up_as_documented(path: Path) -> None:
    store = Store(path)
    assert store.connection.pragma("journal_mode") == "wal"
    assert store.connection.pragma("synchronous") == 1
    assert sqlite_version_ok()
    assert path.stat().st_mode & 0o777 == 0o660
    assert path.parent.stat().st_mode & 0o777 == 0o700
    store.close()


def test_the_driver_s_errors_are_ours(path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="opening"):
        Store(path, read_only=True)
    store = Store(path)
    with pytest.raises(StoreUnavailable) as caught:
        store.rows("SELECT * FROM nothing")
    assert isinstance(caught.value.__cause__, apsw.Error)
    store.close()


def test_a_store_opened_for_reading_cannot_write(path: Path) -> None:
    Store(path).migrate()
    reader = Store(path, read_only=True)
    assert len(reader.named("layer_states")) == 8
    with pytest.raises(StoreUnavailable):
        reader.rows("DELETE FROM layer_state")
    reader.close()


def test_a_statement_nobody_wrote() -> None:
    with pytest.raises(KeyError):
        statement("no_such_statement")


@pytest.mark.parametrize("restored", [False, True])
def test_a_file_wiped_under_an_open_client_is_opened_anew(db: HotPathDB, *, restored: bool) -> None:
    """A tmpfs may be unmounted, or a snapshot put in its place; the client must not write into a ghost."""
    assert db.insert_shrink_metrics({"entropy": 0.1})
    path = db.place.path
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    if restored:
        fresh = Store(path)
        fresh.migrate()
        fresh.close()
    assert db.get_shrink_metrics() == []
    assert db.insert_shrink_metrics({"entropy": 0.2})
    assert [row["entropy"] for row in db.get_shrink_metrics()] == [0.2]
    assert path.exists()
    assert len(db.get_layer_states()) == 8


def test_a_row_by_the_sqlite3_shell_is_read_like_any_other(db: HotPathDB, shell: str) -> None:
    assert db.insert_event("ours", 16, 3, "s", "GENERAL", "NETWORK", "LOW", {}, ts=5.0)
    run(shell, db.place.path, INSERT)
    row = db.get_recent_events(layer=8, severity="HIGH")[0]
    assert (row["event_id"], row["payload"], row["processed"]) == ("by-hand", {"alert": "data"}, 0)
    assert row["ingest_ts"] > 1.7e9
    assert [r["event_id"] for r in db.get_recent_events()] == ["by-hand", "ours"]


def test_every_documented_table_takes_rows_by_the_sqlite3_shell(db: HotPathDB, shell: str) -> None:
    run(
        shell,
        db.place.path,
        """
        INSERT INTO model_outputs_fast (ts, output_id, device_id, layer, model, output_json, hardware)
          VALUES (1.5, 'o', 47, 7, 'm', '{"a": 1}', 'CPU');
        INSERT INTO soc_events_cache (ts, event_id, severity, category, source_device, source_layer, payload)
          VALUES (1.5, 's', 'LOW', 'SOC', 52, 8, 'plain text');
        INSERT INTO device_status (device_id, layer, name, status) VALUES (52, 8, 'n', 'ONLINE');
        INSERT INTO shrink_metrics (ts, entropy) VALUES (1.5, 0.5);
        UPDATE layer_state SET active_devices = '[52]' WHERE layer = 8;
        """,
    )
    assert db.get_model_outputs()[0]["output_json"] == {"a": 1}
    assert db.get_recent_soc_events()[0]["payload"] == "plain text"
    assert db.get_device_statuses()[0]["status"] == "ONLINE"
    assert db.get_shrink_metrics()[0]["metrics_json"] is None
    assert db.get_layer_states()[6]["active_devices"] == [52]


def test_rows_of_ours_are_read_by_the_sqlite3_shell(db: HotPathDB, shell: str) -> None:
    assert db.insert_event("ours", 16, 3, "s", "GENERAL", "NETWORK", "LOW", {"ключ": "é"}, ts=5.0)
    assert run(shell, db.place.path, "SELECT payload FROM raw_events_fast") == '{"ключ":"é"}\n'
    assert json.loads(run(shell, db.place.path, "SELECT payload ->> '$' FROM raw_events_fast")) == {"ключ": "é"}


def test_a_file_made_by_the_documented_script_is_taken_over(settings: Settings, path: Path, shell: str) -> None:
    script = (ROOT / "scripts" / "init_hotpath_db.sql").read_text()
    path.parent.mkdir()
    run(shell, path, script)
    run(shell, path, script)
    with HotPathDB(settings=settings.replace(hotpath_db=str(path))) as db:
        assert db.initialize_schema() is True
        assert set(db.get_stats()["row_counts"]) == set(TABLES)
        ours = Store(path.with_name("ours.db"))
        ours.migrate()
        names = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name"
        plain = [(r["type"], r["name"]) for r in ours.rows(names)]
        assert [(r["type"], r["name"]) for r in db._ready().rows(names)] == plain
        ours.close()


def test_metadata_written_as_text_does_not_stop_the_layer_states(db: HotPathDB, shell: str) -> None:
    insert = (
        "INSERT INTO device_status (device_id, layer, name, status, metadata) VALUES (51, 8, 'n', 'ONLINE', 'x')"
    )
    run(shell, db.place.path, insert)
    assert db.update_device_status(52, 8, "n", "ONLINE")
    assert db.refresh_layer_states()


def test_a_store_that_lacks_what_its_ledger_says_is_damaged(tmp_path: Path) -> None:
    """Else every reader of the column would fail by itself, and the store writer over and over."""
    with Store(tmp_path / "hotpath.db") as store:
        store.migrate()
        store.connection.execute("ALTER TABLE stream_positions DROP COLUMN epoch")
    with Store(tmp_path / "hotpath.db") as store, pytest.raises(StoreDamaged, match=r"stream_positions\.epoch"):
        store.migrate()
