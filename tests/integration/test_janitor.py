"""The janitor at work beside others: ages, short memory, a broker that is flushed, full, or started again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from dsmil.config import Settings
from dsmil.errors import BusRefused
from dsmil.events.streams import DEAD_LETTERS, StreamName
from dsmil.infrastructure.broker import Broker, bundled_binary
from dsmil.infrastructure.connection import connect
from dsmil.infrastructure.groups import broker_epoch, ensure_group
from dsmil.infrastructure.pressure import PRESSURE_KEY, Level, heard
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.infrastructure.trimming import SAVED_KEY, Trimmer, save_position, saved_field, saved_positions
from dsmil.services import janitor as janitor_module
from dsmil.services.janitor import Janitor
from dsmil.services.preparation import prepare_broker, service_groups
from dsmil.services.store_writer import StoreWriter
from dsmil.testing.factories import make_event
from dsmil.testing.running import Running
from dsmil.testing.waiting import until

HOUR = 3600.0
BODY = "x" * 2000


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(janitor_module, "_ROUND_S", 0.02)
    monkeypatch.setattr(janitor_module, "_TRIM_EVERY_S", 0.02)
    monkeypatch.setattr(janitor_module, "pause", lambda *_: 0.02)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Broker]:
    """Return a broker of this test's own, whose memory and files may be played with."""
    server = Broker(bundled_binary(), tmp_path / "own")
    server.start()
    yield server
    server.stop()


def at(broker: Broker, settings: Settings) -> Settings:
    return settings.replace(redis_url=broker.url)


def add(client: redis.Redis, stream: StreamName, count: int, *, ms: int = 0, body: str = BODY) -> None:
    """Add entries, with ids of a moment when one is given."""
    pipeline = client.pipeline(transaction=False)
    for n in range(count):
        pipeline.xadd(stream.value, {"event": body}, id=f"{ms + n}-0" if ms else "*")
    pipeline.execute()


def read_all(client: Any, stream: StreamName, group: str) -> None:
    """Read and acknowledge everything as a group."""
    while reply := client.xreadgroup(group, "c", {stream.value: ">"}, count=1000):
        client.xack(stream.value, group, *[entry_id for entry_id, _ in reply[0][1]])


def everybody_reads(client: Any, stream: StreamName) -> None:
    """Read and acknowledge everything as each service that reads the stream."""
    for of, group in service_groups():
        if of is stream:
            read_all(client, stream, group)


def first_ms(client: redis.Redis, stream: str) -> int:
    rows: Any = client.xrange(stream, count=1)
    return int(rows[0][0].split(b"-")[0])


def test_entries_of_a_day_and_alerts_of_a_week_stay(bus: RedisStreamsClient, settings: Settings) -> None:
    client: Any = bus.client
    prepare_broker(client)
    now = 1_700_000_000.0
    for stream in (StreamName.L3_OUT, StreamName.SOC_EVENTS):
        for hours in (8 * 24, 7 * 24 + 1, 7 * 24 - 1, 25, 23, 1):
            add(client, stream, 100, ms=int((now - hours * HOUR) * 1000))
    everybody_reads(client, StreamName.L3_OUT)
    client.hset(SAVED_KEY, saved_field("s", "SOC_EVENTS"), f"{int(now * 1000)}-0")
    with Running(Janitor(settings, clock=lambda: now)):
        until(lambda: client.xlen("L3_OUT") < 210 and client.xlen("SOC_EVENTS") < 410)
        day, week = int((now - 23 * HOUR) * 1000), int((now - (7 * 24 - 1) * HOUR) * 1000)
        assert len(client.xrange("L3_OUT", day)) == 200
        assert len(client.xrange("SOC_EVENTS", week)) == 400


