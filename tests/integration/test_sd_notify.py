"""What the host tells the service manager, over a real datagram socket."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.service_manager import Manager

from dsmil.config import Settings
from dsmil.services.notify import Notifier
from dsmil.testing.waiting import until

#: A process whose one part works for a moment, then hangs in its own code and asks for nothing any more.
HUNG = """
import sys, threading
from dsmil.config import Settings
from dsmil.services.host import Host
from dsmil.services.part import Vitals

class Hung:
    name, device_id = "hung", 16
    def run(self, stop):
        stop.is_set()
        threading.Event().wait()
    def wake(self): pass
    def vitals(self):
        return Vitals(name=self.name, device_id=16, outcomes={}, layers={}, checks={"broker": ""})
    def record(self, db): pass
    def stats_line(self, uptime_s): return None

stop = threading.Event()
import signal
signal.signal(signal.SIGTERM, lambda *_: stop.set())
sys.exit(Host([Hung()], Settings.from_env(), stop).run())
"""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    listening = Manager(str(tmp_path / "notify"))
    yield listening
    listening.close()


@contextlib.contextmanager
def process(
    manager: Manager, settings: Settings, *command: str, **extra: str
) -> Iterator[subprocess.Popen[bytes]]:
    env = os.environ | {
        "NOTIFY_SOCKET": manager.address,
        "WATCHDOG_USEC": "4000000",
        "REDIS_URL": str(settings.redis_url),
        "HOTPATH_DB": settings.hotpath_db,
        "DSMIL_STATE_DIR": str(settings.state_dir),
        "SHRINK_URL": "http://127.0.0.1:9",
        "POLL_TIMEOUT": "100",
    }
    child = subprocess.Popen([sys.executable, *command], env=env | extra, stderr=subprocess.DEVNULL)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


ROUTER = ("-m", "dsmil", "run", "soc-router", "store-writer", "--metrics-port", "0")


@pytest.mark.usefixtures("bus")
@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_a_service_says_that_it_is_ready_alive_and_stopping(
    settings: Settings, tmp_path: Path, *, abstract: bool
) -> None:
    if abstract and not sys.platform.startswith("linux"):
        pytest.skip("abstract addresses exist on Linux only")
    manager = Manager(f"@dsmil-{os.getpid()}" if abstract else str(tmp_path / "notify"))
    with contextlib.closing(manager), process(manager, settings, *ROUTER) as child:
        until(lambda: "READY=1" in manager.receive(), what="READY=1")
        until(lambda: "STATUS=running soc-router, store-writer" in manager.receive(), what="the status")
        until(lambda: manager.receive().count("WATCHDOG=1") >= 2, what="WATCHDOG=1 again")
        assert "STOPPING=1" not in manager.states
        child.send_signal(signal.SIGTERM)
        assert child.wait(15) == 0
        assert "STOPPING=1" in manager.receive()
        assert manager.states.count("READY=1") == 1


def test_waiting_for_a_broker_is_ready_after_a_while_and_says_why(
    settings: Settings, manager: Manager, tmp_path: Path
) -> None:
    url = f"unix://{tmp_path}/nobody"
    started = time.monotonic()
    with process(manager, settings, *ROUTER, REDIS_URL=url):
        until(
            lambda: any(s.startswith("STATUS=soc-router: broker: ") for s in manager.receive()), what="the cause"
        )
        assert "READY=1" not in manager.states or time.monotonic() - started > 9
        until(lambda: "READY=1" in manager.receive(), what="READY=1")
        assert time.monotonic() - started > 9
        count = manager.receive().count("WATCHDOG=1")
        until(lambda: manager.receive().count("WATCHDOG=1") > count, what="WATCHDOG=1 without a broker")


def test_a_hung_part_stops_the_watchdog(settings: Settings, manager: Manager) -> None:
    with process(manager, settings, "-c", HUNG) as child:
        until(lambda: "WATCHDOG=1" in manager.receive(), what="WATCHDOG=1")
        last, count = time.monotonic(), 0
        # Silent for longer than the manager would wait: it would have ended the process by now.
        while time.monotonic() - last < 5:
            until(manager.receive, what="states")
            if manager.states.count("WATCHDOG=1") != count:
                last, count = time.monotonic(), manager.states.count("WATCHDOG=1")
            assert count < 10, "it goes on saying that all is well"
        assert count >= 3
        assert child.poll() is None


def test_nothing_is_sent_without_a_manager(tmp_path: Path) -> None:
    assert not Notifier({}).send("READY=1")
    assert not Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).send("READY=1")


def test_the_watchdog_of_another_process_is_not_ours(manager: Manager) -> None:
    env = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "30000000"}
    assert Notifier(env).watchdog_s == 30.0
    assert Notifier(env | {"WATCHDOG_PID": str(os.getpid())}).watchdog_s == 30.0
    assert Notifier(env | {"WATCHDOG_PID": "1"}).watchdog_s == 0.0
    assert Notifier({"WATCHDOG_USEC": "30000000"}).watchdog_s == 0.0
