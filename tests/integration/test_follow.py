"""``dsmil ingest --follow`` on a real broker: killed at any moment, rotated, held up; each line once."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dsmil.config import Settings
from dsmil.errors import DsmilError
from dsmil.events.streams import StreamName
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.follow import FollowedFile
from dsmil.services.ingest import Ingest
from dsmil.services.letters import read_letters
from dsmil.sources.suricata_eve import SuricataEve
from dsmil.testing.running import Running
from dsmil.testing.waiting import until


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "eve.json"


_numbers = itertools.count(1)


def write(log: Path, count: int, *, same: bool = False) -> None:
    """Append EVE records; ``same`` writes byte-identical ones, which are different events all the same."""
    with log.open("a") as file:
        for _ in range(count):
            number = 0 if same else next(_numbers)
            file.write(
                json.dumps({"timestamp": "2026-01-01T00:00:00+0000", "event_type": "flow", "flow_id": number})
                + "\n"
            )


def ids(bus: RedisStreamsClient) -> set[str]:
    return {event.event_id for _, event in bus.read(StreamName.L3_IN, count=1_000_000)}


def command(settings: Settings, log: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "REDIS_URL": str(settings.redis_url),
        "DSMIL_STATE_DIR": str(settings.state_dir),
        "HOTPATH_DB": settings.hotpath_db,
    }
    arguments = [sys.executable, "-m", "dsmil", "ingest", "suricata-eve", str(log), "--follow"]
    return subprocess.Popen(arguments, env=environment, stderr=subprocess.DEVNULL)


def test_lines_are_published_as_they_come_and_a_bad_one_is_a_letter(
    bus: RedisStreamsClient, settings: Settings, log: Path
) -> None:
    part = FollowedFile(SuricataEve(), log, settings)
    with Running(part):
        until(lambda: part.vitals().checks["file"])
        write(log, 3)
        with log.open("a") as file:
            file.write("no json\n")
        until(lambda: len(ids(bus)) == 3 and part.vitals().healthy)
        until(lambda: bus.client.xlen("DEAD_LETTERS") == 1)
        log.rename(log.with_name("eve.json.1"))
        write(log, 2)
        until(lambda: len(ids(bus)) == 5)
    (letter,) = read_letters(settings, 10)[0]
    assert letter.source == f"{log}:4"
    assert letter.raw == b"no json"


def test_killed_at_any_moment_no_line_is_lost_or_doubled(
    bus: RedisStreamsClient, settings: Settings, log: Path
) -> None:
    """SIGKILL at seeded moments, identical lines among the rest, and a rotation while it is dead."""
    chance = random.Random(7)
    for round_number in range(6):
        process = command(settings, log)
        try:
            target = len(ids(bus)) + chance.randrange(1, 400)
            for same in (False, True, False):
                write(log, chance.randrange(50, 400), same=same)
            goal = min(target, expected(log))
            until(lambda goal=goal: len(ids(bus)) >= goal)  # type: ignore[misc]
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        if round_number == 3:
            log.rename(log.with_name("eve.json.1"))
    write(log, 5)
    process = command(settings, log)
    try:
        until(lambda: len(ids(bus)) >= expected(log))
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    assert len(ids(bus)) == expected(log)


def expected(log: Path) -> int:
    """Return how many events the files hold: identical lines count each time within one file."""
    seen = set()
    for file in (log.with_name("eve.json.1"), log):
        if not file.exists():
            continue
        counts: dict[str, int] = {}
        for line in file.read_text().splitlines():
            counts[line] = counts.get(line, 0) + 1
            seen.add((line, counts[line]))
    return len(seen)


def test_following_and_reading_once_give_the_same_ids(
    bus: RedisStreamsClient, settings: Settings, log: Path
) -> None:
    write(log, 40)
    write(log, 5, same=True)
    with Running(FollowedFile(SuricataEve(), log, settings)):
        until(lambda: len(ids(bus)) == 45)
    tally = Ingest(SuricataEve(), settings).run([str(log)])
    assert tally.published == 45
    assert len(ids(bus)) == 45


def test_a_broker_that_refuses_holds_reading_up(bus: RedisStreamsClient, settings: Settings, log: Path) -> None:
    part = FollowedFile(SuricataEve(), log, settings)
    with Running(part):
        write(log, 1)
        until(lambda: len(ids(bus)) == 1)
        bus.client.config_set("maxmemory", "1")
        try:
            write(log, 2000)
            until(lambda: "maxmemory" in part.vitals().checks["broker"])
            assert len(ids(bus)) == 1
        finally:
            bus.client.config_set("maxmemory", "0")
        until(lambda: len(ids(bus)) == 2001)
    assert part.vitals().outcomes == {("L3_IN", "published"): 2001}


def test_stopping_while_the_broker_refuses_keeps_the_place(
    bus: RedisStreamsClient, settings: Settings, log: Path
) -> None:
    write(log, 10)
    bus.client.config_set("maxmemory", "1")
    try:
        part = FollowedFile(SuricataEve(), log, settings)
        with Running(part):
            until(lambda: "maxmemory" in part.vitals().checks["broker"])
    finally:
        bus.client.config_set("maxmemory", "0")
    with Running(FollowedFile(SuricataEve(), log, settings)):
        until(lambda: len(ids(bus)) == 10)


def test_two_followers_of_one_file_are_refused(bus: RedisStreamsClient, settings: Settings, log: Path) -> None:
    write(log, 1)
    with Running(FollowedFile(SuricataEve(), log, settings)):
        until(lambda: len(ids(bus)) == 1)
        with (
            pytest.raises(DsmilError, match="another process follows"),
            Running(FollowedFile(SuricataEve(), log, settings)) as second,
        ):
            until(lambda: second.stop.wait(0.5) or True)


def test_rate_holds_reading_back(bus: RedisStreamsClient, settings: Settings, log: Path) -> None:
    """At 20 a second a thousand lines take most of a minute: after the first few the most are still unread."""
    write(log, 1000)
    with Running(FollowedFile(SuricataEve(), log, settings, rate=20)):
        until(lambda: len(ids(bus)) >= 20)
        assert len(ids(bus)) < 500
