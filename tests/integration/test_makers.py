"""A large file is made into events by several processes: in its order, with the same ids, and nothing is lost."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from dsmil.config import Secret, Settings
from dsmil.errors import BusUnavailable, DsmilError, EventInvalid, UnreadableFile
from dsmil.events.streams import StreamName
from dsmil.infrastructure.broker import Broker, bundled_binary
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services import ingest as ingest_module
from dsmil.services import publishing as publishing_module
from dsmil.services.ingest import Ingest, Tally
from dsmil.services.letters import read_letters
from dsmil.sources.suricata_eve import SuricataEve
from dsmil.testing.waiting import until

IN = StreamName.L3_IN
LINES = 5_000


@pytest.fixture(autouse=True)
def _worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use processes for small files and on one core as well."""
    monkeypatch.setattr(ingest_module, "_WORTH_BYTES", 0)
    monkeypatch.setattr(ingest_module, "_BATCH", 70)
    monkeypatch.setattr(ingest_module, "makers_here", lambda: 3)


def line(n: int) -> str:
    """Every seventh line is one that came before."""
    return json.dumps(
        {"timestamp": "2026-01-01T00:00:00+0000", "event_type": "flow", "n": 0 if n % 7 == 0 else n},
        separators=(",", ":"),
    )


def log(tmp_path: Path, lines: list[str]) -> str:
    path = tmp_path / "eve.json"
    path.write_text("".join(f"{one}\n" for one in lines))
    return str(path)


def stream(bus: RedisStreamsClient) -> list[tuple[str, str]]:
    """Return id and origin of all entries in order."""
    documents = (json.loads(fields[b"event"]) for _, fields in bus.client.xrange(IN))
    return [(one["event_id"], one["origin"]) for one in documents]


def read(settings: Settings, path: str) -> Tally:
    return Ingest(SuricataEve(), settings).run([path])


def test_the_order_and_the_ids_are_those_of_one_process(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = log(tmp_path, [line(n) for n in range(LINES)])
    tally = read(settings, path)
    many = stream(bus)
    assert (tally.records, tally.published, len(many)) == (LINES, LINES, LINES)
    assert [int(origin.rpartition(":")[2]) for _, origin in many] == [*range(1, LINES + 1)]
    assert len({event_id for event_id, _ in many}) == LINES
    bus.client.delete(IN)
    monkeypatch.setattr(ingest_module, "makers_here", lambda: 1)
    read(settings, path)
    assert stream(bus) == many


def test_bad_lines_are_dead_letters_and_told_in_their_order(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path
) -> None:
    lines = [line(n) if n % 100 else f"bad {n}" for n in range(LINES)]
    path = log(tmp_path, lines)
    with Path(path).open("a") as file:
        file.write('{"event_type": "fl')
    tally = read(settings, path)
    assert (tally.records, tally.published, tally.dead, tally.partial) == (LINES + 1, LINES - 50, 50, 1)
    told = [problem.split(": ")[0] for problem in tally.problems]
    assert told == [f"{path}:{n * 100 + 1}" for n in range(10)]
    letters, _ = read_letters(settings, 100)
    assert {letter.source for letter in letters} == {f"{path}:{n * 100 + 1}" for n in range(50)}
    assert bus.client.xlen(IN) == LINES - 50


def test_a_maker_that_dies_ends_the_reading_and_a_second_one_has_all(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = log(tmp_path, [line(n) for n in range(LINES)])
    real = SuricataEve.parse

    def deadly(self: SuricataEve, record: dict[str, Any]) -> Any:
        if record["n"] == 3001:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, record)

    monkeypatch.setattr(SuricataEve, "parse", deadly)
    with pytest.raises(DsmilError, match="has died; read the files again"):
        read(settings, path)
    assert not multiprocessing.active_children()
    assert [origin for _, origin in stream(bus)] == [f"{path}:{n}" for n in range(1, len(stream(bus)) + 1)]
    assert len(stream(bus)) < 3001
    monkeypatch.undo()
    read(settings, path)
    assert len({event_id for event_id, _ in stream(bus)}) == LINES


def test_a_bug_of_a_feed_is_told_as_it_is(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: SuricataEve, record: dict[str, Any]) -> Any:
        raise ZeroDivisionError(f"at {record['n']}")

    monkeypatch.setattr(SuricataEve, "parse", broken)
    with pytest.raises(ZeroDivisionError, match="at 0"):
        read(settings, log(tmp_path, [line(n) for n in range(LINES)]))
    assert not multiprocessing.active_children()
    assert bus.client.xlen(IN) == 0


def test_a_broker_that_goes_away_ends_the_reading_with_that_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing_module, "_PATIENCE_S", 0.0)
    path = log(tmp_path, [line(n) for n in range(LINES)])
    broker = Broker(bundled_binary(), tmp_path / "state")
    broker.start()
    settings = Settings(redis_url=Secret(broker.url), state_dir=tmp_path / "state")
    killed = False

    def progress(_done: int, published: int) -> None:
        nonlocal killed
        if published and not killed:
            os.kill(broker.pid or 0, signal.SIGKILL)
            killed = True

    try:
        with pytest.raises(BusUnavailable):
            Ingest(SuricataEve(), settings).run([path], progress)
        assert not multiprocessing.active_children()
        broker.stop()
        broker.start()
        assert read(settings, path).published == LINES
        with RedisStreamsClient(settings=settings) as bus:
            assert len({event_id for event_id, _ in stream(bus)}) == LINES
    finally:
        broker.stop()


