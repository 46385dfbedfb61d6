"""Service processes that are killed, frozen and started anew."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Final

import msgspec
from tests.acceptance.fabric_process import ROOT

from dsmil.testing.waiting import until

_STOP_S: Final = 25.0
#: How a process ends that was asked to; by the signal itself when it had not even begun.
_CLEAN: Final = {0, -signal.SIGTERM}
#: After this time a life whose trap has not sprung is ended, and tried again later.
_PATIENCE_S: Final = 10.0


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """How one life of a process shall end; by default only when it is told to."""

    #: Name of a point (see :mod:`tests.faults.points`), or empty.
    point: str = ""
    #: Which hit of it springs the trap.
    nth: int = 1
    #: SIGKILL, or SIGSTOP to freeze it there until it is thawed.
    signal: int = signal.SIGKILL


#: A life that ends with entries in hand.
HOLDING: Final = Life(point="read_new:after")


class Death(msgspec.Struct, frozen=True):
    """How a life ended: exit status as subprocess gives it, and whether its trap had sprung."""

    slot: str
    status: int
    life: Life
    hit: bool


class Slot:
    """One place for a process; whoever dies there is followed by the next life at once."""

    def __init__(
        self, name: str, request: dict[str, Any], lives: Iterable[Life], env: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.log = log
        self.deaths: list[Death] = []
        #: Process id of the present life, 0 while there is none.
        self.pid = 0
        self.frozen = False
        self.expected_kills = 0
        self._request = request
        self._lives = deque(lives)
        self._ending = threading.Event()
        self._life = Life()
        self._born = 0.0
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.failpoint", str(log), str(os.getpid())],
                env=dict(env),
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        self._thread = threading.Thread(target=self._tend, name=name, daemon=True)

    @property
    def planned(self) -> int:
        """How many lives with a trap are still to end."""
        return len(self._lives) + bool(self._life.point)

    def add(self, *lives: Life) -> None:
        """Plan more lives; the present one must end first."""
        self._lives.extend(lives)

    def try_again(self) -> None:
        """Put off a life that has waited too long for its step: the entries it needs may be with another."""
        life = self._life
        if life.point and self.pid and time.monotonic() - self._born > _PATIENCE_S:
            self._born = time.monotonic()
            self.add(HOLDING, life)
            self.kill()

    def start(self) -> None:
        self._thread.start()
        until(lambda: self.pid, 30, f"the start of {self.name}")

    def _tend(self) -> None:
        orders, answers = self._process.stdin, self._process.stdout
        if orders is None or answers is None:
            raise RuntimeError("no pipes")
        while not self._ending.is_set():
            self._life = self._lives.popleft() if self._lives else Life()
            self._born = time.monotonic()
            orders.write(json.dumps(self._request | msgspec.to_builtins(self._life)) + "\n")
            orders.flush()
            if not self._outlast(answers):
                return
        orders.close()

    def _outlast(self, answers: IO[str]) -> bool:
        for line in answers:
            said = json.loads(line)
            if "stopped" in said:
                self.frozen = True
            elif "pid" in said:
                self.pid = said["pid"]
            else:
                self.pid, self.frozen = 0, False
                self.deaths.append(Death(self.name, said["status"], self._life, said["hit"]))
                self._life = Life()
                return True
        return False

    def kill(self) -> None:
        """Kill the present life from outside."""
        if self.pid:
            self.expected_kills += 1
            with contextlib.suppress(ProcessLookupError):  # it has just died by itself
                os.kill(self.pid, signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it until :meth:`thaw`; where it is just dying, the one that comes after it."""
        asked = 0

        def stopped() -> bool:
            nonlocal asked
            if self.pid not in {0, asked}:
                asked = self.pid
                with contextlib.suppress(ProcessLookupError):
                    os.kill(asked, signal.SIGSTOP)
            return self.frozen

        until(stopped, 30, f"the stop of {self.name}")

    def thaw(self) -> None:
        self.frozen = False
        os.kill(self.pid, signal.SIGCONT)

    def ask_to_end(self) -> None:
        self._ending.set()
        if self.pid:
            os.kill(self.pid, signal.SIGCONT)
            os.kill(self.pid, signal.SIGTERM)

    def end(self) -> None:
        """Leave no process behind; one that does not end by itself counts as an exit of its own."""
        self._thread.join(_STOP_S)
        if self._thread.is_alive():
            self._process.kill()  # its child dies with it
            self._thread.join(_STOP_S)
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(_STOP_S)
        if self._process.stdout is not None:
            self._process.stdout.close()


class Crew:
    """All service processes of one scenario."""

    def __init__(
        self, folder: Path, env: Mapping[str, str], *, mutant: str, constants: Mapping[str, object]
    ) -> None:
        self.slots: dict[str, Slot] = {}
        self._folder = folder
        self._env = env
        self._common = {"mutant": mutant, "constants": dict(constants)}

    def add(self, name: str, *arguments: str, lives: Iterable[Life] = ()) -> Slot:
        """Start ``dsmil ARGUMENTS`` under a name of the test's."""
        request = self._common | {"arguments": list(arguments)}
        slot = Slot(name, request, lives, self._env, self._folder / f"{name}.log")
        self.slots[name] = slot
        slot.start()
        return slot

    def hits(self) -> Counter[str]:
        """Return point -> how often its trap has sprung."""
        return Counter(d.life.point for slot in self.slots.values() for d in slot.deaths if d.hit)

    def play_out(self, timeout_s: float) -> None:
        """Wait until every planned life has ended; TimeoutError names what was never reached."""
        try:
            until(self._played_out, timeout_s, "the end of all lives")
        except TimeoutError as exc:
            open_ = {slot.name: (slot._life, slot.planned) for slot in self.slots.values() if slot.planned}
            raise TimeoutError(f"points not reached within {timeout_s} s: {open_}") from exc

    def _played_out(self) -> bool:
        for slot in self.slots.values():
            slot.try_again()
        return not any(slot.planned for slot in self.slots.values())

    def exits(self) -> list[str]:
        """Return the deaths that nobody ordered: anything but our kills and a clean end."""
        found = []
        for slot in self.slots.values():
            free = slot.expected_kills
            for death in slot.deaths:
                if death.hit and death.status == -death.life.signal:
                    continue
                if death.status == -signal.SIGKILL and free:
                    free -= 1
                elif death.status not in _CLEAN or not slot._ending.is_set():
                    found.append(f"{slot.name} ended with {death.status}: {_tail(slot.log)}")
        return found

    def stop(self) -> None:
        """End all of them as a service manager would."""
        for slot in self.slots.values():
            slot.ask_to_end()
        for slot in self.slots.values():
            slot.end()


def _tail(log: Path) -> str:
    return log.read_text("utf-8", "replace")[-600:]
