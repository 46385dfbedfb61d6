"""The runner on a real broker: every way an entry can end, and every way a process can."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import pytest

from dsmil.config import Settings
from dsmil.errors import BusUnavailable
from dsmil.events.handling import Dead, Delivery, Drop, Outcome, Publish, Retry
from dsmil.events.streams import DEAD_LETTERS, StreamName
from dsmil.infrastructure.entries import Entry
from dsmil.infrastructure.groups import GroupReader, ledger_key
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services import runner as runner_module
from dsmil.services.letters import Letter, read_letters
from dsmil.services.pace import Pace
from dsmil.services.runner import Runner
from dsmil.testing.factories import make_event
from dsmil.testing.running import Running
from dsmil.testing.waiting import until

IN = StreamName.L3_IN


class Echo:
    """The whole of a third service: a name, the streams it reads, and ``handle``."""

    name: ClassVar[str] = "l3-echo"
    device_id: ClassVar[int] = 20
    reads: ClassVar[tuple[StreamName, ...]] = (StreamName.L3_IN,)
    writes: ClassVar[tuple[StreamName, ...]] = (StreamName.L3_OUT,)

    def handle(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        return [self.one(delivery) for delivery in batch]

    def one(self, delivery: Delivery) -> Outcome:
        return Publish(((StreamName.L3_OUT, delivery.event.replace(source_device=20)),))


class Obeying(Echo):
    """Does what the event's payload tells it to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.open = threading.Event()

    def handle(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        self.batches.append([delivery.event.event_id for delivery in batch])
        return super().handle(batch)

    def one(self, delivery: Delivery) -> Outcome:
        match delivery.event.payload.get("do"):
            case "raise":
                raise RuntimeError("poison")
            case "drop":
                return Drop("told_to")
            case "dead":
                return Dead("told_to_die", "in detail")
            case "retry" if not self.open.is_set():
                return Retry("gate shut")
            case "nonsense":
                return "what?"  # type: ignore[return-value]
            case "elsewhere":
                return Publish(((StreamName.L4_OUT, delivery.event),))
            case "huge":
                return Publish(((StreamName.L3_OUT, delivery.event.replace(payload={"x": "x" * 300_000})),))
        return super().one(delivery)


@pytest.fixture(autouse=True)
def _quick_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "pause", lambda *_: 0.01)


@pytest.fixture
def handler() -> Obeying:
    return Obeying()


@pytest.fixture
def running(bus: RedisStreamsClient, handler: Obeying, settings: Settings) -> Iterator[Running]:
    assert bus.connect()
    with Running(Runner(handler, settings)) as made:
        yield made


def ledger(bus: RedisStreamsClient, group: str = "l3-echo") -> dict[str, int]:
    return {k.decode(): int(v) for k, v in bus.client.hgetall(ledger_key(IN, group)).items()}


def settled(bus: RedisStreamsClient) -> int:
    return sum(count for field, count in ledger(bus).items() if field != "outputs")


def do(*verbs: str) -> list[Any]:
    return [make_event({"do": verb}) for verb in verbs]


def ids(bus: RedisStreamsClient, stream: StreamName = StreamName.L3_OUT) -> list[str]:
    return [event.event_id for _, event in bus.read(stream, count=10_000)]


def test_a_third_service_is_one_small_class(bus: RedisStreamsClient, settings: Settings) -> None:
    events = do("x", "y", "z")
    bus.publish_many(IN, events)
    with Running(Runner(Echo(), settings)):
        until(lambda: len(ids(bus)) == 3)
    assert ids(bus) == [event.event_id for event in events]
    assert {event.source_device for _, event in bus.read(StreamName.L3_OUT)} == {20}
    assert ledger(bus) == {"published": 3, "outputs": 3}


def test_every_outcome_is_settled_and_counted(
    bus: RedisStreamsClient, running: Running, settings: Settings
) -> None:
    bus.publish_many(IN, do("publish", "drop", "dead", "publish", "huge"))
    until(lambda: settled(bus) == 5)
    assert ledger(bus) == {"published": 2, "outputs": 2, "dropped:told_to": 1, "dead": 2}
    causes = {letter.cause: letter for letter in read_letters(settings, 10)[0]}
    assert causes.keys() == {"told_to_die", "output_too_large"}
    assert causes["told_to_die"].detail == "in detail"
    assert b'"do":"dead"' in causes["told_to_die"].raw
    until(lambda: running.part.vitals().outcomes.get(("L3_IN", "published")) == 2)
    assert running.part.vitals().outcomes["L3_IN", "dropped:told_to"] == 1


