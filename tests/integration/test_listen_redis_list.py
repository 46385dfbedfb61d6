"""A Redis list moved into the fabric: from the same broker and from another, killed at any moment."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.integration.listening import Process, ids, line, numbers

from dsmil.config import Settings
from dsmil.events.streams import StreamName
from dsmil.infrastructure.broker import Broker, bundled_binary
from dsmil.infrastructure.pressure import announce, judge
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.letters import read_letters
from dsmil.services.listening.redis_list import RedisList
from dsmil.sources.suricata_eve import SuricataEve
from dsmil.testing.running import Running
from dsmil.testing.servers import PrivateServer
from dsmil.testing.waiting import until

KEY = "suricata"
WORK = "dsmil:list:suricata:me"


@pytest.fixture
def sensor(bus: RedisStreamsClient) -> Any:
    """Return the sensor's client at the fabric's own broker."""
    return bus.client


def part(settings: Settings, **more: str) -> RedisList:
    return RedisList(SuricataEve(), settings, key=KEY, consumer="me", **more)


def count(bus: RedisStreamsClient) -> int:
    return int(bus.client.xlen("L3_IN"))


@pytest.mark.parametrize(("oldest", "push"), [("right", "lpush"), ("left", "rpush")])
def test_oldest_first_and_identical_ones_count(
    bus: RedisStreamsClient, settings: Settings, sensor: Any, oldest: str, push: str
) -> None:
    for number in range(1200):
        getattr(sensor, push)(KEY, line(number))
    getattr(sensor, push)(KEY, line(5), line(5), b"no json")
    with Running(part(settings, oldest=oldest)) as running:
        until(lambda: sum(running.part.vitals().outcomes.values()) == 1203)
        until(lambda: not sensor.exists(KEY, WORK))
        assert running.part.vitals().healthy
    assert numbers(bus) == [*range(1200), 5, 5]
    assert len(ids(bus)) == 1202
    (letter,) = read_letters(settings, 10)[0]
    assert (letter.cause, letter.raw) == ("malformed_json", b"no json")
    assert letter.source.endswith("#suricata")


def test_a_list_at_another_broker(bus: RedisStreamsClient, settings: Settings) -> None:
    """Our user and password are not sent there."""
    with PrivateServer(bundled_binary()) as other:
        there = redis.Redis.from_url(other.url, protocol=2)
        elsewhere = settings.replace(listen_from=other.url, redis_username="", redis_password="")
        listener = part(elsewhere.replace(redis_password="of ours"))
        assert listener._access.redis_password == ""
        with there, Running(part(elsewhere)):
            there.lpush(KEY, *(line(number) for number in range(10)))
            until(lambda: count(bus) == 10)
            until(lambda: not there.exists(KEY, WORK))
    assert sorted(numbers(bus)) == list(range(10))


@contextlib.contextmanager
def fed(client: Any, total: int, seed: int) -> Iterator[None]:
    """Push records while the block lasts, each an own number and every tenth a repetition; the rest at its end."""
    chance = random.Random(seed)
    sent = 0

    def push(most: int) -> None:
        nonlocal sent
        for _ in range(min(most, total - sent)):
            client.lpush(KEY, line(sent if sent % 10 else 0))
            sent += 1

    push(chance.randrange(total // 4, total // 2))
    yield
    push(total)


def test_killed_at_any_moment_nothing_is_lost_or_doubled(
    bus: RedisStreamsClient, settings: Settings, sensor: Any
) -> None:
    """SIGKILL at seeded counts of entries, wherever in its round it is then."""
    chance = random.Random(11)
    total = 6000
    arguments = ("redis-list", KEY, "--consumer", "me")
    with fed(sensor, total, 3):
        for _ in range(8):
            with Process(settings, *arguments) as process:
                goal = count(bus) + chance.randrange(1, 500)
                until(lambda goal=goal: count(bus) >= goal or not sensor.exists(KEY, WORK))  # type: ignore[misc]
                process.kill()
    with Process(settings, *arguments):
        until(lambda: not sensor.exists(KEY, WORK), 60)
    distinct = {event.event_id: event.payload["flow_id"] for _, event in bus.read(StreamName.L3_IN, count=100_000)}
    assert len(distinct) == total
    assert sorted(distinct.values()) == sorted(n if n % 10 else 0 for n in range(total))


class _Cut(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("place", ["taken", "published", "kept", "removed"])
def test_each_gap_of_a_round(
    bus: RedisStreamsClient, settings: Settings, sensor: Any, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends exactly after one step of its round; the next one finishes it."""
    listener = part(settings)
    owner: tuple[Any, str] = {
        "taken": (listener, "_take"),
        "published": (listener._courier, "hand_over"),
        "kept": (listener, "_remove"),
        "removed": (listener, "_remove"),
    }[place]
    target, name = owner
    step = getattr(target, name)
    calls = itertools.count()

    def cut(*arguments: Any) -> Any:
        if place == "kept":
            raise _Cut
        done = step(*arguments)
        if place != "taken" or next(calls) > 0 or arguments[0]:
            raise _Cut
        return done

    monkeypatch.setattr(target, name, cut)
    for number in range(20):
        sensor.lpush(KEY, line(number // 2))  # each one twice
    with pytest.raises(_Cut), Running(listener) as running:
        until(lambda: not running._thread.is_alive())
    with Running(part(settings)):
        until(lambda: not sensor.exists(KEY, WORK))
        sensor.lpush(KEY, line(3))
        until(lambda: len(ids(bus)) == 21)
    assert count(bus) == {"taken": 21, "published": 41, "kept": 21, "removed": 21}[place]
    assert sorted(numbers(bus)[-21:-1]) == sorted(number // 2 for number in range(20))


def test_an_outage_loses_nothing(tmp_path: Path) -> None:
    broker = Broker(bundled_binary(), tmp_path / "broker")
    broker.start()
    try:
        places = {"HOTPATH_DB": str(tmp_path / "db"), "DSMIL_STATE_DIR": str(tmp_path)}
        settings = Settings.from_env({"REDIS_URL": broker.url} | places)
        listener = part(settings)
        with RedisStreamsClient(settings=settings) as bus, Running(listener):
            for number in range(3):
                bus.client.lpush(KEY, *(line(number * 1000 + n) for n in range(1000)))
                until(lambda number=number: len(ids(bus)) == (number + 1) * 1000)  # type: ignore[misc]
                broker.stop()
                until(lambda: not listener.vitals().healthy)
                broker.start()
                until(lambda: listener.vitals().healthy)
            assert len(ids(bus)) == count(bus) == 3000
    finally:
        broker.stop()


def test_nothing_is_taken_beyond_a_batch_while_memory_is_short(
    bus: RedisStreamsClient, settings: Settings, sensor: Any
) -> None:
    announce(bus.client, judge({"broker": 0.9}))
    sensor.lpush(KEY, *(line(number) for number in range(2000)))
    listener = part(settings)
    with Running(listener):
        until(lambda: "memory is 90% full" in listener.vitals().checks["broker"])
        assert (count(bus), sensor.llen(KEY), sensor.llen(WORK)) == (0, 1500, 500)
        announce(bus.client, judge({"broker": 0.1}))
        until(lambda: count(bus) == 2000)


def test_a_key_that_is_no_list_is_told_and_waited_for(
    bus: RedisStreamsClient, settings: Settings, sensor: Any
) -> None:
    sensor.set(KEY, "text")
    listener = part(settings)
    with Running(listener):
        until(lambda: "WRONGTYPE" in listener.vitals().checks["list"])
        sensor.delete(KEY)
        sensor.lpush(KEY, line(1))
        until(lambda: count(bus) == 1)
        until(lambda: listener.vitals().healthy)