def test_what_is_safe_goes_at_once_when_memory_is_short(bus: RedisStreamsClient, settings: Settings) -> None:
    client: Any = bus.client
    prepare_broker(client)
    add(client, StreamName.L3_OUT, 200)
    everybody_reads(client, StreamName.L3_OUT)
    janitor = Janitor(settings)
    with Running(janitor):
        until(lambda: janitor.vitals().healthy)
        until(lambda: client.exists(PRESSURE_KEY))
        assert client.xlen("L3_OUT") == 200, "it is young, and there is room"
        limit = int(client.info("memory")["used_memory"] / 0.55)
        client.config_set("maxmemory", str(limit))
        try:
            until(lambda: heard(client).level == Level.TIDY)
            until(lambda: client.xlen("L3_OUT") <= 2)
        finally:
            client.config_set("maxmemory", "0")
        assert janitor.vitals().outcomes["L3_OUT", "trimmed"] >= 198


def test_a_broker_without_memory_gets_some_and_takes_events_again(own: Broker, settings: Settings) -> None:
    chosen = at(own, settings)
    with RedisStreamsClient(settings=chosen) as bus:
        client: Any = bus.client
        bus.initialize_streams()
        prepare_broker(client)
        add(client, StreamName.L3_OUT, 2000)
        client.config_set("maxmemory", "1")
        with pytest.raises(BusRefused, match="maxmemory"):
            bus.append(StreamName.L3_OUT, [b"one more"])
        used = int(client.info("memory")["used_memory"])
        client.config_set("maxmemory", str(used - 1000))
        janitor = Janitor(chosen)
        with Running(janitor):
            until(lambda: "full" in janitor.vitals().checks["memory"])
            with pytest.raises(BusRefused):
                bus.append(StreamName.L3_OUT, [b"one more"])
            assert client.xlen("L3_OUT") == 2000, "nobody has read them"
            everybody_reads(client, StreamName.L3_OUT)
            until(lambda: heard(client).level < Level.REFUSE)
            until(lambda: _taken(bus), 10)
            until(lambda: janitor.vitals().healthy)
        assert client.info("stats")["evicted_keys"] == 0


def _taken(bus: RedisStreamsClient) -> bool:
    try:
        bus.append(StreamName.L3_OUT, [b"one more"])
    except BusRefused:
        return False
    return True


def test_without_memory_a_store_goes_on_and_tells_what_it_has(own: Broker, settings: Settings) -> None:
    """It is what lets the janitor free some: were it refused, nothing would ever be freed again."""
    client = connect(own.url, settings)
    prepare_broker(client)
    epoch = broker_epoch(client)
    client.config_set("maxmemory", "1")
    assert broker_epoch(client) == epoch
    save_position(client, "s", "SOC_EVENTS", "5-0")
    assert saved_positions(client) == {"SOC_EVENTS": {"s": "5-0"}}
    save_position(client, "s", "SOC_EVENTS", None)
    assert saved_positions(client) == {}
    client.close()


