"""A process reads ahead of a store writer that is far behind: each entry becomes a row once, come what may."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from dsmil.config import Secret, Settings
from dsmil.events import codec
from dsmil.events.model import Event
from dsmil.events.streams import StreamName
from dsmil.fusion.fuse import fuse
from dsmil.infrastructure.address import broker_url
from dsmil.infrastructure.connection import connect
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services import intake as intake_module
from dsmil.services.copying import Copy
from dsmil.services.intake import Intake
from dsmil.services.letters import read_letters
from dsmil.services.reading_ahead import ReadingAhead
from dsmil.services.row_reader import BATCH
from dsmil.services.store_writer import StoreWriter
from dsmil.testing.factories import make_event
from dsmil.testing.running import Running
from dsmil.testing.waiting import until

SOC = StreamName.SOC_EVENTS
#: Place of the event id in a row.
ID = 1
_ENDS_WITHOUT_A_WORD = """
import os, sys, pickle
from dsmil.services.reading_ahead import ReadingAhead
settings, places = pickle.load(sys.stdin.buffer)
ahead = ReadingAhead(settings, quiet_s=600)
while not ahead.ready():
    pass
ahead.begin(places)
print(ahead.pid, flush=True)
os._exit(0)
"""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "_FULL_BATCHES", 1)
    monkeypatch.setattr(intake_module, "_WAITING_S", 0.0)
    monkeypatch.setattr(intake_module, "ReadingAhead", lambda settings: ReadingAhead(settings, quiet_s=0.2))
    monkeypatch.setattr(intake_module, "_has_cores", lambda: True)


@pytest.fixture
def intake(bus: RedisStreamsClient, settings: Settings) -> Iterator[Intake]:
    assert bus.connect()
    made = Intake(settings, connect(broker_url(settings), settings))
    yield made
    made.close()


def publish(bus: RedisStreamsClient, number: int) -> list[str]:
    events: list[Event] = [make_event({"n": n}) for n in range(number)]
    bus.append(SOC, [codec.encode(fuse(event, StreamName.L3_OUT, None)) for event in events])
    return [event.event_id for event in events]


def begun(intake: Intake) -> tuple[ReadingAhead, list[Copy], dict[StreamName, str]]:
    """Take until the process has begun; return it, what was taken, and behind what comes next."""
    places, taken = {SOC: "0-0"}, list[Copy]()
    while intake._ahead is None or intake._ahead.places is None:
        taken += intake.take(places, wait=False)
        places |= {copy.stream: copy.last_id for copy in taken}
        if intake._ahead is not None:
            until(intake._ahead.ready)
    return intake._ahead, taken, places


def take_all(intake: Intake, places: dict[StreamName, str], goal: str) -> list[Copy]:
    taken = list[Copy]()
    while places[SOC] != goal:
        found = intake.take(places, wait=True)
        places |= {copy.stream: copy.last_id for copy in found}
        taken += found
    return taken


def ids(copies: list[Copy]) -> list[str]:
    return [str(row[ID]) for copy in copies for row in copy.soc]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_goes_on_where_the_other_was_and_ends_when_little_comes(bus: RedisStreamsClient, intake: Intake) -> None:
    sent = publish(bus, 4 * BATCH + 300)
    ahead, taken, places = begun(intake)
    taken += take_all(intake, places, bus.last_id(SOC))
    assert ids(taken) == sent
    assert len(taken) > 3, "in batches"
    until(lambda: gone(ahead.pid))
    late = publish(bus, 1)
    assert ids(take_all(intake, places, bus.last_id(SOC))) == late
    assert intake._ahead is None
    assert intake._not_before == 0.0, "the next queue is worth a process again"


def test_a_burst_is_worth_no_process(
    bus: RedisStreamsClient, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "_WAITING_S", 60.0)
    sent = publish(bus, 4 * BATCH)
    assert ids(take_all(intake, {SOC: "0-0"}, bus.last_id(SOC))) == sent
    assert intake._ahead is None


def test_a_stream_that_is_far_behind_is_seen_beside_one_that_is_not(
    bus: RedisStreamsClient, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes in `L3_IN` is new at every look; that says nothing of the other stream."""
    monkeypatch.setattr(intake_module, "_WAITING_S", 0.3)
    publish(bus, 2 * BATCH)
    age = 0.3 + int(bus.last_id(SOC).partition("-")[0]) / 1000
    until(lambda: time.time() > age)
    bus.publish_many(StreamName.L3_IN, [make_event({"n": 1})])
    assert len(intake.take({SOC: "0-0", StreamName.L3_IN: "0-0"}, wait=False)) == 2
    intake.take({SOC: "0-0", StreamName.L3_IN: "0-0"}, wait=False)
    assert intake._ahead is not None


