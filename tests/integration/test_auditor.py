"""The auditor: silent while all is well, and one alarm for what stays wrong."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from dsmil.config import Settings
from dsmil.events.streams import StreamName
from dsmil.infrastructure.books import read_books
from dsmil.infrastructure.groups import GroupReader
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.pressure import announce, judge
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.infrastructure.settling import Verdict
from dsmil.infrastructure.sql import statement
from dsmil.infrastructure.store import Store
from dsmil.services.auditor import LATE_S, PATIENCE_S, SILENCE_S, STILL_ROUNDS, Alarm, Auditor
from dsmil.services.preparation import prepare_broker
from dsmil.services.soc_router import SOCRouter, SOCRouterConfig
from dsmil.services.store_writer import StoreWriter
from dsmil.testing.factories import make_event
from dsmil.testing.http import ShrinkStub
from dsmil.testing.running import Running
from dsmil.testing.waiting import until

GROUP = "soc-router"
IN = StreamName.L3_OUT
BEGIN = 1_700_000_000.0


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def auditor(bus: RedisStreamsClient, settings: Settings, clock: Clock) -> Auditor:
    prepare_broker(bus.client)
    return Auditor(settings, clock=clock)


def kinds(alarms: list[Alarm]) -> list[tuple[str, str]]:
    return [(alarm.kind, alarm.subject) for alarm in alarms]


def raised(bus: RedisStreamsClient) -> list[str]:
    """Return the ids of the findings that the auditor has put on the stream."""
    return [event.event_id for _, event in bus.read(IN, 1000) if event.source == "auditor"]


def spoil(bus: RedisStreamsClient) -> None:
    """Acknowledge an entry by a foreign hand: it is lost, and no ledger knows of it."""
    bus.publish_many(IN, [make_event()])
    client: Any = bus.client
    reply = client.xreadgroup(GROUP, "c", {IN.value: ">"}, count=10)
    client.xack(IN.value, GROUP, *[entry_id for entry_id, _ in reply[0][1]])


def test_no_false_alarm_under_load(bus: RedisStreamsClient, settings: Settings, auditor: Auditor) -> None:
    """Books are read at one moment; read one after another, the figures of a busy stream never agree."""
    stop = threading.Event()
    with RedisStreamsClient(settings=settings) as other, ShrinkStub({}) as shrink:

        def load() -> None:
            while not stop.is_set():
                other.publish_many(IN, [make_event() for _ in range(200)])

        thread = threading.Thread(target=load)
        router = SOCRouter(SOCRouterConfig(shrink_url=shrink.url), settings=settings)
        with Running(router):
            until(lambda: read_books(bus.client, [(IN.value, GROUP)]))
            thread.start()
            try:
                for _ in range(300):
                    books = read_books(bus.client, [(IN.value, GROUP), ("L3_IN", "l3-suricata-alert")])
                    assert {book.imbalance for book in books} == {0}
                assert books[0].added > 1000
                assert books[0].settled > 0
                assert auditor.check(bus.client) == []
            finally:
                stop.set()
                thread.join()


def routers(alarms: list[Alarm]) -> list[Alarm]:
    """Return those about the router: nobody runs the other readers of the stream here."""
    return [alarm for alarm in alarms if alarm.subject.startswith(f"{GROUP} ")]


def test_a_reader_that_stands_still(bus: RedisStreamsClient, settings: Settings, auditor: Auditor) -> None:
    """Off, then at work again, then off again: told each time it begins, not while it lasts."""
    client = bus.client
    bus.publish_many(IN, [make_event() for _ in range(3)])
    looks = [routers(auditor.check(client)) for _ in range(STILL_ROUNDS + 1)]
    assert [len(alarms) for alarms in looks] == [0] * STILL_ROUNDS + [1]
    (alarm,) = looks[-1]
    assert kinds([alarm]) == [("reader_stalled", f"{GROUP} on L3_OUT")]
    assert (alarm.device_id, alarm.severity, alarm.figures["unread"]) == (21, "HIGH", 3)
    assert "3 entries wait" in alarm.text
    assert routers(auditor.check(client)) == []
    with ShrinkStub({}) as shrink, Running(SOCRouter(SOCRouterConfig(shrink_url=shrink.url), settings=settings)):
        until(lambda: not read_books(client, [(IN.value, GROUP)])[0].unread)
        assert routers(auditor.check(client)) == []
    bus.publish_many(IN, [make_event()])
    again = [alarm for _ in range(STILL_ROUNDS + 1) for alarm in routers(auditor.check(client))]
    assert kinds(again) == [("reader_stalled", f"{GROUP} on L3_OUT")]


def test_a_slow_reader_and_an_idle_one_are_no_alarm(bus: RedisStreamsClient, auditor: Auditor) -> None:
    client: Any = bus.client
    for _ in range(3 * STILL_ROUNDS):
        assert routers(auditor.check(client)) == [], "nothing to do"
    bus.publish_many(IN, [make_event() for _ in range(50)])
    for n in range(40):
        if n % (STILL_ROUNDS - 1) == 0:
            reply = client.xreadgroup(GROUP, "c", {IN.value: ">"}, count=1)
            client.xack(IN.value, GROUP, reply[0][1][0][0])
            client.hincrby("dsmil:ledger:L3_OUT:soc-router", "dropped:slow", 1)
        assert routers(auditor.check(client)) == []


def test_an_entry_acknowledged_by_a_foreign_hand(bus: RedisStreamsClient, auditor: Auditor, clock: Clock) -> None:
    spoil(bus)
    assert auditor.check(bus.client) == []
    clock.now += PATIENCE_S - 1
    assert auditor.check(bus.client) == [], "somebody may be repairing"
    clock.now += 1
    (alarm,) = auditor.check(bus.client)
    assert kinds([alarm]) == [("books_do_not_balance", f"{GROUP} on L3_OUT")]
    assert (alarm.device_id, alarm.severity) == (21, "HIGH")
    assert "+1 entries" in alarm.text
    for _ in range(5):
        clock.now += 400
        assert auditor.check(bus.client) == []
    assert len(raised(bus)) == 1


def test_books_that_balance_again_in_time_raise_nothing(
    bus: RedisStreamsClient, auditor: Auditor, clock: Clock
) -> None:
    spoil(bus)
    auditor.check(bus.client)
    clock.now += PATIENCE_S - 1
    client: Any = bus.client
    client.hincrby(f"dsmil:ledger:L3_OUT:{GROUP}", "dead", 1)
    assert auditor.check(bus.client) == []
    client.hincrby(f"dsmil:ledger:L3_OUT:{GROUP}", "dead", -1)
    clock.now += 2
    assert auditor.check(bus.client) == [], "patience begins anew"
    clock.now += PATIENCE_S
    assert len(auditor.check(bus.client)) == 1


def test_an_unread_entry_that_was_deleted(bus: RedisStreamsClient, auditor: Auditor, clock: Clock) -> None:
    """The broker cannot tell while the gap is unread; once the group has passed it, it shows."""
    ids = bus.publish_many(IN, [make_event() for _ in range(5)])
    client: Any = bus.client
    client.xdel(IN.value, ids[2])
    auditor.check(client)
    reader = GroupReader(client, [IN], GROUP, "c")
    reader.prepare()
    entries = reader.read_new(10, 1)
    reader.settle(IN, [Verdict(entry, "D", counter="dropped:quiet") for entry in entries])
    assert auditor.check(client) == []
    clock.now += PATIENCE_S
    assert kinds(auditor.check(client)) == [("books_do_not_balance", f"{GROUP} on L3_OUT")]


def test_the_alarm_becomes_a_soc_row(
    bus: RedisStreamsClient, settings: Settings, auditor: Auditor, clock: Clock, db: HotPathDB
) -> None:
    spoil(bus)
    auditor.check(bus.client)
    clock.now += PATIENCE_S
    auditor.check(bus.client)
    (event_id,) = raised(bus)
    with ShrinkStub({}) as shrink:
        router = SOCRouter(SOCRouterConfig(shrink_url=shrink.url), settings=settings)
        with Running(router), Running(StoreWriter(settings)):
            until(lambda: db.get_event(event_id) and db.get_event(event_id)["soc"])
    row: Any = db.get_event(event_id)["soc"]
    assert (row["source_device"], row["severity"]) == (21, "HIGH")
    assert row["payload"]["alarm"] == "books_do_not_balance"


def test_a_restart_within_the_hour_tells_nothing_twice(
    bus: RedisStreamsClient, settings: Settings, auditor: Auditor, clock: Clock
) -> None:
    spoil(bus)
    for one in (auditor, Auditor(settings, clock=clock), Auditor(settings, clock=clock)):
        one.check(bus.client)
        clock.now += PATIENCE_S
        assert len(one.check(bus.client)) == 1
    assert len(raised(bus)) == 3
    assert len(set(raised(bus))) == 1, "one id: router and store keep one"


@pytest.mark.parametrize(
    ("share", "kind", "severity"), [(0.75, "memory_short", "MEDIUM"), (0.9, "new_events_refused", "HIGH")]
)
def test_memory(bus: RedisStreamsClient, auditor: Auditor, share: float, kind: str, severity: str) -> None:
    announce(bus.client, judge({"broker": 0.6}))
    assert auditor.check(bus.client) == []
    announce(bus.client, judge({"broker": share}))
    (alarm,) = auditor.check(bus.client)
    assert (alarm.kind, alarm.severity, alarm.device_id) == (kind, severity, 21)
    assert "the broker's memory is" in alarm.text
    assert auditor.check(bus.client) == []
    assert len(raised(bus)) == 1, "it comes through although the door is shut"


# Producers that have fallen silent


def hear(settings: Settings, source: str, *, last: float, minutes: int = 50, gap: float = 20.0) -> None:
    with Store(Path(settings.hotpath_db)) as store:
        store.migrate()
        store.connection.execute(
            "INSERT INTO producers VALUES (?, 16, 3, 1000, 1.0, ?, ?, ?)", (source, last, minutes, gap)
        )


def place(settings: Settings, stream: str, entry_id: str) -> None:
    with Store(Path(settings.hotpath_db)) as store:
        store.migrate()
        store.connection.execute(statement("move_position"), (stream, entry_id, "e", 1, 1, 0, 0, 1.0))


def at_ms(bus: RedisStreamsClient, stream: str, ms: int) -> None:
    bus.client.xadd(stream, {"event": "{}"}, id=f"{ms}-0")


def test_only_a_living_source_falls_silent(
    bus: RedisStreamsClient, settings: Settings, auditor: Auditor, clock: Clock
) -> None:
    at_ms(bus, "L3_IN", 1000)
    place(settings, "L3_IN", "1000-0")
    hear(settings, "sensor", last=BEGIN)
    hear(settings, "file read once", last=BEGIN - 9999, minutes=2)
    hear(settings, "pauses often", last=BEGIN, gap=SILENCE_S)
    clock.now = BEGIN + SILENCE_S
    assert auditor.check(bus.client) == []
    clock.now += 1
    (alarm,) = auditor.check(bus.client)
    assert kinds([alarm]) == [("producer_silent", "sensor (device 16)")]
    assert (alarm.device_id, alarm.severity) == (22, "MEDIUM")
    clock.now = BEGIN + 3 * SILENCE_S + 1
    assert kinds(auditor.check(bus.client)) == [("producer_silent", "pauses often (device 16)")]


@pytest.mark.parametrize("stream", ["L3_IN", "SOC_EVENTS"])
def test_while_the_store_is_behind_nobody_is_called_silent(
    bus: RedisStreamsClient, settings: Settings, auditor: Auditor, clock: Clock, stream: str
) -> None:
    """What a producer said may be in either stream."""
    late = int(LATE_S * 1000)
    for name in ("L3_IN", "SOC_EVENTS"):
        at_ms(bus, name, late + 1001)
        place(settings, name, "1000-0" if name == stream else f"{late + 1001}-0")
    hear(settings, "sensor", last=BEGIN)
    clock.now = BEGIN + SILENCE_S + 1
    assert auditor.check(bus.client) == []
    place(settings, stream, "1001-0")
    assert len(auditor.check(bus.client)) == 1, "the last moments do not count: a busy store is never at the end"


def test_a_fabric_without_raw_records_hears_silence_too(
    bus: RedisStreamsClient, settings: Settings, auditor: Auditor, clock: Clock
) -> None:
    at_ms(bus, "SOC_EVENTS", 1000)
    place(settings, "SOC_EVENTS", "1000-0")
    hear(settings, "foreign detector", last=BEGIN)
    clock.now = BEGIN + SILENCE_S + 1
    assert len(auditor.check(bus.client)) == 1


def test_without_a_store_there_is_no_silence(bus: RedisStreamsClient, auditor: Auditor) -> None:
    assert auditor.check(bus.client) == []


def test_entries_that_were_deleted_in_work_raise_an_alarm(bus: RedisStreamsClient, auditor: Auditor) -> None:
    """The books balance, because they are counted as lost; somebody must hear of it all the same."""
    assert auditor.check(bus.client) == []
    bus.client.hincrby(f"dsmil:ledger:L3_OUT:{GROUP}", "lost", 2)
    bus.client.hincrby(f"dsmil:ledger:L3_OUT:{GROUP}", "published", -2)
    (alarm,) = auditor.check(bus.client)
    assert (alarm.kind, alarm.severity) == ("entries_lost", "CRITICAL")
    assert "2 entries" in alarm.text
    assert auditor.check(bus.client) == []
