"""The syslog listener in trouble: kills, outages, floods. What is accepted is there once, losses are counted."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.listening import (
    Process,
    connect,
    figure,
    free_port,
    ids,
    line,
    lines,
    listener,
    numbers,
    port,
    reachable,
    taken,
    tcp,
)

from dsmil.config import Settings
from dsmil.infrastructure import pressure as pressure_module
from dsmil.infrastructure.broker import Broker, bundled_binary
from dsmil.infrastructure.pressure import announce, judge
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services import metric_names
from dsmil.services.listening.specs import Limits, Spec
from dsmil.testing.running import Running
from dsmil.testing.waiting import until

MB = 1024 * 1024


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Broker]:
    """Return a broker that the test may stop."""
    broker = Broker(bundled_binary(), tmp_path / "broker")
    broker.start()
    yield broker
    broker.stop()


def its_settings(broker: Broker, folder: Path) -> Settings:
    return Settings.from_env(
        {"REDIS_URL": broker.url, "HOTPATH_DB": str(folder / "hotpath.db"), "DSMIL_STATE_DIR": str(folder)}
    )


def test_killed_at_any_moment_a_sender_that_sends_again_loses_and_doubles_nothing(
    bus: RedisStreamsClient, settings: Settings
) -> None:
    """SIGKILL while lines are on their way, identical ones among them; the sender begins anew each time."""
    number = free_port()
    everything = lines(0, 3000) + (line(7) + b"\n") * 50 + lines(3000, 1000)
    for kill_at in (1, 500, 2500, 4000):
        with (
            Process(settings, "syslog", "--tcp", f"127.0.0.1:{number}", "--feed", "suricata-eve") as process,
            reachable(number) as stream,
        ):
            sender = threading.Thread(target=send_quietly, args=(stream, everything))
            sender.start()
            until(lambda kill_at=kill_at: len(ids(bus)) >= kill_at)  # type: ignore[misc]
            process.kill()
            sender.join()
    with (
        Process(settings, "syslog", "--tcp", f"127.0.0.1:{number}", "--feed", "suricata-eve") as process,
        reachable(number) as stream,
    ):
        stream.sendall(everything)
        stream.shutdown(socket.SHUT_WR)
        until(lambda: len(ids(bus)) >= 4050)
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(15) == 0
    assert len(ids(bus)) == 4050
    assert set(numbers(bus)) == set(range(4000))


def send_quietly(stream: socket.socket, data: bytes) -> None:
    try:
        stream.sendall(data)
    except OSError:
        return  # the listener was killed


def test_an_outage_of_the_broker_holds_senders_back_and_loses_nothing(own: Broker, tmp_path: Path) -> None:
    settings = its_settings(own, tmp_path)
    limits = Limits(max_connections=10, max_message=8192, max_waiting=MB)
    part = listener(settings, tcp(), limits=limits)
    count = 40_000
    with RedisStreamsClient(settings=settings) as bus, Running(part):
        with connect(part) as stream:
            sender = threading.Thread(target=stream.sendall, args=(lines(0, count, "x" * 400),))
            sender.start()
            until(lambda: taken(part) > 1000)
            own.stop()
            until(lambda: part.vitals().checks["room"] and part.vitals().checks["broker"])
            held = part.vitals().figures["dsmil_listen_waiting_bytes"][()]
            assert held <= 2 * MB
            assert sender.is_alive()  # it waits in sendall
            own.start()
            sender.join(60)
            assert not sender.is_alive()
        until(lambda: taken(part) >= count, 60)
        assert len(ids(bus)) == count
        assert set(numbers(bus)) == set(range(count))
        until(lambda: part.vitals().healthy)
        assert figure(part.tallies, metric_names.LISTEN_RECORDS) == count


def test_memory_running_out_shuts_the_door_and_loses_nothing(
    bus: RedisStreamsClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pressure_module, "_LOOK_S", 0.0)
    announce(bus.client, judge({"broker": 0.9}))
    part = listener(settings, tcp())
    with Running(part), connect(part) as stream:
        stream.sendall(lines(0, 10))
        until(lambda: "memory is 90% full" in part.vitals().checks["broker"])
        assert bus.client.xlen("L3_IN") == 0
        announce(bus.client, judge({"broker": 0.1}))
        until(lambda: taken(part) == 10)
    assert numbers(bus) == list(range(10))


def test_a_stop_publishes_what_was_read(bus: RedisStreamsClient, settings: Settings) -> None:
    part = listener(settings, tcp())
    with Running(part), connect(part) as stream:
        stream.sendall(lines(0, 5000))
        until(lambda: figure(part.tallies, metric_names.LISTEN_RECORDS) == 5000)
    assert len(ids(bus)) == 5000


def test_a_stop_without_a_broker_counts_what_is_lost(own: Broker, tmp_path: Path) -> None:
    part = listener(its_settings(own, tmp_path), tcp())
    with Running(part), connect(part) as stream:
        stream.sendall(lines(0, 1))
        until(lambda: taken(part) == 1)
        own.stop()
        stream.sendall(lines(1, 30))
        until(lambda: figure(part.tallies, metric_names.LISTEN_RECORDS) == 31)
        until(lambda: part.vitals().checks["broker"])
    assert figure(part.tallies, metric_names.LISTEN_DROPPED, "stopped") == 30


def test_datagrams_that_the_kernel_drops_are_counted(own: Broker, tmp_path: Path) -> None:
    """While the broker is away nothing is read; the kernel keeps what fits, and says what did not."""
    limits = Limits(max_connections=10, max_message=8192, max_waiting=64 * 1024)
    part = listener(its_settings(own, tmp_path), Spec(scheme="udp", address="127.0.0.1:0"), limits=limits)
    sent = 0
    with Running(part), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        target = ("127.0.0.1", port(part))
        datagram.sendto(line(0), target)
        sent += 1
        until(lambda: taken(part) == 1)
        own.stop()
        while figure(part.tallies, metric_names.LISTEN_DROPPED, "kernel") < 100:
            for _ in range(500):
                sent += 1
                datagram.sendto(line(sent, "x" * 4000), target)
        own.start()

        def settled() -> int:
            return taken(part) + figure(part.tallies, metric_names.LISTEN_DROPPED, "kernel")

        until(lambda: settled() == sent, 60)
        assert figure(part.tallies, metric_names.LISTEN_RECORDS) == taken(part)


def test_memory_is_bounded_in_a_flood(tmp_path: Path) -> None:
    """Nobody takes what comes: 20 senders push for as long as they can, then more connect and push again."""
    number = free_port()
    places = {"DSMIL_STATE_DIR": str(tmp_path), "HOTPATH_DB": f"{tmp_path}/db"}
    nobody = Settings.from_env({"REDIS_URL": f"unix://{tmp_path}/nobody"} | places)
    flood = os.urandom(64 * 1024).replace(b"\n", b".") + b"\n" + lines(0, 500)
    arguments = ("syslog", "--tcp", f"127.0.0.1:{number}", "--feed", "suricata-eve", "--max-waiting", "8")
    with Process(nobody, *arguments) as process:
        reachable(number).close()
        before = process.rss_mb()
        streams = []
        sent = 0
        for _ in range(3):
            for _ in range(20):
                stream = socket.create_connection(("127.0.0.1", number), timeout=20)
                stream.settimeout(0.1)
                streams.append(stream)
                try:
                    while True:
                        sent += stream.send(flood)
                except TimeoutError:
                    pass
        grown = process.rss_mb() - before
        for stream in streams:
            stream.close()
        assert process.process.poll() is None
    assert sent > 30 * MB
    assert grown < 64, f"{grown:.0f} MB more after {sent / MB:.0f} MB"
