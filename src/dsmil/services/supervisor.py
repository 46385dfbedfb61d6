"""``dsmil up``: the broker, the services in a few processes, and one clean end for all of them."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import msgspec

from dsmil import __version__
from dsmil.config import Settings
from dsmil.correlation._dedupe import read_rules
from dsmil.errors import ConfigError
from dsmil.infrastructure import store_place
from dsmil.infrastructure.address import broker_url, public_url
from dsmil.infrastructure.broker import Broker, bundled_binary, die_with_parent, system_binary
from dsmil.infrastructure.instance import InstanceRecord, StateDir
from dsmil.services import groundwork
from dsmil.services.aside import aside
from dsmil.services.ports import listen

if TYPE_CHECKING:
    import socket
    import threading
    from collections.abc import Callable

#: Process -> parts. Router and store writer are apart, so that neither waits for the other's lock.
_CORE: Final = {"router": ["soc-router"], "store": ["store-writer", "janitor", "auditor"]}
#: What DSMIL_LISTEN may begin with: the subcommands of `dsmil listen` that run.
_LISTENERS: Final = ("syslog", "http", "redis-list")
#: Documented port of SHRINK; the demo's player takes it or the next free one.
_SHRINK_PORT: Final = 8500
#: How often children are looked at that nobody has said a word about.
_LOOK_S: Final = 5.0
#: Longest pause before a service that died is started anew: the promise is 2 s.
_LONGEST_PAUSE_S: Final = 1.5
#: A process that lived this long is not in a crash loop.
_SETTLED_S: Final = 30.0
_STOP_S: Final = 15.0


class Child(msgspec.Struct):
    """One process of the fabric."""

    name: str
    command: list[str]
    #: Sockets it inherits; kept open here so that a restart finds them again.
    sockets: list[socket.socket]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    due: float = 0.0


def listeners(text: str) -> list[tuple[str, list[str]]]:
    """Return name and words of each listener that DSMIL_LISTEN asks for; raises ConfigError."""
    found: list[tuple[str, list[str]]] = []
    for part in text.split(";"):
        try:
            words = shlex.split(part)
        except ValueError as exc:
            raise ConfigError(f"DSMIL_LISTEN={text!r}: {exc}") from None
        if not words:
            continue
        if words[0] not in _LISTENERS:
            known = ", ".join(_LISTENERS)
            raise ConfigError(f"DSMIL_LISTEN={text!r}: {words[0]!r} is no listener; there are: {known}")
        same = sum(name.startswith(f"listen-{words[0]}") for name, _ in found)
        found.append((f"listen-{words[0]}{f'-{same + 1}' if same else ''}", words))
    return found


class Supervisor:
    """Starts and keeps running everything that one instance consists of."""

    def __init__(
        self,
        settings: Settings,
        *,
        demo: bool = False,
        durable: bool = False,
        system_broker: bool = False,
        log_to_files: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``say`` is told, in one line each, what a person at the terminal should know."""
        self._settings = settings
        self._demo = demo
        self._durable = durable
        self._system_broker = system_broker
        self._log_to_files = log_to_files
        self._say = say
        self._state = StateDir(settings.state_dir)
        self._broker: Broker | None = None
        self._broker_mode = "given"
        self._children: list[Child] = []
        self._environment: dict[str, str] = {}
        self._stopping = False

    def start(self) -> None:
        """Take the state directory, start broker and services; raises when one of the first two fails."""
        listeners(self._settings.listen)  # a slip is told before anything is started
        if self._settings.dedupe:
            read_rules(self._settings.dedupe)
        self._state.acquire()
        try:
            place = store_place.choose(self._settings)
            if place.path.exists():
                aside(groundwork.refuse_newer_store, place.path)
            url = self._start_broker()
            handlers = aside(groundwork.lay, self._settings, url, place.path)
            self._start_services(url, place, handlers)
        except BaseException:
            self.stop()
            raise

    def _start_broker(self) -> str:
        settings = self._settings
        if settings.redis_url or settings.redis_explicit:
            return broker_url(settings)
        self._broker_mode = "system" if self._system_broker else "bundled"
        binary = system_binary() if self._system_broker else bundled_binary()
        most = settings.broker_max_bytes
        self._broker = Broker(binary, settings.state_dir, durable=self._durable, max_bytes=most)
        self._broker.start()
        fsync = "every write" if self._durable else "every second"
        self._say(f"broker   {self._broker_mode} {binary.name} on {self._broker.socket}, fsync {fsync}")
        return self._broker.url

    def _start_services(self, url: str, place: store_place.Place, handlers: list[str]) -> None:
        if self._broker is None:
            self._say(f"broker   {public_url(url)} (given)")
        warn = "WARNING: " if place.degraded else ""
        self._say(f"store    {place.path} ({warn}{place.reason})")
        shrink_url = self._settings.shrink_url
        ports: dict[str, int] = {}
        if self._demo:
            player = listen(_SHRINK_PORT)
            ports["shrink"] = player.getsockname()[1]
            shrink_url = f"http://127.0.0.1:{ports['shrink']}"
            self._add("demo", ["demo", "--shrink-fd", str(player.fileno())], [player])
        for name, parts in (_CORE | {"detect": handlers}).items():
            sock = listen()
            ports["metrics" if name == "router" else f"metrics-{name}"] = sock.getsockname()[1]
            self._add(name, ["run", *parts, "--metrics-fd", str(sock.fileno())], [sock])
        for name, words in listeners(self._settings.listen):
            sock = listen()
            ports[f"metrics-{name}"] = sock.getsockname()[1]
            self._add(name, ["listen", *words, "--metrics-fd", str(sock.fileno())], [sock])
        self._state.write(
            InstanceRecord(
                pid=os.getpid(),
                started=time.time(),
                version=__version__,
                broker_url=public_url(url),
                socket=str(self._broker.socket) if self._broker else "",
                broker_mode=self._broker_mode,
                hotpath_db=str(place.path),
                ports=ports,
                shrink_url=public_url(shrink_url),
                rules=self._settings.rules,
            )
        )
        self._environment = os.environ | {
            "DSMIL_STATE_DIR": str(self._settings.state_dir),
            "HOTPATH_DB": str(place.path),
            "SHRINK_URL": shrink_url,
            "REDIS_URL": url,
        }
        for child in self._children:
            self._spawn(child)
        label = " (recorded readings)" if self._demo else ""
        self._say(f"shrink   {public_url(shrink_url)}{label}")
        self._say(f"metrics  http://127.0.0.1:{ports['metrics']}/metrics and /health")
        self._say(
            f"running  {', '.join(child.name for child in self._children)} (state: {self._settings.state_dir})"
        )

    def _add(self, name: str, arguments: list[str], sockets: list[socket.socket]) -> None:
        # Nothing is imported from the folder that somebody happens to be in (-P).
        command = [sys.executable, "-P", "-m", "dsmil", *arguments]
        self._children.append(Child(name=name, command=command, sockets=sockets))

    def _spawn(self, child: Child) -> None:
        with contextlib.ExitStack() as files:
            errors: IO[bytes] | None = None
            if self._log_to_files:
                folder = Path(self._settings.state_dir) / "logs"
                folder.mkdir(exist_ok=True)
                errors = files.enter_context((folder / f"{child.name}.log").open("ab"))
            child.process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                child.command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,  # Ctrl-C reaches us; we end the others in order
                pass_fds=[sock.fileno() for sock in child.sockets],
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - prctl only; this process has no threads
            )
        child.started = time.monotonic()

    def tend(self) -> None:
        """Start anew what has died, after a pause when it does so often. It never gives up."""
        if self._broker is not None and self._broker.poll() is not None:
            self._say(f"broker   stopped with code {self._broker.poll()}, starting it anew")
            self._broker.start()
        now = time.monotonic()
        for child in self._children:
            if child.process is None:
                if now >= child.due:
                    self._spawn(child)
            elif child.process.poll() is not None:
                code = child.process.returncode
                child.failures = 1 if now - child.started > _SETTLED_S else child.failures + 1
                child.due = now + min(0.1 * 2 ** min(child.failures - 1, 10), _LONGEST_PAUSE_S)
                child.process = None
                self._say(f"{child.name:8} ended with code {code}, starting it anew")

    def run(self, stopping: Callable[[], bool], woken: threading.Event) -> None:
        """Tend the fabric until ``stopping`` says so; ``woken`` is set when that, or a child, may have changed."""
        while not stopping():
            woken.clear()
            self.tend()
            waiting = [child.due for child in self._children if child.process is None]
            woken.wait(max(min(waiting) - time.monotonic(), 0.0) if waiting else _LOOK_S)

    def stop(self) -> None:
        """Stop the services, then the broker, and give the state directory back."""
        if self._stopping:
            return
        self._stopping = True
        running = [child for child in self._children if child.process and child.process.poll() is None]
        for child in running:
            if child.process is not None:
                child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_S
        for child in running:
            if child.process is None:
                continue
            try:
                child.process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                self._say(f"{child.name:8} did not stop within {_STOP_S:.0f} s and was killed")
                child.process.kill()
                child.process.wait()
        for child in self._children:
            for sock in child.sockets:
                sock.close()
        if self._broker is not None:
            self._broker.stop()
        self._state.release()
