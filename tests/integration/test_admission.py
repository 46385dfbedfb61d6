"""The producers' door: refused with a reason while memory is short, and nothing is lost meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.fabric_process import dsmil, environment

from dsmil.cli import publish as publish_module
from dsmil.config import Settings
from dsmil.errors import BusRefused
from dsmil.events.streams import StreamName
from dsmil.infrastructure import pressure as pressure_module
from dsmil.infrastructure.groups import load_functions
from dsmil.infrastructure.pressure import PRESSURE_KEY, Admission, Level, Pressure, announce, heard, judge
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services import publishing as publishing_module
from dsmil.services.feeds import find_source
from dsmil.services.follow import FollowedFile
from dsmil.services.ingest import Ingest
from dsmil.testing.factories import make_event
from dsmil.testing.running import Running
from dsmil.testing.waiting import until

FULL = judge({"broker": 0.9})
LINE = '{"timestamp": "2024-01-01T00:00:%02d.000000+0000", "event_type": "dns", "src_ip": "10.0.0.1", "n": %d}\n'


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pressure_module, "_LOOK_S", 0.0)


def gets(bus: RedisStreamsClient) -> int:
    return int(bus.client.info("commandstats").get("cmdstat_get", {"calls": 0})["calls"])


def env(settings: Settings) -> dict[str, str]:
    return environment(REDIS_URL=str(settings.redis_url), DSMIL_STATE_DIR=settings.state_dir)


def log_file(tmp_path: Path, lines: int) -> Path:
    path = tmp_path / "eve.json"
    path.write_text("".join(LINE % (n % 60, n) for n in range(lines)))
    return path


def test_append_and_publish_refuse_with_the_reason(bus: RedisStreamsClient) -> None:
    announce(bus.client, FULL)
    with pytest.raises(BusRefused, match="new events are refused: the broker's memory is 90% full; keep them"):
        bus.append(StreamName.L3_IN, [b"x"])
    assert bus.publish(StreamName.L3_IN, make_event()) is None
    assert bus.client.xlen("L3_IN") == 0
    announce(bus.client, judge({"broker": 0.84}))
    assert bus.publish(StreamName.L3_IN, make_event())


def test_it_asks_once_a_second_at_most(bus: RedisStreamsClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pressure_module, "_LOOK_S", 1000.0)
    door = Admission()
    before = gets(bus)
    for _ in range(50):
        door.check(bus.client)
    assert gets(bus) - before == 1
    announce(bus.client, FULL)
    door.check(bus.client)
    with pytest.raises(BusRefused):
        Admission().check(bus.client)


def test_without_a_janitor_producers_are_let_in(bus: RedisStreamsClient) -> None:
    """Its word counts for half a minute."""
    announce(bus.client, FULL)
    assert 25 < bus.client.ttl(PRESSURE_KEY) <= 30
    bus.client.pexpire(PRESSURE_KEY, 1)
    until(lambda: not bus.client.exists(PRESSURE_KEY))
    assert heard(bus.client) == Pressure()
    assert bus.append(StreamName.L3_IN, [b"x"])


@pytest.mark.parametrize("word", [b"", b"[]", b'{"level": "high"}', b"\xff", b"null", b'{"level": 85'])
def test_a_word_that_nobody_understands_shuts_nothing(bus: RedisStreamsClient, word: bytes) -> None:
    bus.client.set(PRESSURE_KEY, word)
    assert heard(bus.client).level == Level.OPEN


def test_the_word_is_told_when_memory_has_run_out(bus: RedisStreamsClient) -> None:
    """Without it snapshots were taken every five minutes as always, and until then no memory came free."""
    load_functions(bus.client)
    bus.client.config_set("maxmemory", "1")
    try:
        announce(bus.client, FULL)
        assert heard(bus.client) == FULL
        assert 25 < bus.client.ttl(PRESSURE_KEY) <= 30
    finally:
        bus.client.config_set("maxmemory", "0")


def test_a_word_of_a_later_version_is_understood(bus: RedisStreamsClient) -> None:
    bus.client.set(PRESSURE_KEY, b'{"level": 90, "reason": "odd", "more": 1}')
    with pytest.raises(BusRefused, match="refused: odd"):
        bus.append(StreamName.L3_IN, [b"x"])


def test_ingest_waits_and_goes_on(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(bus.client, FULL)
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            announce(bus.client, judge({"broker": 0.5}))

    monkeypatch.setattr("dsmil.services.publishing.time.sleep", wait)
    tally = Ingest(find_source("suricata-eve"), settings).run([str(log_file(tmp_path, 700))])
    assert (tally.records, tally.published) == (700, 700)
    assert len(waits) == 3
    assert bus.client.xlen("L3_IN") == 700


def test_ingest_gives_up_with_the_reason_and_a_second_reading_has_all(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(bus.client, FULL)
    monkeypatch.setattr(publishing_module, "_PATIENCE_S", 0.0)
    path = str(log_file(tmp_path, 20))
    with pytest.raises(BusRefused, match="memory is 90% full"):
        Ingest(find_source("suricata-eve"), settings).run([path])
    assert bus.client.xlen("L3_IN") == 0
    bus.client.delete(PRESSURE_KEY)
    assert Ingest(find_source("suricata-eve"), settings).run([path]).published == 20


def test_follow_waits_and_goes_on_when_the_door_opens(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsmil.services.follow.pause", lambda *_: 0.02)
    path = log_file(tmp_path, 30)
    announce(bus.client, FULL)
    part = FollowedFile(find_source("suricata-eve"), path, settings)
    with Running(part):
        until(lambda: "memory is 90% full" in part.vitals().checks["broker"])
        with path.open("a") as more:
            more.writelines(LINE % (n % 60, n) for n in range(30, 40))
        assert bus.client.xlen("L3_IN") == 0
    with Running(part):  # stopped before the door opened: read again
        announce(bus.client, judge({"broker": 0.5}))
        until(lambda: bus.client.xlen("L3_IN") == 40)
        until(lambda: part.vitals().healthy)
    events = [event for _, event in bus.read(StreamName.L3_IN, 100)]
    assert len({event.event_id for event in events}) == 40


def test_publish_names_the_reason_and_what_was_taken(bus: RedisStreamsClient, settings: Settings) -> None:
    lines = '{"source_device": 15, "payload": {"n": 1}}\n' * 3
    announce(bus.client, FULL)
    done = dsmil("publish", "L3_OUT", "-", env=env(settings), given=lines)
    assert (done.code, done.out) == (69, "")
    assert "new events are refused: the broker's memory is 90% full" in done.complaint
    client: Any = bus.client
    assert client.xlen("L3_OUT") == 0
    client.delete(PRESSURE_KEY)
    done = dsmil("publish", "L3_OUT", "-", env=env(settings), given=lines)
    assert (done.code, done.out) == (0, "3 published to L3_OUT\n")


def test_publish_says_how_many_were_taken_before_the_door_was_shut(bus: RedisStreamsClient) -> None:
    """Lines without an id get a new one each time: whoever sends all again must know which were taken."""
    sending = publish_module._Sending(bus, StreamName.L3_OUT, keep=False)
    for _ in range(500):
        sending.add(b"x")
    announce(bus.client, FULL)
    sending.add(b"x")
    with pytest.raises(BusRefused, match=r"memory is 90% full.*; the first 500 events were published"):
        sending.send()
