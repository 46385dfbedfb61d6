"""The doctor on the store's file and on room: boundaries of each check."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.doctor_facts import GB, HOST, MB, NOW, OURS, STORE, facts, only, run, worst

from dsmil.doctor.facts import Facts, Table
from dsmil.doctor.look_store import first_since

FILE = STORE.file


def test_all_well_has_no_trouble() -> None:
    for family in ("store", "capacity"):
        assert {f.severity for f in run(family, facts())} == {"ok"}


@pytest.mark.parametrize(
    ("changes", "name", "expected"),
    [
        ({"sqlite_ok": False}, "library", "error"),
        ({"degraded": True}, "place", "warning"),
        ({"exists": False}, "place", "warning"),
        ({"file": msgspec.structs.replace(FILE, mode=0o644)}, "access", "warning"),
        ({"file": msgspec.structs.replace(FILE, uid=0)}, "access", "warning"),
        ({"folder": msgspec.structs.replace(OURS, mode=0o770)}, "access", "ok"),
        ({"folder": msgspec.structs.replace(OURS, mode=0o755)}, "access", "info"),
        ({"folder": msgspec.structs.replace(OURS, mode=0o777)}, "access", "warning"),
        ({"folder": msgspec.structs.replace(OURS, mode=0o1777)}, "access", "info"),
        ({"schema": 2}, "schema", "error"),
        ({"schema": 0}, "schema", "info"),
        ({"quick_check": "row 3 missing from index"}, "sound", "error"),
        ({"quick_check": ""}, "sound", "info"),
        ({"error": "not a database"}, "sound", "error"),
        ({"wal_bytes": 256 * MB}, "log", "ok"),
        ({"wal_bytes": 256 * MB + 1}, "log", "warning"),
    ],
)
def test_store(changes: dict[str, Any], name: str, expected: str) -> None:
    assert worst("store", name, facts("store", **changes)) == expected


def test_only_the_mode_of_our_own_file_is_mended() -> None:
    assert (
        only("store", "access", facts("store", file=msgspec.structs.replace(FILE, mode=0o600))).fix == "store-mode"
    )
    foreign = msgspec.structs.replace(FILE, mode=0o600, uid=0)
    assert only("store", "access", facts("store", file=foreign)).fix == ""


def test_no_store_is_no_fault_while_nothing_runs() -> None:
    still = msgspec.structs.replace(
        facts("store", exists=False), instance=facts("instance", running=False).instance
    )
    assert worst("store", "place", still) == "info"
    assert [f.check for f in run("capacity", still)] == ["capacity.memory", "capacity.disk"]


@pytest.mark.parametrize(
    ("total", "free", "expected"),
    [
        (16 * GB, int(0.05 * 16 * GB) + 1, "ok"),
        (16 * GB, int(0.05 * 16 * GB) - 1, "warning"),
        (GB, 256 * MB, "ok"),
        (GB, 256 * MB - 1, "warning"),
        (None, None, "info"),
    ],
)
def test_memory_of_the_host(total: int | None, free: int | None, expected: str) -> None:
    assert worst("capacity", "memory", facts("host", memory_total=total, memory_free=free)) == expected


@pytest.mark.parametrize(
    ("free", "used", "mode", "expected"),
    [
        (512 * MB, 0, "bundled", "ok"),
        (512 * MB - 1, 0, "bundled", "warning"),
        (64 * MB, 0, "bundled", "warning"),
        (64 * MB - 1, 0, "bundled", "error"),
        (2 * GB, GB, "bundled", "ok"),
        (2 * GB - 1, GB, "bundled", "warning"),
        (2 * GB - 1, GB, "given", "ok"),
    ],
)
def test_disk(free: int, used: int, mode: str, expected: str) -> None:
    given = facts("broker", used_memory=used, mode=mode)
    given = msgspec.structs.replace(given, instance=facts("instance", fs_free=free).instance)
    assert worst("capacity", "disk", given) == expected


@pytest.mark.parametrize(
    ("changes", "memory", "expected"),
    [
        ({"fs_free": GB - 10 * MB}, 8 * GB, "ok"),
        ({"fs_free": GB - 10 * MB - 1}, 8 * GB, "warning"),
        ({"used_bytes": int(1.05 * GB)}, 8 * GB, "ok"),
        ({"used_bytes": int(1.05 * GB) + 2}, 8 * GB, "warning"),
        ({}, 500 * MB, "warning"),
        ({"on_tmpfs": False}, 500 * MB, "ok"),
        ({"fs_free": None}, 8 * GB, "ok"),
    ],
)
def test_room(changes: dict[str, Any], memory: int, expected: str) -> None:
    given = msgspec.structs.replace(
        facts("store", **changes), host=msgspec.structs.replace(HOST, memory_free=memory)
    )
    assert worst("capacity", "room", given) == expected


def loaded(rows: int, recent: int, used: int, budget: int = GB) -> Facts:
    raw = Table(name="raw_events_fast", rows=rows, keep_s=86_400, oldest=NOW - 700, newest=NOW, recent=recent)
    return facts("store", tables=(raw,), used_bytes=used, budget_bytes=budget, window_s=600.0)


def test_how_long_the_store_lasts() -> None:
    # 10 rows/s of 1,000 bytes: a day takes 864 MB, and a budget of 360 MB lasts 10 h.
    assert worst("capacity", "rate", loaded(10_000, 6000, 10_000_000, 864_000_000)) == "ok"
    found = only("capacity", "rate", loaded(10_000, 6000, 10_000_000, 360_000_000))
    assert found.severity == "warning"
    assert "10.0 rows/s in the last 10 min, 1000 bytes each" in found.evidence
    assert "full after 10 h" in found.evidence


def test_the_first_file_read_says_nothing_about_every_day() -> None:
    young = loaded(10_000, 6000, 10_000_000, 360_000_000)
    young = msgspec.structs.replace(young, store=msgspec.structs.replace(young.store, window_s=599.0))
    assert worst("capacity", "rate", young) == "info"


def test_too_few_rows_and_a_quiet_store_say_nothing_of_the_rate() -> None:
    assert worst("capacity", "rate", loaded(999, 999, GB)) == "ok"
    assert worst("capacity", "rate", loaded(10_000, 0, GB)) == "ok"


@pytest.mark.parametrize(("late", "expected"), [(600.0, "ok"), (600.1, "warning")])
def test_retention(late: float, expected: str) -> None:
    old = Table(name="soc_events_cache", rows=1, keep_s=604_800, oldest=NOW - 604_800 - late, newest=NOW)
    assert worst("capacity", "retention", facts("store", tables=(old,))) == expected


@pytest.mark.parametrize("since", [0.0, 1.0, 4.5, 5.0, 99.0, 100.0])
def test_search_by_halves_finds_the_first_row_of_the_window(since: float) -> None:
    times = {at: float(at) for at in range(1, 101) if at % 3}

    def arrival(at: int) -> float:
        return times[min(row for row in times if row >= at)]

    found = first_since(1, 100, since, arrival)
    assert [row for row in times if row >= found] == [row for row in times if times[row] >= since]
