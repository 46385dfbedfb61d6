"""One process running several parts: threads, signals, heartbeats, metrics, and a clean end."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Final

from dsmil import log
from dsmil.errors import DsmilError, NotAllowed, StoreTooNew
from dsmil.events import devices
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.catalogue import make_parts
from dsmil.services.garbage import collect_seldom
from dsmil.services.metrics import PartsCollector
from dsmil.services.metrics_http import serve_parts
from dsmil.services.notify import Notifier
from dsmil.services.part import PlainPart
from dsmil.services.priority import step_back
from dsmil.services.pulse import Pulse
from dsmil.services.signalled import SignalEvent
from dsmil.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dsmil.config import Settings
    from dsmil.services.part import Part

_HEARTBEAT_S: Final = 5.0
_STATS_S: Final = 30.0
#: How long the parts may take to finish what they have in hand.
DRAIN_S: Final = 10.0
#: How long the service manager may wait for a broker before it hears that the process is up without one.
_READY_S: Final = 10.0
#: How often the main thread looks what to tell the service manager: while the process starts, and later.
_LOOK_S: Final = (1.0, 5.0)
#: A call to a broker that went silent returns this many seconds after POLL_TIMEOUT at the latest.
_SLOWEST_CALL_S: Final = 10.0
#: By how much a process steps back whose work may come later.
_STEP_BACK: Final = 5
#: Longest status line, characters.
_STATUS_LENGTH: Final = 300


def run_parts(names: list[str], settings: Settings, *, metrics_socket: socket.socket | None = None) -> int:
    """Run the named parts until SIGTERM or SIGINT; return the process's exit code.

    A part that ends by an error ends the process with code 70, so that whoever supervises it starts it anew;
    one whose user, password or rights the broker refuses at the start, or whose store a newer version wrote,
    with 69.
    """
    return host_parts(make_parts(names, settings), settings, metrics_socket=metrics_socket)


def host_parts(parts: Sequence[Part], settings: Settings, *, metrics_socket: socket.socket | None = None) -> int:
    """Run parts that are made already, as :func:`run_parts` does."""
    stop = SignalEvent()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return Host(parts, settings, stop, metrics_socket).run()


class Host:
    """Runs parts in threads of this process."""

    def __init__(
        self,
        parts: Sequence[Part],
        settings: Settings,
        stop: threading.Event,
        metrics_socket: socket.socket | None = None,
    ) -> None:
        """Take the parts; nothing runs yet."""
        self._parts = parts
        self._settings = settings
        self._stop = stop
        self._socket = metrics_socket
        self._db = HotPathDB(settings=settings)
        self._code = 0
        self._notifier = Notifier()
        self._pulses = [Pulse(stop) for _ in parts]
        self._threads: list[threading.Thread] = []
        self._status = ""
        self._silent = ""
        self._log = log.get("host")

    def _step_back(self) -> None:
        """Let who routes go first where cores are short: rows may come later than alerts, never the other way."""
        if all(isinstance(part, PlainPart) and part.gives_way for part in self._parts):
            step_back(_STEP_BACK)

    def run(self) -> int:
        """Run until the stop event is set or a part breaks; return the exit code."""
        self._log.info(
            "host.start", parts=[p.name for p in self._parts], store=str(self._db.place.path), pid=os.getpid()
        )
        collect_seldom()
        self._step_back()
        threads = self._threads = [
            threading.Thread(target=self._guard, args=(part, pulse), name=part.name, daemon=True)
            for part, pulse in zip(self._parts, self._pulses, strict=True)
        ]
        for thread in threads:
            thread.start()
        housekeeper = threading.Thread(target=self._keep_house, name="housekeeper", daemon=True)
        housekeeper.start()
        server = None
        if self._socket is not None:
            bus = RedisStreamsClient(settings=self._settings)
            server = serve_parts(self._socket, self._parts, PartsCollector(self._parts, bus, self._db), bus)
        # A bare wait() would not let a signal handler run on every platform.
        ready, give_up = False, time.monotonic() + _READY_S
        while not self._stop.wait(_LOOK_S[ready]):
            ready = self._tell_status(ready=ready, late=time.monotonic() >= give_up)
        self._notifier.send("STOPPING=1", "STATUS=finishing what is in hand")
        for part in self._parts:
            part.wake()
        deadline = time.monotonic() + DRAIN_S
        for thread in [*threads, housekeeper]:
            thread.join(max(deadline - time.monotonic(), 0.1))
        if server is not None:
            server.server_close()
        late = [thread.name for thread in threads if thread.is_alive()]
        if late:
            self._log.warning("host.drain_incomplete", parts=late, waited_s=DRAIN_S)
        for part in self._parts:
            row = devices.device(part.device_id)
            self._db.update_device_status(row.device_id, row.layer, row.name, "OFFLINE")
        self._db.refresh_layer_states()
        self._db.disconnect()
        self._log.info("host.stop", failed=self._code != 0)
        return self._code

    def _tell_status(self, *, ready: bool, late: bool) -> bool:
        """Tell the service manager what has changed; return whether it knows that the process is ready.

        Waiting for a broker is not a failed start: after a while the process is ready and says what it lacks.
        """
        vitals = [part.vitals() for part in self._parts]
        wrong = [f"{part.name}: {check}: {text}" for part in vitals for check, text in part.checks.items() if text]
        status = "; ".join(wrong) or f"running {', '.join(part.name for part in vitals)}"
        states = [f"STATUS={printable(status, _STATUS_LENGTH)}"] if status != self._status else []
        if not ready and (late or not any(part.checks.get("broker") for part in vitals)):
            states, ready = ["READY=1", *states], True
        if states:
            self._notifier.send(*states)
            self._status = status
        return ready

    def _tell_alive(self) -> None:
        """Feed the watchdog while every part's thread lives and moves; a hung part gets the process restarted."""
        if not self._notifier.watchdog_s:
            return
        longest = max(self._notifier.watchdog_s, self._settings.poll_timeout_ms / 1000 + _SLOWEST_CALL_S)
        silent = [
            thread.name
            for thread, pulse in zip(self._threads, self._pulses, strict=True)
            if not thread.is_alive() or pulse.silent_s() > longest
        ]
        names = ", ".join(silent)
        if names and names != self._silent:
            self._log.error("host.part_hung", parts=silent, silent_longer_than_s=longest)
        self._silent = names
        if not silent:
            self._notifier.send("WATCHDOG=1")

    def _guard(self, part: Part, stop: threading.Event) -> None:
        try:
            part.run(stop)
        except NotAllowed as exc:
            self._log.error("host.not_allowed", part=part.name, cause=str(exc))
            self._code = 69
            self._stop.set()
        except StoreTooNew as exc:
            self._log.error("host.store_too_new", part=part.name, cause=str(exc))
            self._code = 69
            self._stop.set()
        except Exception:  # noqa: BLE001 - the process ends and is started anew: a part that is gone must not go unnoticed
            self._log.exception("host.part_broken", part=part.name)
            self._code = 70
            self._stop.set()

    def _keep_house(self) -> None:
        """Heartbeats, readings and the statistics line; apart from routing, which must not wait for the store."""
        started = time.monotonic()
        next_stats = started + _STATS_S
        while True:
            self._tell_alive()
            for part in self._parts:
                try:
                    part.record(self._db)
                except DsmilError as exc:
                    self._log.warning("host.heartbeat_failed", part=part.name, cause=str(exc))
            self._db.refresh_layer_states()
            now = time.monotonic()
            if now >= next_stats:
                next_stats = now + _STATS_S
                for part in self._parts:
                    line = part.stats_line(int(now - started))
                    if line is not None:
                        self._log.info(line, part=part.name)
            if self._stop.wait(min(_HEARTBEAT_S, self._notifier.watchdog_s / 3 or _HEARTBEAT_S)):
                return
