"""A schema step of a version to come, on a store of a release: once, whole, or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.migrating import next_steps
from tests.integration.recorded_release import FOLDER, Release, release, rows

from dsmil.errors import StoreTooNew, StoreUnavailable
from dsmil.infrastructure.sql import read_steps, schema_steps
from dsmil.infrastructure.store import LEDGER, Store
from dsmil.testing.waiting import until

__all__ = ["release"]

NEXT = FOLDER / "next-steps"
SCHEMA = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name"
HERE = Path(__file__).parent


@pytest.fixture
def path(release: Release, tmp_path: Path) -> Path:
    """Return a recorded store that this version has brought up to date."""
    restored = release.restore("hotpath", tmp_path / "hotpath.db")
    with Store(restored) as store:
        assert store.migrate() == [name for number, name, _ in schema_steps() if number > 1]
    return restored


@contextmanager
def migrating(path: Path, how: str, folder: Path = NEXT) -> Iterator[subprocess.Popen[str]]:
    """Run another process that brings the store up to date; it has said "ready" already."""
    process = subprocess.Popen(
        [sys.executable, HERE / "migrating.py", path, folder, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert heard(process) == "ready"
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def let_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def schema(path: Path) -> list[tuple[str, str, str]]:
    store = Store(path, read_only=True)
    found = [(row["type"], row["name"], row["sql"]) for row in store.rows(SCHEMA)]
    store.close()
    return found


def test_a_folder_of_steps_is_read_in_order(tmp_path: Path) -> None:
    for name in ("0010_later.sql", "0002_sooner.sql", "notes.txt"):
        (tmp_path / name).write_text(f"-- {name}")
    assert read_steps(tmp_path) == (
        (2, "0002_sooner.sql", "-- 0002_sooner.sql"),
        (10, "0010_later.sql", "-- 0010_later.sql"),
    )


def test_a_step_is_applied_once_and_keeps_what_was_there(path: Path) -> None:
    before = rows(path, "soc_events_cache")
    store = Store(path)
    store.connection.create_scalar_function("half_way", lambda *_: 1, 0)
    assert store.migrate(next_steps(NEXT)) == ["9001_marks.sql"]
    assert store.migrate(next_steps(NEXT)) == []
    store.close()
    again = Store(path)
    assert again.migrate(next_steps(NEXT)) == []
    again.close()
    assert rows(path, "soc_events_cache") == [row | {"marked": 1} for row in before]
    assert [row["mark"] for row in rows(path, "marks")] == ["first", "second"]
    assert [row["step"] for row in rows(path, LEDGER)] == [*(n for n, _, _ in schema_steps()), 9001]


def test_this_version_refuses_it_then_and_leaves_it_alone(path: Path) -> None:
    store = Store(path)
    store.connection.create_scalar_function("half_way", lambda *_: 1, 0)
    store.migrate(next_steps(NEXT))
    before = (schema(path), path.read_bytes())
    with pytest.raises(StoreTooNew, match=r"has schema step 9001, this version knows \d+; use the version that"):
        store.migrate()
    assert (schema(path), path.read_bytes()) == before
    store.close()


def test_a_step_that_fails_half_way_is_rolled_back_whole(path: Path) -> None:
    before = (schema(path), rows(path, "soc_events_cache"), rows(path, LEDGER))
    store = Store(path)

    def half_way(*_: object) -> int:
        raise RuntimeError("the disk is on fire")

    store.connection.create_scalar_function("half_way", half_way, 0)
    with pytest.raises((StoreUnavailable, RuntimeError)):
        store.migrate(next_steps(NEXT))
    assert not store.migrated
    assert store.migrate() == [], "what this version knows goes on working"
    store.close()
    assert (schema(path), rows(path, "soc_events_cache"), rows(path, LEDGER)) == before


def test_a_process_killed_half_way_leaves_the_store_as_it_was(path: Path) -> None:
    before = (schema(path), rows(path, "soc_events_cache"), rows(path, LEDGER))
    with migrating(path, "hold") as process:
        assert heard(process) == "half way"
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(20) == -signal.SIGKILL
    assert (schema(path), rows(path, "soc_events_cache"), rows(path, LEDGER)) == before
    store = Store(path)
    assert store.rows("PRAGMA quick_check") == [{"quick_check": "ok"}]
    store.connection.create_scalar_function("half_way", lambda *_: 1, 0)
    assert store.migrate(next_steps(NEXT)) == ["9001_marks.sql"], "and the next start does it"
    store.close()


def test_one_that_comes_while_another_is_half_way_waits_and_does_nothing(path: Path) -> None:
    with migrating(path, "hold") as first, migrating(path, "through") as second:
        assert heard(first) == "half way"
        let_on(second)
        assert second.poll() is None
        assert "marks" not in [name for _, name, _ in schema(path)], "nobody sees the half of it"
        let_on(first)
        assert (heard(first), heard(second)) == ("applied 1", "applied 0")
    assert [row["mark"] for row in rows(path, "marks")] == ["first", "second"]


def test_one_that_looked_before_another_finished_does_nothing(path: Path) -> None:
    """The look at the ledger is without a lock; the step itself looks again under its lock."""
    store = Store(path)
    looked = _BetweenLookAndLock(store, path)
    store.connection.exec_trace = looked
    store.connection.create_scalar_function("half_way", lambda *_: 1, 0)
    assert store.migrate(next_steps(NEXT)) == []
    assert looked.other == ["9001_marks.sql"]
    store.close()
    assert [row["mark"] for row in rows(path, "marks")] == ["first", "second"]


class _BetweenLookAndLock:
    """Has another connection apply the steps at the moment between our look and our lock."""

    def __init__(self, store: Store, path: Path) -> None:
        self.store, self.path = store, path
        self.other: list[str] = []
        self._begun = 0

    def __call__(self, _cursor: object, sql: str, _bindings: object) -> bool:
        self._begun += sql.startswith("BEGIN")
        if self._begun == 2 and not self.other:  # the first one prepares the ledger
            other = Store(self.path)
            other.connection.create_scalar_function("half_way", lambda *_: 1, 0)
            self.other = other.migrate(next_steps(NEXT))
            other.close()
        return True


def test_many_processes_at_once_apply_it_once(path: Path) -> None:
    many = [migrating(path, "through") for _ in range(6)]
    processes = [one.__enter__() for one in many]
    try:
        for process in processes:
            let_on(process)
        assert sorted(heard(process) for process in processes) == [*["applied 0"] * 5, "applied 1"]
        until(lambda: all(process.poll() == 0 for process in processes))
    finally:
        for one in many:
            one.__exit__(None, None, None)
    assert [row["mark"] for row in rows(path, "marks")] == ["first", "second"]
    assert len(rows(path, LEDGER)) == len(schema_steps()) + 1