def test_a_full_broker_whose_store_lags_recovers(
    own: Broker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Store, snapshot and janitor together: all of it at a broker that takes nothing new."""
    monkeypatch.setattr("dsmil.services.snapshot_keeper._LOOK_S", 0.05)
    chosen = at(own, settings)
    with RedisStreamsClient(settings=chosen) as bus:
        client: Any = bus.client
        prepare_broker(client)
        broker_epoch(client)
        bus.publish_many(StreamName.L3_IN, [make_event({"x": BODY}) for _ in range(2000)])
        for group in (group for stream, group in service_groups() if stream is StreamName.L3_IN):
            read_all(client, StreamName.L3_IN, group)
        used = int(client.info("memory")["used_memory"])
        client.config_set("maxmemory", str(used - 1000))
        with Running(StoreWriter(chosen, snapshot_every_s=0.1)), Running(Janitor(chosen)):
            # How much goes is chance: an early snapshot may hold enough for memory to be short no more.
            until(lambda: client.xlen("L3_IN") < 2000 and heard(client).level < Level.TIDY)
            until(lambda: _taken(bus), 10)


def test_flushed_while_it_runs(bus: RedisStreamsClient, settings: Settings) -> None:
    client: Any = bus.client
    prepare_broker(client)
    now = time.time()
    janitor = Janitor(settings, clock=lambda: now)
    with Running(janitor):
        until(lambda: janitor.vitals().healthy)
        for _ in range(3):
            client.flushall()
            client.function_flush()
            until(lambda: client.exists(PRESSURE_KEY) and janitor.vitals().healthy, 15)
        add(client, StreamName.L3_OUT, 100, ms=int((now - 48 * HOUR) * 1000))
        prepare_broker(client)
        everybody_reads(client, StreamName.L3_OUT)
        until(lambda: client.xlen("L3_OUT") <= 2)


def test_dead_letters_stay_a_month_even_when_memory_is_short(bus: RedisStreamsClient, settings: Settings) -> None:
    client: Any = bus.client
    now = 1_700_000_000.0
    for days in (31, 29):
        client.xadd(DEAD_LETTERS, {"raw": "x"}, id=f"{int((now - days * 24 * HOUR) * 1000)}-0")
    client.config_set("maxmemory", str(int(client.info("memory")["used_memory"] / 0.6)))
    try:
        with Running(Janitor(settings, clock=lambda: now)):
            until(lambda: heard(client).level >= Level.TIDY)
            until(lambda: client.xlen(DEAD_LETTERS) == 1)
    finally:
        client.config_set("maxmemory", "0")
    assert first_ms(client, DEAD_LETTERS) == int((now - 29 * 24 * HOUR) * 1000)


def test_a_host_whose_clock_stands_at_its_beginning(bus: RedisStreamsClient, settings: Settings) -> None:
    janitor = Janitor(settings, clock=lambda: 5.0)
    with Running(janitor):
        until(lambda: bus.client.exists(PRESSURE_KEY))
        until(lambda: janitor.vitals().healthy)
        bus.client.delete(PRESSURE_KEY)
        assert janitor.vitals().healthy


def test_only_some_services_are_set_up(
    bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group that is not there must not keep the others from being looked at."""
    monkeypatch.setattr(janitor_module, "_REAP_EVERY_S", 0.0)
    monkeypatch.setattr(janitor_module, "_REAP_IDLE_S", 0.001)
    client: Any = bus.client
    client.delete("L3_IN")
    for stream, _ in (("L3_OUT", 0), ("L4_OUT", 0)):
        ensure_group(client, stream, "soc-router")
        client.xgroup_createconsumer(stream, "soc-router", "gone")
    janitor = Janitor(settings)
    with Running(janitor):
        until(lambda: not client.xinfo_consumers("L4_OUT", "soc-router"))
        until(lambda: not client.xinfo_consumers("L3_OUT", "soc-router"))
        assert janitor.vitals().checks["broker"] == ""


def test_a_trimmed_stream_is_loaded_again_after_a_restart(own: Broker, settings: Settings) -> None:
    """The scaled-down endurance run: add, settle, trim; then start again from the append-only file."""
    chosen = at(own, settings)
    client: Any = connect(own.url, chosen)
    prepare_broker(client)
    trimmer = Trimmer(client)
    trimmer.prepare()
    kept = 1000
    for _ in range(60):
        add(client, StreamName.L3_OUT, 1000, body="y" * 200)
        everybody_reads(client, StreamName.L3_OUT)
        oldest = client.xrevrange("L3_OUT", count=kept)[-1][0].decode()
        while trimmer.trim(StreamName.L3_OUT, ["soc-router"], oldest=oldest, copied=False).removed:
            pass
    before = client.xinfo_stream("L3_OUT")
    client.close()
    own.stop()
    own.start()
    client = connect(own.url, chosen)
    after = client.xinfo_stream("L3_OUT")
    assert {k: after[k] for k in ("length", "entries-added", "last-generated-id", "first-entry")} == {
        k: before[k] for k in ("length", "entries-added", "last-generated-id", "first-entry")
    }
    assert after["entries-added"] == 60_000
    node = 100
    assert kept <= after["length"] <= max(kept * 1.01, kept + node)
    (group,) = [row for row in client.xinfo_groups("L3_OUT") if row["name"] == b"soc-router"]
    assert (group["lag"], group["pending"]) == (0, 0)
    client.close()
