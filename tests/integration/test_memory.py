"""Memory across restarts: killed at each step, and the outputs are those of a run that was never interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.remembering import LINK_BYTES, STEPS, Chain, chained, feed, links, said

from dsmil.config import Settings
from dsmil.errors import MemoryUnavailable
from dsmil.events.streams import DEAD_LETTERS, StreamName
from dsmil.infrastructure.entries import Entry
from dsmil.infrastructure.groups import EPOCH_KEY, ledger_key
from dsmil.infrastructure.memory_file import Kept, MemoryFile, Place
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services import remembering as remembering_module
from dsmil.services import runner as runner_module
from dsmil.services.in_order import InOrder
from dsmil.services.runner import Runner
from dsmil.testing.factories import make_event
from dsmil.testing.running import Running
from dsmil.testing.waiting import until

ROOT = Path(__file__).resolve().parents[2]
BOTH = Chain.reads


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "pause", lambda *_: 0.01)
    monkeypatch.setattr(remembering_module, "KEEP_EVERY_S", 0.0)


class Crew:
    """Runs the chain in processes of its own."""

    def __init__(self, settings: Settings) -> None:
        self._environment = os.environ | {
            "REDIS_URL": str(settings.redis_url),
            "DSMIL_STATE_DIR": str(settings.state_dir),
            "PYTHONPATH": str(ROOT),
        }

    def start(self, step: str = "", times: int = 0) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.integration.remembering", step, str(times)]
        return subprocess.Popen(command, env=self._environment, cwd=ROOT, stderr=subprocess.DEVNULL)


@pytest.fixture
def crew(settings: Settings) -> Crew:
    return Crew(settings)


def end(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(20)


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_each_step_the_outputs_are_the_same(bus: RedisStreamsClient, crew: Crew, step: str) -> None:
    feed(bus, 40)
    for times in (1, 3):
        process = crew.start(step, times)
        feed(bus, 10)
        wanted = len(chained(bus))
        until(
            lambda p=process, n=wanted: p.poll() is not None or len(said(bus)) >= n,  # type: ignore[misc]
            what=f"death at {step} or the end of work",
        )
        end(process)
    last = crew.start()
    feed(bus, 10)
    try:
        until(lambda: len(said(bus)) >= len(chained(bus)), what="all outputs")
    finally:
        assert end(last) == 0
    assert said(bus) == chained(bus)


def test_each_step_is_one_at_which_the_process_dies(bus: RedisStreamsClient, crew: Crew) -> None:
    """Or the test above would show nothing."""
    feed(bus, 40)
    codes = {}
    for step in STEPS:  # something is in hand after the first
        process = crew.start(step, 1)
        feed(bus, 10)
        until(lambda p=process: p.poll() is not None or len(said(bus)) == len(chained(bus)))  # type: ignore[misc]
        codes[step] = end(process)
    assert codes == dict.fromkeys(STEPS, -signal.SIGKILL)


@pytest.fixture
def run(bus: RedisStreamsClient, settings: Settings) -> Callable[[], Chain]:
    """Return a function that runs the chain until all is said, and returns its handler."""

    def once() -> Chain:
        handler = Chain()
        runner = Runner(handler, settings)
        with Running(runner):
            until(lambda: len(said(bus)) >= len(chained(bus)) and not runner.vitals().checks["memory"])
        return handler

    return once


def test_a_clean_restart_goes_on_without_reading_again(
    bus: RedisStreamsClient, settings: Settings, run: Any
) -> None:
    feed(bus, 5)
    before = run()
    kept = _kept(settings)
    assert kept.places["L3_OUT"] == Place(_last(bus, StreamName.L3_OUT), bus.client.xlen("L3_OUT"))
    bus.client.xtrim("L3_OUT", maxlen=0, approximate=False)
    bus.client.xtrim("L4_IN", maxlen=0, approximate=False)
    handler = run_until_ready(settings)
    assert handler.digest == before.digest, "from the file alone"


def run_until_ready(settings: Settings) -> Chain:
    handler = Chain()
    runner = Runner(handler, settings)
    with Running(runner):
        until(lambda: not any(runner.vitals().checks.values()))
    return handler


def _last(bus: RedisStreamsClient, stream: StreamName) -> str:
    return bus.last_id(stream)


def _kept(settings: Settings) -> Kept:
    file = MemoryFile(settings.state_dir, Chain.name)
    try:
        kept, why = file.load()
        assert kept is not None, why
        return kept
    finally:
        file.close()


@pytest.mark.parametrize(
    "harm",
    [
        lambda path, _: path.unlink(),
        lambda path, _: path.write_bytes(path.read_bytes()[:-1]),
        lambda path, _: path.write_bytes(b""),
        lambda path, _: path.write_bytes(path.read_bytes().replace(b"memory 1", b"memory 9")),
        lambda _, bus: bus.client.set(EPOCH_KEY, "another"),
    ],
    ids=["gone", "cut", "empty", "of another version", "of other data"],
)
def test_memory_that_cannot_be_used_is_made_again_from_the_streams(
    bus: RedisStreamsClient, settings: Settings, run: Any, harm: Any
) -> None:
    feed(bus, 8)
    run()
    harm(settings.state_dir / "memory" / "l4-chain.memory", bus)
    feed(bus, 4)
    run()
    assert said(bus) == chained(bus)


def test_a_flush_begins_anew(bus: RedisStreamsClient, run: Any) -> None:
    feed(bus, 4)
    run()
    bus.client.flushall()
    feed(bus, 4)
    run()
    assert said(bus) == chained(bus)


def test_data_that_the_broker_lost_is_forgotten_too(bus: RedisStreamsClient, settings: Settings, run: Any) -> None:
    """A broker killed before it wrote gives the last second again; what we remember of it must not count twice."""
    feed(bus, 4)
    run()
    file = MemoryFile(settings.state_dir, Chain.name)
    kept, _ = file.load()
    assert kept is not None
    ahead = {name: Place("9" * 13 + "-0", place.read + 1) for name, place in kept.places.items()}
    file.save(Kept(epoch=kept.epoch, places=ahead, memory=b"x" * LINK_BYTES))
    file.close()
    feed(bus, 4)
    run()
    assert said(bus) == chained(bus)


def test_what_was_trimmed_before_it_was_remembered_is_told(
    bus: RedisStreamsClient, settings: Settings, run: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    feed(bus, 2)
    run()
    before = (settings.state_dir / "memory" / "l4-chain.memory").read_bytes()
    feed(bus, 12)
    run()
    (settings.state_dir / "memory" / "l4-chain.memory").write_bytes(before)
    length = bus.client.xlen("L3_OUT")
    bus.client.xtrim("L3_OUT", maxlen=length - 5, approximate=False)
    capfd.readouterr()
    run_until_ready(settings)
    told = [line for line in capfd.readouterr().err.splitlines() if "memory.gap" in line]
    assert len(told) == 1
    assert "L3_OUT" in told[0]
    assert "4" in told[0], "five are gone, the first of them was remembered"


def test_poison_is_set_aside_and_does_not_come_back_at_a_start(
    bus: RedisStreamsClient, settings: Settings, run: Any
) -> None:
    bus.publish_many(BOTH[0], [make_event(), make_event({"do": "raise"}), make_event()])
    with Running(Runner(Chain(), settings)):
        until(lambda: bus.client.xlen(DEAD_LETTERS) == 1)
    feed(bus, 2)
    run()
    assert said(bus) == chained(bus)


def test_an_entry_that_kills_the_process_is_not_handled_again_when_catching_up(
    bus: RedisStreamsClient, crew: Crew
) -> None:
    bus.publish_many(BOTH[0], [make_event(), make_event({"do": "kill"}), make_event()])
    deaths = 0
    while bus.client.xlen(DEAD_LETTERS) == 0:
        process = crew.start()
        until(lambda p=process: p.poll() is not None or bus.client.xlen(DEAD_LETTERS))  # type: ignore[misc]
        if bus.client.xlen(DEAD_LETTERS):
            until(lambda: len(said(bus)) == 2)
            process.kill()
            process.wait(10)
        deaths += 1
        assert deaths < 10
    feed(bus, 2)
    process = crew.start()
    until(lambda: len(said(bus)) >= len(chained(bus)))
    assert end(process) == 0
    assert said(bus) == chained(bus)


def test_two_processes_at_once_are_refused(bus: RedisStreamsClient, settings: Settings) -> None:
    feed(bus, 2)
    with Running(Runner(Chain(), settings)) as first:
        until(lambda: not any(first.part.vitals().checks.values()))
        second = Runner(Chain(), settings)
        with Running(second):
            until(lambda: "another process runs l4-chain" in second.vitals().checks["broker"])
            feed(bus, 2)
            until(lambda: len(said(bus)) == len(chained(bus)))
    assert said(bus) == chained(bus)
    held = MemoryFile(settings.state_dir, "x")
    with pytest.raises(MemoryUnavailable, match="end one"):
        MemoryFile(settings.state_dir, "x")
    held.close()


def test_a_second_reader_on_another_host_is_noticed(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path
) -> None:
    first = Runner(Chain(), settings)
    second = Runner(Chain(), settings.replace(state_dir=tmp_path / "other"))
    with Running(first), Running(second):
        until(lambda: not any(first.vitals().checks.values()) and not any(second.vitals().checks.values()))

        def noticed() -> bool:
            feed(bus, 2)
            return any("another process reads" in one.vitals().checks["memory"] for one in (first, second))

        until(noticed)


def test_a_cut_line_does_not_count_anything_twice(bus: RedisStreamsClient, settings: Settings) -> None:
    with Running(Runner(Chain(), settings)):
        for _ in range(10):
            feed(bus, 6)
            bus.client.client_kill_filter(_type="normal", skipme=True)
        until(lambda: len(said(bus)) >= len(chained(bus)))
    assert said(bus) == chained(bus)
    settled = bus.client.hgetall(ledger_key("L3_OUT", Chain.name))
    assert int(settled[b"published"]) == bus.client.xlen("L3_OUT")


class Recalling(Chain):
    """Counts how often it was given a memory."""

    def __init__(self) -> None:
        super().__init__()
        self.recalled = 0

    def recall(self, memory: bytes) -> None:
        self.recalled += 1
        super().recall(memory)


def test_a_lost_line_costs_no_catching_up(
    bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that stops for seconds again and again must not make it read everything anew each time."""
    monkeypatch.setattr(remembering_module, "KEEP_EVERY_S", 3600.0)
    handler = Recalling()
    with Running(Runner(handler, settings)):
        for _ in range(5):
            feed(bus, 6)
            until(lambda: len(said(bus)) >= len(chained(bus)))
            bus.client.client_kill_filter(_type="normal", skipme=True)
        feed(bus, 6)
        until(lambda: len(said(bus)) >= len(chained(bus)))
    assert said(bus) == chained(bus)
    assert handler.recalled == 1, "at the start"