def test_whoever_interrupts_the_reading_ends_all_of_it(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path
) -> None:
    def interrupt(_done: int, published: int) -> None:
        if published:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Ingest(SuricataEve(), settings).run([log(tmp_path, [line(n) for n in range(LINES)])], interrupt)
    until(lambda: not multiprocessing.active_children(), 5, "the end of the makers")
    assert bus.client.xlen(IN) < LINES


@pytest.mark.parametrize("makers", [1, 3])
def test_what_was_read_before_a_file_that_is_not_there_is_published(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, makers: int
) -> None:
    monkeypatch.setattr(ingest_module, "makers_here", lambda: makers)
    path = log(tmp_path, [line(n) for n in range(LINES)])
    with pytest.raises(UnreadableFile, match=r"missing\.json cannot be read"):
        Ingest(SuricataEve(), settings).run([path, str(tmp_path / "missing.json")])
    assert bus.client.xlen(IN) == LINES


@pytest.mark.timeout(60)
def test_a_word_larger_than_its_pipe_stops_nobody(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: SuricataEve, __: dict[str, Any]) -> Any:
        raise ValueError("x" * 300_000)

    path = log(tmp_path, [line(n) for n in range(LINES)])
    real = SuricataEve.parse
    monkeypatch.setattr(SuricataEve, "parse", broken)
    with pytest.raises(ValueError, match="xxx"):
        read(settings, path)
    monkeypatch.setattr(publishing_module, "_MOST_SAID", 300_000)

    def refused(self: SuricataEve, record: dict[str, Any]) -> Any:
        if record["n"] < 30:
            raise EventInvalid("bad_time", "x" * 100_000)
        return real(self, record)

    monkeypatch.setattr(SuricataEve, "parse", refused)
    bus.client.delete(IN)
    tally = read(settings, path)
    assert tally.dead + tally.published == LINES
    assert bus.client.xlen(IN) == tally.published > 4_000


def test_an_error_that_looks_like_a_closed_pipe_is_an_error(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = SuricataEve.parse

    def broken(self: SuricataEve, record: dict[str, Any]) -> Any:
        if record["n"] == LINES - 1:
            raise BrokenPipeError
        return real(self, record)

    monkeypatch.setattr(SuricataEve, "parse", broken)
    with pytest.raises(BrokenPipeError):
        read(settings, log(tmp_path, [line(n) for n in range(LINES)]))
    assert bus.client.xlen(IN) < LINES


class OddError(Exception):
    """One that cannot be made again from its text."""

    def __init__(self, one: int, _other: int) -> None:
        super().__init__(f"odd {one}")


def test_an_error_that_cannot_be_sent_is_told_in_words(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: SuricataEve, record: dict[str, Any]) -> Any:
        raise OddError(record["n"], 2)

    monkeypatch.setattr(SuricataEve, "parse", broken)
    with pytest.raises(DsmilError, match="OddError: odd 0"):
        read(settings, log(tmp_path, [line(n) for n in range(LINES)]))


def test_without_room_for_processes_one_reads_alone(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forks: list[int] = []
    real = os.fork

    def fork() -> int:
        forks.append(1)
        if len(forks) == 2:
            raise BlockingIOError("no room")
        return real()

    monkeypatch.setattr(os, "fork", fork)
    assert read(settings, log(tmp_path, [line(n) for n in range(LINES)])).published == LINES
    assert len(forks) == 2
    assert not multiprocessing.active_children()
    assert bus.client.xlen(IN) == LINES


@pytest.mark.parametrize("makers", [1, 3])
def test_a_name_that_is_no_text_is_written_as_far_as_it_is(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, makers: int
) -> None:
    monkeypatch.setattr(ingest_module, "makers_here", lambda: makers)
    path = os.fsdecode(os.fsencode(tmp_path) + b"/eve-\xff.json")
    Path(log(tmp_path, [line(n) for n in range(100)])).rename(path)
    assert read(settings, path).published == 100
    assert stream(bus)[0][1] == f"{tmp_path}/eve-\ufffd.json:1"


def test_a_pipe_is_read_by_one_process(settings: Settings) -> None:
    reading = Ingest(SuricataEve(), settings)
    assert isinstance(reading._makers(["-"]), publishing_module.Publishing)
