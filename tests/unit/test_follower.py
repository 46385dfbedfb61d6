"""Following a file through every kind of rotation, awake and asleep."""

from __future__ import annotations

import gzip
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsmil.sources import _files
from dsmil.sources import _follow as follow_module
from dsmil.sources._follow import QUIET_S, Follower, Position


class Log:
    """A log file as its writer sees it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0
        self._stamp = 1_700_000_000

    def write(self, count: int, end: str = "\n") -> None:
        with self.path.open("a") as file:
            for _ in range(count):
                file.write(f"line {self.number}{end}")
                self.number += 1
        self._stamp += 10
        os.utime(self.path, (self._stamp, self._stamp))

    def rename(self, to: str, *, create: bool = True, compress: bool = False) -> None:
        target = self.path.with_name(self.path.name + to)
        self.path.rename(target)
        if compress:
            packed = target.with_name(target.name + ".gz")
            packed.write_bytes(gzip.compress(target.read_bytes()))
            os.utime(packed, (target.stat().st_mtime, target.stat().st_mtime))
            target.unlink()
        if create:
            self.path.touch()

    def copytruncate(self, to: str) -> None:
        target = self.path.with_name(self.path.name + to)
        shutil.copy2(self.path, target)
        os.truncate(self.path, 0)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "eve.json")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += QUIET_S
        return self.now


_opened: list[Follower] = []


@pytest.fixture(autouse=True)
def _close_all() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


def follower(log: Log, position: Position | None = None) -> Follower:
    _opened.append(Follower(log.path, position, clock=Clock()))
    return _opened[-1]


def drain(reader: Follower) -> list[int]:
    """Return the numbers of all lines there are, reading until nothing comes several times in a row."""
    numbers: list[int] = []
    idle = 0
    while idle < 6:
        records = reader.read(3)
        numbers += [int(record.raw.split()[1]) for record in records]
        idle = 0 if records else idle + 1
    return numbers


def test_lines_come_once_as_they_are_written(log: Log) -> None:
    reader = follower(log)
    assert reader.waiting
    assert drain(reader) == []
    log.write(4)
    assert drain(reader) == [0, 1, 2, 3]
    log.write(2)
    assert drain(reader) == [4, 5]
    assert reader.position.line == 6
    assert reader.generation == 1


def test_a_line_waits_for_its_end(log: Log) -> None:
    log.write(1)
    log.write(1, end="")
    reader = follower(log)
    assert drain(reader) == [0]
    with log.path.open("a") as file:
        file.write("\n")
    assert drain(reader) == [1]


def test_places_name_file_and_line(log: Log) -> None:
    log.path.write_text("a 0\n\n\nb 1\n")
    records = follower(log).read(10)
    assert [record.place for record in records] == [f"{log.path}:1", f"{log.path}:4"]


@pytest.mark.parametrize("compress", [False, True])
def test_rename_while_reading(log: Log, *, compress: bool) -> None:
    log.write(3)
    reader = follower(log)
    assert drain(reader) == [0, 1, 2]
    log.write(2)
    log.rename(".1", compress=compress)
    log.write(2)
    assert drain(reader) == [3, 4, 5, 6]
    assert reader.generation == 2
    assert reader.problems == []


def test_the_writer_still_holds_the_renamed_file_for_a_moment(log: Log) -> None:
    log.write(2)
    reader = Follower(log.path, None, clock=lambda: 0.0)  # no time passes: never quiet for long enough
    _opened.append(reader)
    assert [r.raw for r in reader.read(10)] == [b"line 0", b"line 1"]
    log.rename(".1")
    assert reader.read(10) == []
    with log.path.with_name("eve.json.1").open("a") as file:
        file.write("line 2\n")
    assert [r.raw for r in reader.read(10)] == [b"line 2"]


def test_two_rotations_between_two_looks(log: Log) -> None:
    log.write(2)
    reader = follower(log)
    assert drain(reader) == [0, 1]
    log.write(1)
    log.rename("-20260101")
    log.write(2)
    log.rename("-20260102")
    log.write(2)
    assert drain(reader) == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_rename_while_nobody_reads(log: Log, times: int, *, compress: bool) -> None:
    log.write(5)
    reader = follower(log)
    read = [int(r.raw.split()[1]) for r in reader.read(3)]
    position = reader.position
    reader.close()
    for number in range(times):
        log.write(2)
        log.rename(f".{times - number}", compress=compress)
    log.write(2)
    again = follower(log, position)
    assert read + drain(again) == list(range(log.number))
    assert again.problems == []


@pytest.mark.parametrize("more", [0, 1, 50])
def test_copytruncate_while_reading(log: Log, more: int) -> None:
    """Whatever was added between the last look and the cut is in the copy."""
    log.write(6)
    reader = follower(log)
    assert len(reader.read(4)) == 4
    log.copytruncate(".1")
    log.write(more)
    assert drain(reader) == list(range(4, log.number))
    assert reader.problems == []


@pytest.mark.parametrize("more", [0, 1, 50])
def test_copytruncate_while_nobody_reads(log: Log, more: int) -> None:
    log.write(6)
    reader = follower(log)
    reader.read(4)
    position = reader.position
    log.copytruncate(".1")
    log.write(more)
    assert drain(follower(log, position)) == list(range(4, log.number))


def test_content_that_is_gone_is_told(log: Log) -> None:
    log.write(4)
    reader = follower(log)
    reader.read(2)
    position = reader.position
    log.path.unlink()
    log.write(3)
    again = follower(log, position)
    assert drain(again) == [4, 5, 6]
    assert "rotated and its old content is gone" in again.problems[0]


def test_files_that_only_look_alike_are_not_read(log: Log) -> None:
    log.write(3)
    reader = follower(log)
    reader.read(3)
    position = reader.position
    for name in ("eve.json.swp", "eve.json.bak", "eve.jsonl", "eve.json.1.tmp"):
        log.path.with_name(name).write_text("line 999\n")
    log.rename(".1")
    log.write(1)
    assert drain(follower(log, position)) == [3]


def test_a_last_line_without_end_belongs_to_a_finished_file(log: Log) -> None:
    log.write(1)
    log.write(1, end="")
    reader = follower(log)
    assert drain(reader) == [0]
    log.rename(".1")
    log.write(1)
    assert drain(reader) == [1, 2]


def test_an_over_long_line_is_cut_and_the_next_one_whole(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_module, "MAX_LINE_BYTES", 10)
    assert _files.MAX_LINE_BYTES > 10
    log.path.write_bytes(b"x" * 35 + b"\n" + b"short\n")
    first, second = follower(log).read(5)
    assert (first.raw, first.cut, second.raw, second.cut) == (b"x" * 11, 24, b"short", 0)


def test_any_history_of_writing_rotating_and_restarting_reads_each_line_once(tmp_path: Path) -> None:
    """Seeded histories: the oracle is the sequence of numbers the writer wrote."""
    for seed in range(60):
        chance = random.Random(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        log = Log(folder / "eve.json")
        log.write(1)
        reader, rotations = follower(log), 0
        numbers = [int(record.raw.split()[1]) for record in reader.read(1)]
        for _ in range(25):
            match chance.randrange(5):
                case 0 | 1:
                    log.write(chance.randrange(1, 8))
                case 2:
                    numbers += [int(r.raw.split()[1]) for r in reader.read(chance.randrange(1, 9))]
                case 3 if log.path.exists() and log.path.stat().st_size:
                    rotations += 1
                    log.rename(f"-2026{rotations:04}", compress=chance.random() < 0.3)
                case _:
                    position = reader.position
                    reader.close()
                    reader = follower(log, position)
        numbers += drain(reader)
        assert numbers == list(range(log.number)), f"seed {seed}"
        assert reader.problems == []


def test_a_file_that_cannot_be_opened_is_named_and_waited_for(log: Log) -> None:
    log.path.mkdir()
    reader = follower(log)
    assert reader.read(10) == []
    assert reader.obstacle.startswith(f"{log.path} cannot be read: Is a directory; ")
    assert not reader.waiting
    log.path.rmdir()
    assert reader.read(10) == []
    assert (reader.obstacle, reader.waiting) == ("", True)
    log.write(2)
    assert len(reader.read(10)) == 2


def test_a_place_outlasts_a_time_without_the_right_to_read(log: Log) -> None:
    log.write(3)
    reader = follower(log)
    assert len(reader.read(10)) == 3
    place = reader.position
    reader.close()
    log.write(2)
    log.path.rename(log.path.with_name("hidden"))
    log.path.mkdir()
    reader = follower(log, place)
    assert reader.read(10) == []
    assert reader.obstacle
    log.path.rmdir()
    log.path.with_name("hidden").rename(log.path)
    assert [record.raw for record in reader.read(10)] == [b"line 3", b"line 4"]
    assert (reader.problems, reader.generation, reader.obstacle) == ([], 0, "")


def test_a_reading_of_long_lines_is_bounded(log: Log) -> None:
    line = b"x" * (1024 * 1024 - 1) + b"\n"
    log.path.write_bytes(line * 40)
    reader = follower(log)
    counts = [len(reader.read(500)) for _ in range(4)]
    assert counts == [16, 16, 8, 0]