def test_a_broker_that_lost_its_newest_entry_makes_it_remember_anew(
    bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembering_module, "KEEP_EVERY_S", 3600.0)  # what is kept is judged by its place
    handler = Recalling()
    with Running(Runner(handler, settings)):
        feed(bus, 6)
        until(lambda: len(said(bus)) >= len(chained(bus)))
        lost = bus.client.pipeline()
        lost.xdel("L3_OUT", _last(bus, StreamName.L3_OUT))
        lost.client_kill_filter(_type="normal", skipme=True)
        lost.execute()
        feed(bus, 6)
        until(lambda: links(bus)[-1] in said(bus), what="what follows from what is there")
    assert handler.recalled > 1


def test_streams_are_merged_by_their_ids_and_none_runs_ahead() -> None:
    order = InOrder(BOTH)
    first = _entries(0, 1, 3, 5) + _entries(1, 2, 90)
    assert _ids(order.release(first, 3)) == [1, 2, 3, 5], "the first may have more"
    assert order.wanted() == [BOTH[0]]
    assert order.held(BOTH[1]) == 1
    assert _ids(order.release(_entries(0, 8, 95), 3)) == [8, 90], "the other was not read"
    assert order.wanted() == [BOTH[1]]
    assert _ids(order.release(_entries(1, 91, 96), 3)) == [91, 95], (
        "the newest may not be alone in its millisecond"
    )
    assert order.waits
    assert _ids(order.release([], 3)) == [96]
    assert not order.waits


def test_entries_of_the_same_millisecond_come_in_the_order_of_the_streams_however_they_were_read() -> None:
    order = InOrder(BOTH)
    assert order.release(_entries(0, 7), 3) == []
    assert order.release(_entries(1, 7), 3) == []
    assert order.wanted() == list(BOTH)
    assert [entry.stream for entry in order.release([], 3)] == list(BOTH)


def test_a_millisecond_that_is_over_need_not_wait() -> None:
    order = InOrder(BOTH)
    assert _ids(order.release(_entries(0, 6, 7), 3, now_ms=8)) == [6, 7]
    assert order.release(_entries(1, 8), 3, now_ms=8) == [], "the other may get one in it yet"
    assert order.release(_entries(0, 8), 3, now_ms=7) == [], "nor does a clock that was stepped back say more"
    assert [entry.stream for entry in order.release(_entries(0, 9), 3, now_ms=9)] == list(BOTH)
    assert _ids(order.release([], 3, now_ms=9)) == [9]


def _ids(entries: list[Entry]) -> list[int]:
    return [entry.order[0] for entry in entries]


def _entries(stream: int, *times: int) -> list[Entry]:
    return [Entry(BOTH[stream], f"{time}-0", {b"event": b"{}"}) for time in times]
