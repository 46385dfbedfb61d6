"""A blocked read may take POLL_TIMEOUT, a stop may not: the wait ends, and what was read by then is not lost."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.integration.remembering import Chain, chained, feed, said

from dsmil.config import Settings
from dsmil.errors import BusUnavailable
from dsmil.events.streams import StreamName
from dsmil.infrastructure.broker import Broker, bundled_binary
from dsmil.infrastructure.connection import connect
from dsmil.infrastructure.groups import GroupReader
from dsmil.infrastructure.memory_file import MemoryFile
from dsmil.infrastructure.packed import Line
from dsmil.infrastructure.pressure import Level
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.infrastructure.settling import Verdict
from dsmil.services import remembering, row_reader
from dsmil.services import runner as runner_module
from dsmil.services.host import Host
from dsmil.services.janitor import _rest_s
from dsmil.services.part import PlainPart, Vitals
from dsmil.services.runner import Runner
from dsmil.services.soc_router import SOCRouter
from dsmil.services.store_writer import StoreWriter
from dsmil.testing.factories import make_event
from dsmil.testing.running import Running
from dsmil.testing.waiting import until

IN = StreamName.L3_OUT
HOUR_MS = 3_600_000


@pytest.fixture
def reader(bus: RedisStreamsClient, settings: Settings) -> GroupReader:
    assert bus.connect()
    patient = settings.replace(poll_timeout_ms=HOUR_MS)
    made = GroupReader(connect(str(settings.redis_url), patient), [IN], "g", "c1")
    made.prepare()
    return made


def blocked(bus: RedisStreamsClient) -> int:
    info: Any = bus.client.info("clients")
    return int(info["blocked_clients"])


def test_a_service_stops_though_its_read_would_take_an_hour(
    bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "_CLAIM_EVERY_S", 3600.0)
    with Running(SOCRouter(settings=settings.replace(poll_timeout_ms=HOUR_MS))):
        until(lambda: blocked(bus) == 1, what="a blocked read")
    assert blocked(bus) == 0


def test_a_blocked_read_ends_with_nothing(bus: RedisStreamsClient, reader: GroupReader) -> None:
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.append(reader.read_new(10, HOUR_MS)), daemon=True)
    waiting.start()
    until(lambda: blocked(bus) == 1, what="a blocked read")
    reader.wake()
    waiting.join(20)
    assert found == [[]]


def test_who_was_woken_before_does_not_wait(reader: GroupReader) -> None:
    reader.wake()
    reading = threading.Thread(target=reader.read_new, args=(10, HOUR_MS), daemon=True)
    reading.start()
    reading.join(20)
    assert not reading.is_alive()


def test_what_was_sent_before_the_wake_is_read_and_settled(
    bus: RedisStreamsClient, reader: GroupReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer has come, and the thread that waited for it was not yet on its feet."""
    bus.append(IN, [b"1", b"2"])
    send = reader._line.send

    def woken(*commands: Any) -> None:
        send(*commands)
        until(lambda: reader._line._connection.can_read(0), what="the answer")
        reader.wake()

    monkeypatch.setattr(reader._line, "send", woken)
    entries = reader.read_new(10, HOUR_MS)
    monkeypatch.undo()
    assert len(entries) == 2
    assert reader.settle(IN, [Verdict(entry, "D", counter="dropped:x") for entry in entries]).done == 2
    assert bus.client.xpending(IN, "g")["pending"] == 0


def assert_all_said_at_the_next_start(bus: RedisStreamsClient, settings: Settings) -> None:
    with Running(Runner(Chain(), settings)):
        until(lambda: len(said(bus)) == len(chained(bus)))
    assert said(bus) == chained(bus)


