"""Senders and figures for tests of listeners: real sockets, the real broker."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from dsmil.config import Settings
from dsmil.events.streams import StreamName
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.listening.specs import Limits, Spec
from dsmil.services.listening.syslog import SyslogListener
from dsmil.services.listening.tallies import Tallies
from dsmil.services.metric_names import MetricName
from dsmil.sources._frames import Framing
from dsmil.sources.suricata_eve import SuricataEve
from dsmil.testing.waiting import until

LIMITS = Limits(max_connections=50, max_message=8192, max_waiting=4 * 1024 * 1024)


def line(number: int, pad: str = "") -> bytes:
    """Return one record; each number is another."""
    record = {"timestamp": "2026-01-01T00:00:00+0000", "event_type": "flow", "flow_id": number}
    return json.dumps(record | ({"pad": pad} if pad else {})).encode()


def lines(first: int, count: int, pad: str = "") -> bytes:
    return b"".join(line(number, pad) + b"\n" for number in range(first, first + count))


def listener(
    settings: Settings, *specs: Spec, framing: Framing = Framing.AUTO, limits: Limits = LIMITS
) -> SyslogListener:
    return SyslogListener(SuricataEve(), settings, specs, framing=framing, limits=limits)


def tcp(**more: object) -> Spec:
    return Spec(scheme="tcp", address="127.0.0.1:0", **more)  # type: ignore[arg-type]


def port(part: SyslogListener, index: int = 0) -> int:
    return int(part.endpoints[index].rpartition(":")[2])


def connect(part: SyslogListener, index: int = 0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port(part, index)), timeout=20)


def numbers(bus: RedisStreamsClient) -> list[int]:
    """Return the numbers of the records in ``L3_IN``, in order, doubles included."""
    return [event.payload["flow_id"] for _, event in bus.read(StreamName.L3_IN, count=1_000_000)]


def ids(bus: RedisStreamsClient) -> set[str]:
    return {event.event_id for _, event in bus.read(StreamName.L3_IN, count=1_000_000)}


def figure(tallies: Tallies, metric: MetricName, *labels: str) -> int:
    """Return the sum of a metric over the labels that end in those given."""
    found = tallies.figures().get(metric.name, {})
    return int(sum(value for key, value in found.items() if key[len(key) - len(labels) :] == labels))


def taken(part: SyslogListener) -> int:
    """Return how many records have been settled."""
    return sum(part.tallies.outcomes().values())


class Process:
    """``dsmil listen`` as a process; its port is told by its device's heartbeat, or given."""

    def __init__(self, settings: Settings, *arguments: str) -> None:
        environment = os.environ | {
            "REDIS_URL": str(settings.redis_url),
            "DSMIL_STATE_DIR": str(settings.state_dir),
            "HOTPATH_DB": settings.hotpath_db,
        }
        command = [sys.executable, "-m", "dsmil", "listen", *arguments, "--metrics-port", "0"]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def rss_mb(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def reachable(number: int) -> socket.socket:
    """Return a connection to a port, once somebody listens there."""

    def attempt() -> socket.socket | None:
        try:
            return socket.create_connection(("127.0.0.1", number), timeout=20)
        except OSError:
            return None

    return until(attempt, what=f"a listener on port {number}")  # type: ignore[return-value]