def test_poison_is_tried_alone_five_times_and_its_neighbours_pass(
    bus: RedisStreamsClient, settings: Settings, handler: Obeying
) -> None:
    events = do("a", "raise", "b", "nonsense", "c")
    bus.publish_many(IN, events)
    with Running(Runner(handler, settings)):
        until(lambda: settled(bus) == 5)
    assert sorted(ids(bus)) == sorted(events[n].event_id for n in (0, 2, 4))
    alone = [batch for batch in handler.batches if batch == [events[1].event_id]]
    assert len(alone) == 5, "exactly five tries alone"
    letters = {letter.event_id: letter for letter in read_letters(settings, 10)[0]}
    assert letters.keys() == {events[1].event_id, events[3].event_id}
    assert letters[events[1].event_id].cause == "handler_failed"
    assert letters[events[1].event_id].detail == "RuntimeError: poison"
    assert {letter.attempts for letter in letters.values()} == {5}
    assert all(sum(e.event_id in batch for batch in handler.batches if len(batch) == 1) == 1 for e in events[::2])


def test_retry_waits_as_long_as_it_takes_without_blocking_others(
    bus: RedisStreamsClient, running: Running, handler: Obeying
) -> None:
    events = do("retry", "a", "b")
    bus.publish_many(IN, events)
    until(lambda: len(ids(bus)) == 2)
    until(lambda: sum(events[0].event_id in batch for batch in handler.batches) > 8)
    assert bus.client.xpending(IN, "l3-echo")["pending"] == 1
    assert bus.client.xlen(DEAD_LETTERS) == 0, "waiting is no failure"
    handler.open.set()
    until(lambda: len(ids(bus)) == 3)
    assert running.part.vitals().outcomes["L3_IN", "retried"] > 8


def test_a_producer_duplicate_is_suppressed_and_counted(bus: RedisStreamsClient, running: Running) -> None:
    event = make_event()
    bus.publish_many(IN, [event, event])
    until(lambda: settled(bus) == 2)
    bus.publish_many(IN, [event])
    until(lambda: settled(bus) == 3)
    assert ledger(bus) == {"published": 1, "outputs": 1, "duplicate": 2}
    assert running.part.vitals().healthy


def test_a_duplicate_of_an_event_that_failed_gets_its_chance(
    bus: RedisStreamsClient, settings: Settings, running: Running
) -> None:
    """The twin of an event that became a dead letter is no duplicate of anything that was published."""
    bad = make_event({"do": "dead"})
    bus.publish_many(IN, [bad, bad.replace(payload={"do": "publish"})])
    until(lambda: settled(bus) == 2)
    assert ids(bus) == [bad.event_id]
    assert read_letters(settings, 10)[1] == 1
    assert running.part.vitals().healthy


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of three: the next one is judged while the broker settles the one before."""
    monkeypatch.setattr(runner_module, "NATURAL_BATCH", 3)


@pytest.mark.usefixtures("small_batches")
def test_a_backlog_keeps_its_order_and_the_next_batch_is_judged_while_one_is_settled(
    bus: RedisStreamsClient,
    settings: Settings,
    handler: Obeying,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = do(*"abcdefghijk")
    bus.publish_many(IN, events)
    steps: list[str] = []

    def noted(step: str, of: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any) -> Any:
            steps.append(step)
            return of(*args)

        return wrapped

    monkeypatch.setattr(handler, "handle", noted("judge", handler.handle))
    monkeypatch.setattr(GroupReader, "finish", noted("answer", GroupReader.finish))
    with Running(Runner(handler, settings.replace(batch_size=1))):
        until(lambda: settled(bus) == len(events))
    assert ids(bus) == [event.event_id for event in events]
    assert [len(batch) for batch in handler.batches] == [3, 3, 3, 2]
    assert steps == ["judge", "judge", "answer", "judge", "answer", "judge", "answer", "answer"]


@pytest.mark.usefixtures("small_batches")
def test_a_full_batch_is_part_of_the_rate_by_which_it_rests(
    bus: RedisStreamsClient, settings: Settings, handler: Obeying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not counted, five thousand a second in full batches looked like a small load, with its long rests."""
    events = do(*"abcdefghijk")
    bus.publish_many(IN, events)
    counted: list[int] = []
    rest_s = Pace.rest_s

    def noted(pace: Pace, entries: int, most: int, now: float) -> float:
        counted.append(entries)
        return rest_s(pace, entries, most, now)

    monkeypatch.setattr(Pace, "rest_s", noted)
    with Running(Runner(handler, settings.replace(batch_size=1))):
        until(lambda: settled(bus) == len(events))
    assert counted == [3, 3, 3, 2]