class Cut:
    """Loses the first answer that has entries in it, as a stop in that very moment does, and stops the service."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.running: Running | None = None
        self._wait = Line.wait
        monkeypatch.setattr(Line, "wait", lambda line: self._lose(line))  # noqa: PLW0108 - a method of Line then

    def _lose(self, line: Line) -> Any:
        reply = self._wait(line)
        if not reply or self.running is None or self.running.stop.is_set():
            return reply
        self.running.stop.set()
        line.wake()
        line.cut = True
        line.drop()
        return None


def test_what_a_stop_lost_on_its_way_is_settled_before_the_end(
    bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = Cut(monkeypatch)
    with Running(SOCRouter(settings=settings)) as running:
        until(lambda: blocked(bus) == 1, what="a blocked read")
        cut.running = running
        bus.publish(IN, make_event())
        until(running.stop.is_set)
    assert bus.client.xlen("SOC_EVENTS") == 1
    assert bus.client.xpending(IN, "soc-router")["pending"] == 0


def test_stops_under_traffic_leave_nothing_in_hand(bus: RedisStreamsClient, settings: Settings) -> None:
    over = threading.Event()

    def publish() -> None:
        with RedisStreamsClient(settings=settings) as own:
            while not over.wait(0.0005):
                own.publish_many(IN, [make_event() for _ in range(3)])

    publishing = threading.Thread(target=publish)
    publishing.start()
    try:
        for _ in range(20):
            published = bus.client.xlen("SOC_EVENTS")
            with Running(SOCRouter(settings=settings)):
                until(lambda n=published: bus.client.xlen("SOC_EVENTS") > n + 30)  # type: ignore[misc]
            assert bus.client.xpending(IN, "soc-router")["pending"] == 0
    finally:
        over.set()
        publishing.join()


def test_what_a_stop_lost_is_taken_up_by_a_memory_at_the_next_start(
    bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed(bus, 3)
    first = Runner(Chain(), settings)
    with Running(first):
        until(lambda: len(said(bus)) == len(chained(bus)))
    cut = Cut(monkeypatch)
    second = Runner(Chain(), settings)
    with Running(second) as running:
        until(lambda: blocked(bus) == 1, what="a blocked read")
        feed(bus, 2)  # a changed memory, to be kept in some seconds
        until(lambda: len(said(bus)) == len(chained(bus)) and blocked(bus) == 1)
        cut.running = running
        feed(bus, 2)
        until(running.stop.is_set)
    assert "another process" not in second.vitals().checks["memory"]
    assert_all_said_at_the_next_start(bus, settings)


def test_a_stop_within_the_catching_up_after_a_lost_line_answers_nothing(
    bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "pause", lambda _: 0.01)
    wait = Line.wait
    with Running(Runner(Chain(), settings)) as running:
        until(lambda: blocked(bus) == 1, what="a blocked read")

        def lost(line: Line) -> Any:
            if reply := wait(line):
                line.drop()
                raise redis.ConnectionError("the answer is lost")
            return reply

        monkeypatch.setattr(Line, "wait", lost)
        monkeypatch.setattr(remembering.Memory, "recall", lambda _memory, _recent, _alone, stop: stop.set())
        feed(bus, 2)
        until(running.stop.is_set)
    assert said(bus) == [], "half a memory answers nothing"
    monkeypatch.undo()
    assert_all_said_at_the_next_start(bus, settings)


def test_the_store_writer_stops_though_its_read_would_take_an_hour(
    bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_reader, "_SLICE_MS", HOUR_MS)
    with Running(StoreWriter(settings.replace(poll_timeout_ms=HOUR_MS))):
        until(lambda: blocked(bus) == 1, what="a blocked read")
    until(lambda: blocked(bus) == 0, what="the end of the read")


def test_a_service_stops_though_its_broker_is_silent(tmp_path: Path) -> None:
    server = Broker(bundled_binary(), tmp_path)
    server.start()
    assert server.pid is not None
    settings = Settings.from_env(
        {"REDIS_URL": server.url, "DSMIL_STATE_DIR": str(tmp_path), "POLL_TIMEOUT": str(HOUR_MS)}
    )
    try:
        with RedisStreamsClient(server.url) as looking, Running(SOCRouter(settings=settings)):
            until(lambda: blocked(looking) == 1, what="a blocked read")
            os.kill(server.pid, signal.SIGSTOP)
    finally:
        os.kill(server.pid, signal.SIGCONT)
        server.stop()


class Sleeper(PlainPart):
    name, device_id = "sleeper", 16

    def __init__(self) -> None:
        self.woken = threading.Event()

    def run(self, stop: threading.Event) -> None:  # noqa: ARG002 - and hears nothing of it
        self.woken.wait()

    def wake(self) -> None:
        self.woken.set()

    def vitals(self) -> Vitals:
        return Vitals(name="sleeper", device_id=16, outcomes={}, layers={}, checks={"broker": ""})


def test_the_host_wakes_its_parts_at_a_stop(settings: Settings) -> None:
    part, stop = Sleeper(), threading.Event()
    stop.set()
    assert Host([part], settings, stop).run() == 0
    assert part.woken.is_set()


def test_a_changed_memory_is_kept_though_nothing_more_comes(
    bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "_CLAIM_EVERY_S", 3600.0)
    monkeypatch.setattr(remembering, "KEEP_EVERY_S", 0.2)
    kept: list[int] = []
    save = MemoryFile.save

    def counted(self: MemoryFile, memory: Any) -> None:
        kept.append(len(said(bus)))
        save(self, memory)

    monkeypatch.setattr(MemoryFile, "save", counted)
    with Running(Runner(Chain(), settings.replace(poll_timeout_ms=HOUR_MS))):
        for _ in range(2):
            feed(bus, 2)
            until(lambda: len(said(bus)) == len(chained(bus)))
            until(lambda: kept and kept[-1] == len(chained(bus)), what="a memory that has all")


def test_no_wait_is_longer_than_until_others_are_looked_for(settings: Settings) -> None:
    runner = Runner(Chain(), settings.replace(poll_timeout_ms=HOUR_MS), clock=lambda: 100.0)
    runner._next_claim = 103.0
    assert runner._block_ms(100.0) == 3000


@pytest.mark.parametrize(
    ("room", "level", "seconds"),
    [(10e9, Level.OPEN, 4.0), (1e9, Level.OPEN, 2.0), (0.0, Level.OPEN, 1.0), (10e9, Level.WARN, 1.0)],
)
def test_memory_is_watched_as_often_as_it_may_fill(room: float, level: Level, seconds: float) -> None:
    assert _rest_s(room, level) == seconds


def test_a_lost_broker_is_no_wake(bus: RedisStreamsClient, reader: GroupReader) -> None:
    raised: list[type[Exception]] = []

    def read() -> None:
        try:
            reader.read_new(10, HOUR_MS)
        except BusUnavailable as exc:
            raised.append(type(exc))

    waiting = threading.Thread(target=read, daemon=True)
    waiting.start()
    until(lambda: blocked(bus) == 1, what="a blocked read")
    bus.client.client_kill_filter(_type="normal", skipme=True)
    waiting.join(20)
    assert raised == [BusUnavailable]
