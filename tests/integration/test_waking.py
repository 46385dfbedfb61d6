"""A blocked read may take POLL_TIMEOUT, a stop may not: the wait ends, and what was read by then is not lost."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from dsmil.errors import BusUnavailable
from dsmil.events.streams import StreamName
from dsmil.infrastructure.connection import connect
from dsmil.infrastructure.groups import GroupReader
from dsmil.infrastructure.settling import Verdict
from dsmil.services import runner as runner_module
from dsmil.services.soc_router import SOCRouter
from dsmil.testing.running import Running
from dsmil.testing.waiting import until

if TYPE_CHECKING:
    from dsmil.config import Settings
    from dsmil.infrastructure.redis_streams import RedisStreamsClient

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