def test_one_that_waits_for_the_other_does_not_take_it_for_quiet(
    bus: RedisStreamsClient, settings: Settings
) -> None:
    """Trouble with the store holds both up; the queue is as long as before."""
    sent = publish(bus, 30 * BATCH)
    ahead = ReadingAhead(settings, quiet_s=0.3)
    until(ahead.ready)
    ahead.begin({SOC: "0-0"})
    began = time.monotonic()
    until(lambda: time.monotonic() > began + 1.0)  # its pipe has long been full
    taken = list[Copy]()
    while (made := ahead.take(5.0)) is not None:
        taken += made
    assert ids(taken) == sent
    assert ahead.ended() == 0


def test_one_that_catches_up_is_given_the_time_to_end(bus: RedisStreamsClient, settings: Settings) -> None:
    """Killed between its last word and its end, it would look like one that failed."""
    assert bus.connect()
    ahead = ReadingAhead(settings, quiet_s=0.05)
    until(ahead.ready)
    ahead.begin({SOC: "0-0"})
    while ahead.take(5.0) is not None:
        pass
    assert ahead.ended() == 0


def test_it_reads_from_the_broker_that_the_other_found(
    bus: RedisStreamsClient, db: HotPathDB, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[Settings]()

    def noted(own: Settings) -> ReadingAhead:
        seen.append(own)
        return ReadingAhead(own, quiet_s=0.2)

    monkeypatch.setattr(intake_module, "ReadingAhead", noted)
    publish(bus, 3 * BATCH)
    with Running(StoreWriter(settings)):
        until(lambda: seen)
        until(lambda: any(row["last_id"] == bus.last_id(SOC) for row in db.get_positions()))
    assert str(seen[0].redis_url) == broker_url(settings)


def test_what_was_taken_and_not_written_is_read_again(bus: RedisStreamsClient, intake: Intake) -> None:
    """So it is after trouble with the store, and when a stream is read from its start again."""
    sent = publish(bus, 3 * BATCH)
    ahead, taken, places = begun(intake)
    assert ids(taken) == sent[: len(ids(taken))]
    while not intake.take(places, wait=True):  # not written: the places stay
        pass
    assert ids(intake.take(places, wait=True)) == sent[len(ids(taken)) :][:BATCH]
    assert intake._ahead is not ahead
    assert gone(ahead.pid)
    again = {SOC: "0-0"}
    assert ids(take_all(intake, again, bus.last_id(SOC))) == sent


def test_one_that_is_killed_is_not_missed(bus: RedisStreamsClient, intake: Intake) -> None:
    sent = publish(bus, 4 * BATCH)
    ahead, taken, places = begun(intake)
    os.kill(ahead.pid, signal.SIGKILL)
    until(lambda: gone(ahead.pid))
    taken += take_all(intake, places, bus.last_id(SOC))
    assert ids(taken) == sent
    assert intake._ahead is None
    assert intake._not_before > 0.0, "what keeps failing is not tried at each batch"


def test_one_that_meets_trouble_leaves_it_to_the_other(bus: RedisStreamsClient, settings: Settings) -> None:
    """Whoever writes tells of it, and waits for its end; the process does not."""
    assert bus.connect()
    ahead = ReadingAhead(msgspec.structs.replace(settings, redis_url=Secret("unix:///nowhere/broker.sock")))
    until(ahead.ready)
    ahead.begin({SOC: "0-0"})
    until(lambda: ahead.take(1.0) is None)
    assert ahead.ended() == 1


def test_one_that_was_never_needed_ends_at_once(settings: Settings) -> None:
    ahead = ReadingAhead(settings)
    ahead.close()
    assert gone(ahead.pid)


def test_it_does_not_outlive_the_one_that_writes(bus: RedisStreamsClient, settings: Settings) -> None:
    """Not even where nothing comes that it could fail to send."""
    assert bus.connect()
    done = subprocess.run(
        [sys.executable, "-c", _ENDS_WITHOUT_A_WORD],
        input=pickle.dumps((settings, {SOC: "0-0"})),
        stdout=subprocess.PIPE,
        check=True,
    )
    until(lambda: gone(int(done.stdout)))


def test_a_long_queue_is_stored_once_with_its_letters(
    bus: RedisStreamsClient, db: HotPathDB, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins = list[int]()
    real = ReadingAhead.begin

    def begin(ahead: ReadingAhead, places: dict[StreamName, str]) -> None:
        begins.append(ahead.pid)
        real(ahead, places)

    monkeypatch.setattr(ReadingAhead, "begin", begin)
    sent = publish(bus, 20 * BATCH)
    bus.client.xadd(SOC, {"event": b"{no event"})
    doubled = bus.client.xrange(SOC, count=50)
    for _, fields in doubled:
        bus.client.xadd(SOC, fields)
    with Running(StoreWriter(settings)):
        until(lambda: any(row["last_id"] == bus.last_id(SOC) for row in db.get_positions()), 60)
    where = next(row for row in db.get_positions() if row["stream"] == SOC)
    assert (where["rows"], where["duplicates"], where["rejected"]) == (len(sent), 50, 1)
    letters, _ = read_letters(settings, None)
    assert [letter.cause for letter in letters] == ["malformed_json"]
    assert begins, "the process had no part in it: more entries are needed"
    assert all(gone(pid) for pid in begins)
