"""One run: a bundled broker, a store in memory, and processes as a user starts them, all gone at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import redis

from benchmarks.machine import cpu_seconds, cpu_seconds_of_started, rss_bytes
from dsmil.infrastructure.broker import Broker, bundled_binary, die_with_parent

ROOT = Path(__file__).resolve().parents[1]
PEER_PYTHON = ROOT / "benchmarks" / ".venv" / "bin" / "python"
_FOREIGN = (
    "REDIS_",
    "HOTPATH_",
    "SHRINK_",
    "DSMIL_",
    "BROKER_",
    "BATCH_SIZE",
    "POLL_TIMEOUT",
    "LOG_LEVEL",
    "XDG_",
)
_LOOK_S = 0.005
#: Behind the name of a process: what it has started.
ASIDE = ", aside"


class BenchFailed(Exception):
    """A run whose figures are worth nothing: an event was lost or doubled, or a process ended."""


def memory_folder() -> Path:
    """Return where stores lie: memory where the host has a tmpfs, as the documented place is."""
    shm = Path("/dev/shm")  # noqa: S108 - a folder of our own is made inside it
    return shm if os.access(shm, os.W_OK) else Path(tempfile.gettempdir())


class Process:
    """One running program, seen through /proc."""

    def __init__(self, name: str, command: list[str], env: Mapping[str, str], log: Path) -> None:
        """Start it."""
        self.name = name
        self.log = log
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                command,
                env=dict(env),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=sink,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - prctl only
            )
        self.pid = self._process.pid

    def check(self) -> None:
        """Raise when it has ended."""
        code = self._process.poll()
        if code is not None:
            raise BenchFailed(f"{self.name} ended with {code}: {self.log.read_text(errors='replace')[-2000:]}")

    def hold(self) -> None:
        """Stop it where it is, so that a backlog can be laid before it."""
        os.kill(self.pid, signal.SIGSTOP)

    def go(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def end(self, number: signal.Signals = signal.SIGTERM) -> bytes:
        """End it and return what it printed."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
        try:
            return self._process.communicate(timeout=30)[0]
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.communicate()[0]

    def wait_ready(self) -> None:
        """Wait for the first line it prints."""
        if self._process.stdout is not None:
            self._process.stdout.readline()
        self.check()

    def wait(self, timeout_s: float) -> bytes:
        """Wait for its own end and return what it printed; a failure raises."""
        out = self._process.communicate(timeout=timeout_s)[0]
        if self._process.returncode != 0:
            raise BenchFailed(f"{self.name}: {self.log.read_text(errors='replace')[-2000:]}")
        return out

    @property
    def cpu(self) -> float:
        """CPU seconds that it and what it started have used."""
        return cpu_seconds(self.pid) + cpu_seconds_of_started(self.pid)

    @property
    def rss(self) -> int:
        """Resident bytes."""
        return rss_bytes(self.pid)


class Rig:
    """Broker, store and processes of one run."""

    def __init__(self, *, durable: bool = False, max_store_bytes: int = 0, shrink_url: str = "") -> None:
        """Name what differs from run to run; nothing is started yet."""
        self._durable = durable
        self._stack = contextlib.ExitStack()
        self._max_store_bytes = max_store_bytes
        self.shrink_url = shrink_url or "http://127.0.0.1:9"
        self.processes: list[Process] = []
        self.tcp_port = 0

    def __enter__(self) -> Rig:
        """Start the broker."""
        try:
            self.work = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="dsmil-bench-")))
            shm = tempfile.mkdtemp(prefix="dsmil-bench-", dir=memory_folder())
            self._stack.callback(shutil.rmtree, shm, ignore_errors=True)
            self.store = Path(shm) / "hotpath.db"
            self._broker = Broker(bundled_binary(), self.work, durable=self._durable, max_bytes=8 << 30)
            self._broker.start()
            self._stack.callback(self._broker.stop)
            self.socket = str(self._broker.socket)
            self.client = self._stack.enter_context(redis.Redis(unix_socket_path=self.socket, protocol=2))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        """End every process, then the broker."""
        for process in reversed(self.processes):
            process.end()
        self._stack.close()

    def open_tcp(self) -> int:
        """Let the broker also listen on a loopback port and return it: the reference loop comes by TCP."""
        with contextlib.closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.tcp_port = int(probe.getsockname()[1])
        self.client.config_set("bind", "127.0.0.1")
        self.client.config_set("port", self.tcp_port)
        return self.tcp_port

    @property
    def environment(self) -> dict[str, str]:
        """Environment of the product's processes."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        return kept | {
            "DSMIL_STATE_DIR": str(self.work),
            "REDIS_URL": f"unix://{self.socket}",
            "HOTPATH_DB": str(self.store),
            "HOTPATH_MAX_BYTES": str(self._max_store_bytes),
            "SHRINK_URL": self.shrink_url,
        }

    def start(self, name: str, *command: str | Path) -> Process:
        """Start a program beside the broker."""
        words = [str(word) for word in command]
        process = Process(name, words, self.environment, self.work / f"{name}-{len(self.processes)}.log")
        self.processes.append(process)
        return process

    def service(self, *names: str) -> Process:
        """Start services of the product as a unit does."""
        return self.start(names[0], sys.executable, "-m", "dsmil", "run", *names, "--metrics-port", "0")

    def tool(self, module: str, *arguments: str | Path) -> Process:
        """Start a program of the suite that uses the product's environment."""
        return self.start(module, sys.executable, "-m", f"benchmarks.{module}", *arguments)

    def peer(self, path: str, *arguments: str | Path) -> Process:
        """Start a contender in the environment made for them."""
        return self.start(Path(path).stem, PEER_PYTHON, ROOT / "benchmarks" / path, *arguments)

    def until(self, condition: Callable[[], Any], timeout_s: float, what: str) -> float:
        """Look until the condition holds; return the time when it did. An ended process or lateness raises."""
        deadline = time.monotonic() + timeout_s
        looks = 0
        while not condition():
            looks += 1
            if looks % 20 == 0:
                for process in self.processes:
                    process.check()
            if time.monotonic() > deadline:
                logs = "\n".join(p.log.read_text(errors="replace")[-600:] for p in self.processes)
                raise BenchFailed(f"no {what} within {timeout_s:.0f} s\n{logs}")
            time.sleep(_LOOK_S)
        return time.monotonic()

    def add(self, stream: str, bodies: list[bytes]) -> None:
        """Add entries, a thousand at a time."""
        for start in range(0, len(bodies), 1000):
            with self.client.pipeline(transaction=False) as pipe:
                for body in bodies[start : start + 1000]:
                    pipe.xadd(stream, {"event": body})
                pipe.execute()

    def cpu(self) -> dict[str, float]:
        """Return CPU seconds of each process and of the broker; what a process started stands apart, as ASIDE."""
        found: dict[str, float] = {"broker": cpu_seconds(self._broker.pid or 0)}
        for process in self.processes:
            found[process.name] = found.get(process.name, 0.0) + cpu_seconds(process.pid)
            if started := cpu_seconds_of_started(process.pid):
                found[process.name + ASIDE] = found.get(process.name + ASIDE, 0.0) + started
        return found


@contextlib.contextmanager
def shrink_server() -> Iterator[str]:
    """Serve operator readings from a process of their own; yield the address."""
    command = [sys.executable, "-m", "benchmarks.shrink"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent(),  # noqa: PLW1509
    )
    try:
        yield process.stdout.readline().strip() if process.stdout else ""
    finally:
        process.terminate()
        process.communicate()
