"""The documented readers of the hot store: lists of dictionaries, newest first, JSON decoded."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from dsmil.config import Settings
from dsmil.errors import StoreUnavailable
from dsmil.infrastructure.hotpath_db import TABLES, HotPathConfig, HotPathDB


def add(db: HotPathDB, event_id: str, *, ts: float, layer: int = 3, severity: str = "LOW") -> None:
    assert db.insert_event(event_id, 16, layer, "s", "GENERAL", "NETWORK", severity, {"n": ts}, ts=ts)


def ids(rows: list[dict[str, Any]], name: str = "event_id") -> list[str]:
    return [row[name] for row in rows]


@pytest.fixture
def filled(db: HotPathDB) -> HotPathDB:
    add(db, "c", ts=3, layer=3, severity="HIGH")
    add(db, "a", ts=1, layer=3, severity="LOW")
    add(db, "d", ts=4, layer=4, severity="HIGH")
    add(db, "b", ts=2, layer=3, severity="HIGH")
    return db


def test_all_of_them_newest_first(filled: HotPathDB) -> None:
    assert ids(filled.get_recent_events()) == ["d", "c", "b", "a"]
    assert ids(filled.get_recent_events(limit=2)) == ["d", "c"]
    assert filled.get_recent_events(limit=0) == []


def test_those_of_a_layer(filled: HotPathDB) -> None:
    assert ids(filled.get_recent_events(layer=3)) == ["c", "b", "a"]
    assert ids(filled.get_recent_events(layer=3, limit=1)) == ["c"]
    assert filled.get_recent_events(layer=9) == []


def test_those_of_a_severity_in_any_accepted_spelling(filled: HotPathDB) -> None:
    assert ids(filled.get_recent_events(severity="HIGH")) == ["d", "c", "b"]
    assert ids(filled.get_recent_events(severity="high", limit=2)) == ["d", "c"]
    assert ids(filled.get_recent_events(severity="INFO")) == ["a"]


def test_those_of_a_layer_and_a_severity(filled: HotPathDB) -> None:
    assert ids(filled.get_recent_events(layer=3, severity="HIGH", limit=10)) == ["c", "b"]
    assert ids(filled.get_recent_events(3, "HIGH", 1)) == ["c"]
    assert filled.get_recent_events(layer=4, severity="LOW") == []


def test_a_limit_below_zero_means_the_same_with_every_filter(filled: HotPathDB) -> None:
    assert len(filled.get_recent_events(limit=-1)) == 4
    assert len(filled.get_recent_events(layer=3, limit=-1)) == 3


def test_a_severity_is_found_in_whatever_layer_was_accepted(db: HotPathDB) -> None:
    if db.insert_event("e", 16, 12, "s", "GENERAL", "NETWORK", "HIGH", {}):
        assert ids(db.get_recent_events(severity="HIGH")) == ["e"]


def test_soc_events_newest_first_and_by_severity(db: HotPathDB) -> None:
    for n, severity in enumerate(("LOW", "CRITICAL", "CRITICAL")):
        assert db.insert_soc_event(f"s-{n}", severity, "SOC", 52, 8, {}, ts=float(n))
    assert ids(db.get_recent_soc_events()) == ["s-2", "s-1", "s-0"]
    assert ids(db.get_recent_soc_events(limit=1)) == ["s-2"]
    assert ids(db.get_recent_soc_events(severity="critical")) == ["s-2", "s-1"]
    assert db.get_recent_soc_events(severity="HIGH") == []


def test_readings_and_model_outputs_newest_first(db: HotPathDB) -> None:
    for n in (2, 1, 3):
        assert db.insert_shrink_metrics({"entropy": n / 10}, ts=float(n))
        assert db.insert_model_output(f"o-{n}", 47, 7, "m", {}, ts=float(n))
    assert [row["entropy"] for row in db.get_shrink_metrics(limit=2)] == [0.3, 0.2]
    assert ids(db.get_model_outputs(limit=2), "output_id") == ["o-3", "o-2"]


def test_one_event_by_its_id(filled: HotPathDB) -> None:
    assert filled.insert_soc_event("c", "HIGH", "SOC", 52, 8, {"soc": 1})
    found = filled.get_event("c")
    assert found["raw"] is not None
    assert found["soc"] is not None
    assert (found["raw"]["payload"], found["soc"]["payload"]) == ({"n": 3}, {"soc": 1})
    assert filled.get_event("nobody") == {"raw": None, "soc": None}


def test_devices_in_order_of_their_number(db: HotPathDB) -> None:
    for number in (52, 5, 16):
        assert db.update_device_status(number, 3, "n", "ONLINE")
    assert [row["device_id"] for row in db.get_device_statuses()] == [5, 16, 52]


def test_the_layers_are_there_from_the_start_with_the_documented_budgets(db: HotPathDB) -> None:
    found = db.get_layer_states()
    assert [row["layer"] for row in found] == list(range(2, 10))
    assert [row["tops_available"] for row in found] == [102, 50, 65, 105, 160, 440, 80, 200]
    assert all(row["active_devices"] == [] and row["event_count"] == 0 for row in found)


def test_statistics(filled: HotPathDB) -> None:
    stats = filled.get_stats()
    assert stats["row_counts"] == dict.fromkeys(TABLES, 0) | {"raw_events_fast": 4, "layer_state": 8}
    assert stats["path"] == str(filled.place.path)
    assert stats["db_size_bytes"] >= stats["used_bytes"] > 0
    assert filled.get_positions() == []


def test_readers_and_writers_may_share_it_between_threads(db: HotPathDB) -> None:
    def work(name: str) -> None:
        for n in range(50):
            add(db, f"{name}-{n}", ts=float(n))
            db.get_recent_events(limit=5)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert db.get_stats()["row_counts"]["raw_events_fast"] == 200


def test_two_clients_see_each_other_s_rows(db: HotPathDB, settings: Settings) -> None:
    with HotPathDB(settings=settings) as other:
        add(db, "mine", ts=1)
        add(other, "theirs", ts=2)
        assert ids(db.get_recent_events()) == ids(other.get_recent_events()) == ["theirs", "mine"]


def test_the_documented_configuration_names_the_file(tmp_path: Path) -> None:
    config = HotPathConfig(db_path=tmp_path / "x" / "y.db", fallback_path=str(tmp_path / "z.db"))
    with HotPathDB(config) as db:
        assert db.connect() is True
        assert db.initialize_schema() is True
        assert db.place.path == tmp_path / "x" / "y.db"
        add(db, "e", ts=1)
    assert (tmp_path / "x" / "y.db").stat().st_mode & 0o007 == 0


def test_calls_work_without_connecting_and_after_disconnecting(settings: Settings) -> None:
    db = HotPathDB(settings=settings)
    add(db, "e", ts=1)
    db.disconnect()
    db.disconnect()
    assert ids(db.get_recent_events()) == ["e"]
    db.disconnect()


def test_a_place_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    db = HotPathDB(HotPathConfig(db_path=tmp_path / "file" / "hotpath.db"))
    assert db.connect() is False
    assert db.initialize_schema() is False
    assert db.insert_shrink_metrics({}) is False
    with pytest.raises(StoreUnavailable):
        db.get_recent_events()