@pytest.mark.usefixtures("small_batches")
def test_what_was_read_ahead_when_the_line_was_cut_is_handled_in_its_order_and_once(
    bus: RedisStreamsClient, settings: Settings, handler: Obeying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker has given it out; the answer is lost with the line that it came on, or was to come on."""
    events = do(*"abcdefghijklmnop")
    bus.publish_many(IN, events)
    cuts: list[int] = []
    own = bus.client.client_id()
    take = GroupReader.finish_read

    def cut(reader: GroupReader) -> list[Entry]:
        if len(cuts) < 3:
            cuts.append(0)
            for one in bus.client.client_list():
                if int(one["id"]) != own:
                    cuts[-1] += 1
                    bus.client.client_kill_filter(_id=one["id"])
            reader.forget()  # what the socket holds already is lost as well
            raise BusUnavailable("the line was cut")
        return take(reader)

    monkeypatch.setattr(GroupReader, "finish_read", cut)
    with Running(Runner(handler, settings.replace(batch_size=1))):
        until(lambda: settled(bus) == len(events))
    assert len(cuts) == 3
    assert all(cuts)
    assert ids(bus) == [event.event_id for event in events]


@pytest.mark.usefixtures("small_batches")
def test_a_twin_in_the_next_batch_waits_for_what_becomes_of_the_first(
    bus: RedisStreamsClient, settings: Settings, handler: Obeying
) -> None:
    """The first stands in a batch that the broker is still settling; neither is it known yet, nor refused."""
    good, bad, *others = do("publish", "dead", "a", "b", "c", "d")
    bus.publish_many(IN, [good, bad, others[0], good, bad.replace(payload={"do": "publish"}), *others[1:]])
    with Running(Runner(handler, settings.replace(batch_size=1))):
        until(lambda: settled(bus) == 8)
    assert sorted(ids(bus)) == sorted(event.event_id for event in (good, bad, *others))
    assert ledger(bus) == {"published": 6, "outputs": 6, "dead": 1, "duplicate": 1}


@pytest.mark.usefixtures("small_batches")
def test_a_refused_batch_is_tried_again_before_the_next_one_is_settled(
    bus: RedisStreamsClient, settings: Settings, handler: Obeying
) -> None:
    events = do(*"abcdefgh")
    bus.publish_many(IN, events)
    bus.client.set(StreamName.L3_OUT.value, "not a stream")
    with Running(Runner(handler, settings.replace(batch_size=1))) as running:
        until(lambda: "not a stream" in running.part.vitals().checks["broker"])
        bus.client.delete(StreamName.L3_OUT.value)
        until(lambda: settled(bus) == len(events))
        until(lambda: running.part.vitals().healthy)
    assert ids(bus) == [event.event_id for event in events]
    assert ledger(bus) == {"published": 8, "outputs": 8}


@pytest.mark.usefixtures("small_batches")
def test_stopping_in_a_backlog_leaves_nothing_in_hand(
    bus: RedisStreamsClient, settings: Settings, handler: Obeying
) -> None:
    bus.publish_many(IN, do(*"abcdefghijklmnopqrstuvwxyz"))
    runner = Runner(handler, settings.replace(batch_size=1))
    running = Running(runner)
    handle = handler.handle

    def stop_then_handle(batch: Sequence[Delivery]) -> Sequence[Outcome]:
        running.stop.set()
        return handle(batch)

    handler.handle = stop_then_handle  # type: ignore[method-assign]
    with running:
        until(lambda: settled(bus) > 0)
    assert bus.client.xpending(IN, "l3-echo")["pending"] == 0
    assert len(ids(bus)) == sum(map(len, handler.batches)) < 26


def test_flushed_broker_groups_come_back_from_the_first_entry(bus: RedisStreamsClient, running: Running) -> None:
    bus.publish_many(IN, do("a"))
    until(lambda: settled(bus) == 1)
    bus.client.flushall()
    bus.client.function_flush()
    before = do("before-the-group")
    bus.publish_many(IN, before)
    until(lambda: ids(bus) == [before[0].event_id])
    assert running.part.vitals().outcomes["L3_IN", "published"] == 2


def test_own_pending_is_handled_before_anything_new(
    bus: RedisStreamsClient, settings: Settings, handler: Obeying
) -> None:
    runner = Runner(Echo(), settings)
    with Running(runner):
        until(lambda: runner.vitals().healthy)
        consumer = runner._reader.consumer
    old, new = do("a", "b"), do("c")
    bus.publish_many(IN, old)
    bus.client.xreadgroup("l3-echo", consumer, {IN.value: ">"})  # and died with them in hand
    bus.publish_many(IN, new)
    with Running(Runner(handler, settings)):
        until(lambda: settled(bus) == 3)
    assert handler.batches == [[old[0].event_id], [old[1].event_id], [new[0].event_id]]


def test_entries_of_a_dead_consumer_are_taken_over(
    bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch, handler: Obeying
) -> None:
    monkeypatch.setattr(runner_module, "CLAIM_IDLE_MS", 0)
    bus.client.xgroup_create(IN, "l3-echo", "0")
    bus.publish_many(IN, do("a", "b", "c"))
    bus.client.xreadgroup("l3-echo", "gone-host-l3-echo-0", {IN.value: ">"})
    bus.client.execute_command("XTRIM", IN, "MAXLEN", "=", 2)
    with Running(Runner(handler, settings)):
        until(lambda: settled(bus) == 3)
    assert ledger(bus) == {"published": 2, "outputs": 2, "lost": 1}, "what was trimmed is reported, not hidden"


def test_own_entries_that_were_trimmed_are_counted_as_lost(bus: RedisStreamsClient, settings: Settings) -> None:
    runner = Runner(Echo(), settings)
    with Running(runner):
        until(lambda: runner.vitals().healthy)
        consumer = runner._reader.consumer
    bus.publish_many(IN, do("a", "b"))
    bus.client.xreadgroup("l3-echo", consumer, {IN.value: ">"})
    bus.client.execute_command("XTRIM", IN, "MAXLEN", "=", 1)
    with Running(Runner(Echo(), settings)):
        until(lambda: settled(bus) == 2)
    assert ledger(bus)["lost"] == 1


def test_an_output_to_an_undeclared_stream_is_a_dead_letter(
    bus: RedisStreamsClient, settings: Settings, running: Running
) -> None:
    bus.publish_many(IN, do("elsewhere", "x"))
    until(lambda: settled(bus) == 2)
    assert running.part.vitals().healthy
    assert ledger(bus) == {"dead": 1, "published": 1, "outputs": 1}
    assert ids(bus, StreamName.L4_OUT) == []
    (letter,) = read_letters(settings, 10)[0]
    assert (letter.cause, letter.attempts) == ("output_not_declared", 1)
    assert "L4_OUT" in letter.detail


KILLER = """
import os, signal, sys, threading
from dsmil.config import Settings
from dsmil.events.handling import Drop
from dsmil.events.streams import StreamName
from dsmil.services.runner import Runner

class Killer:
    name, device_id, reads, writes = "l3-echo", 20, (StreamName.L3_IN,), ()
    def handle(self, batch):
        if any(d.event.payload.get("do") == "kill" for d in batch):
            os.kill(os.getpid(), signal.SIGKILL)
        return [Drop("fine") for _ in batch]

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
Runner(Killer(), Settings.from_env()).run(stop)
"""


def test_an_event_that_kills_its_process_ends_as_a_dead_letter(
    bus: RedisStreamsClient, settings: Settings
) -> None:
    """Only handling alone counts, so its neighbours are not blamed, and after five deaths it is set aside."""
    bus.publish_many(IN, do("a", "kill", "b"))
    environment = os.environ | {"REDIS_URL": str(settings.redis_url)}
    deaths = 0
    while settled(bus) < 3:
        process = subprocess.Popen([sys.executable, "-c", KILLER], env=environment)
        try:
            until(lambda process=process: process.poll() is not None or settled(bus) == 3)  # type: ignore[misc]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)
        deaths += process.returncode == -signal.SIGKILL
        assert deaths < 10
    assert ledger(bus) == {"dropped:fine": 2, "dead": 1}
    (letter,) = read_letters(settings, 10)[0]
    assert letter.cause == "handler_died"
    assert b'"do":"kill"' in letter.raw
    assert deaths == 6, "once in a batch, five times alone"


def test_stopping_finishes_the_batch_in_hand(bus: RedisStreamsClient, settings: Settings) -> None:
    class Slow(Obeying):
        def __init__(self) -> None:
            super().__init__()
            self.busy = threading.Event()

        def one(self, delivery: Delivery) -> Outcome:
            self.busy.set()
            self.open.wait(10)
            return super().one(delivery)

    slow = Slow()
    bus.publish_many(IN, do("a", "b"))
    with Running(Runner(slow, settings)) as running:
        assert slow.busy.wait(10)
        running.stop.set()
        slow.open.set()
    assert settled(bus) == 2
    assert bus.client.xpending(IN, "l3-echo")["pending"] == 0


def test_a_refusing_broker_is_waited_out_and_nothing_is_handled_twice(
    bus: RedisStreamsClient, running: Running, handler: Obeying
) -> None:
    until(lambda: running.part.vitals().healthy)
    bus.client.config_set("maxmemory-policy", "noeviction")
    events = do("a", "b")
    bus.publish_many(IN, events)
    until(lambda: len(ids(bus)) == 2)
    bus.client.delete("L3_OUT")
    bus.client.set("L3_OUT", "in the way")
    late = do("c")
    bus.publish_many(IN, late)
    until(lambda: not running.part.vitals().healthy)
    bus.client.delete("L3_OUT")
    until(lambda: settled(bus) == 3)
    assert ids(bus) == [late[0].event_id]
    assert sum(late[0].event_id in batch for batch in handler.batches) == 1
    until(lambda: running.part.vitals().healthy)


BAD = {
    "malformed_json": b'{"source_device": 16, ',
    "duplicate_key": b'{"source_device": 16, "severity": "CRITICAL", "severity": "LOW"}',
    "not_finite": b'{"source_device": 16, "payload": {"x": NaN}}',
    "too_large": b'{"source_device": 16, "payload": {"x": "' + b"x" * 300_000 + b'"}}',
    "too_deep": b'{"source_device": 16, "payload": ' + b'{"a":' * 40 + b"1" + b"}" * 41,
    "lone_surrogate": b'{"source_device": 16, "payload": {"x": "\\ud800"}}',
    "bad_utf8": b'{"source_device": 16, "payload": {"x": "\xff"}}',
    "bad_field": b'{"source_device": "sixteen"}',
    "not_an_object": b"[1, 2]",
    "bad_number": b'{"source_device": 16, "payload": {"x": ' + b"9" * 5000 + b"}}",
}


def test_bad_input_becomes_dead_letters_with_cause_and_bytes(
    bus: RedisStreamsClient, settings: Settings, running: Running
) -> None:
    for raw in BAD.values():
        bus.append(IN, [raw])
    good = do("a")
    bus.publish_many(IN, good)
    until(lambda: settled(bus) == len(BAD) + 1)
    letters = {letter.cause: letter for letter in read_letters(settings, 100)[0]}
    assert {cause: letter.raw for cause, letter in letters.items()} == BAD
    assert all(letter.stream == "L3_IN" and letter.service == "l3-echo" for letter in letters.values())
    assert ids(bus) == [good[0].event_id]
    assert running.part.vitals().healthy


def test_foreign_entries_are_accepted_or_explained(
    bus: RedisStreamsClient, settings: Settings, running: Running
) -> None:
    flat = {"source_device": "17", "severity": "nasty", "payload": '{"alert": "flat"}', "colour": "blue"}
    bus.client.xadd(IN, flat)
    bus.client.xadd(IN, {b"source_device": b"17", b"source": b"\xff\xfe"})
    until(lambda: settled(bus) == 2)
    ((_, event),) = bus.read(StreamName.L3_OUT)
    assert event.severity == "HIGH"
    assert event.flags[0] == "unknown_severity:nasty"
    assert event.extra == {"colour": "blue"}
    (letter,) = read_letters(settings, 10)[0]
    assert isinstance(letter, Letter)
    assert letter.form == "fields"
    assert running.part.vitals().healthy


def test_two_runners_share_the_work_under_different_names(bus: RedisStreamsClient, settings: Settings) -> None:
    events = [make_event({"n": n}) for n in range(400)]
    with Running(Runner(Echo(), settings)) as one, Running(Runner(Echo(), settings)) as two:
        until(lambda: one.part.vitals().healthy and two.part.vitals().healthy)
        for start in range(0, 400, 20):
            bus.publish_many(IN, events[start : start + 20])
        until(lambda: settled(bus) == 400)
        names = {c["name"] for c in bus.client.xinfo_consumers(IN, "l3-echo")}
    assert len(names) == 2
    assert sorted(ids(bus)) == sorted(event.event_id for event in events)
