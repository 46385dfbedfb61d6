"""The service manager for tests: reads units, starts their very commands, and hears what they tell."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Programs of the installation, as this checkout has them.
_PROGRAMS = {
    "/opt/dsmil/.venv/bin/dsmil": [sys.executable, "-m", "dsmil"],
    "/opt/dsmil/.venv/bin/python": [sys.executable],
}


class Manager:
    """The manager's side: a bound socket and every state that came in."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(0)
        self.address = address
        self.states: list[str] = []

    def receive(self) -> list[str]:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.states += self._socket.recv(65536).decode().split("\n")
        return self.states

    def close(self) -> None:
        self._socket.close()


class Unit:
    """One unit's process, with the environment files of ``folder`` in place of /etc/dsmil."""

    def __init__(self, name: str, folder: Path) -> None:
        stem, _, self.instance = name.partition("@")
        file = ROOT / "systemd" / f"{name}.service"
        if not file.exists():
            file = ROOT / "systemd" / f"{stem}@.service"
        self.name = name
        self._text = file.read_text().replace("%i", self.instance)
        self._folder = folder
        self.manager = Manager(str(folder / f"notify-{name}"))
        self._log = (folder / f"{name}.log").open("ab")
        self.process: subprocess.Popen[bytes] | None = None

    def _all(self, key: str) -> list[str]:
        return re.findall(rf"^{key}=(.*)$", self._text, re.MULTILINE)

    def environment(self) -> dict[str, str]:
        """Return what the unit's process gets: nothing of this process but where programs lie."""
        found = {"PATH": os.environ["PATH"]}
        for line in self._all("Environment"):
            found |= dict(word.split("=", 1) for word in line.split())
        for named in self._all("EnvironmentFile"):
            file = self._folder / Path(named.removeprefix("-")).name
            assert named.startswith("-") or file.exists(), f"{file} is required"
            lines = file.read_text().splitlines() if file.exists() else []
            found |= dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        return found

    def command(self, environment: dict[str, str]) -> list[str]:
        """Return ExecStart with its variables filled in, a word each, and with the paths of this checkout."""
        (line,) = self._all("ExecStart")
        words = [
            re.sub(r"\$\{(\w+)\}", lambda m: environment.get(m[1], ""), word)
            for given in line.split()
            for word in (environment.get(given[1:], "").split() if re.fullmatch(r"\$\w+", given) else [given])
        ]
        return [*_PROGRAMS[words[0]], *(word.replace("/opt/dsmil", str(ROOT)) for word in words[1:])]

    def start(self) -> None:
        """Start it as systemd would; a watchdog of four seconds, so that tests need not wait."""
        environment = self.environment()
        self.manager.states.clear()
        self.process = subprocess.Popen(
            self.command(environment),
            env=environment | {"NOTIFY_SOCKET": self.manager.address, "WATCHDOG_USEC": "4000000"},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    def stop(self, timeout_s: float = 15.0) -> int:
        """Stop it by SIGTERM; return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def said(self, state: str) -> bool:
        """Return whether it has told the manager this, or a state that begins so."""
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {self.log()}")
        return any(one.startswith(state) for one in self.manager.receive())

    def status(self) -> str:
        """Return its newest status line."""
        return next((one for one in reversed(self.manager.receive()) if one.startswith("STATUS=")), "")

    def log(self) -> str:
        """Return what it has printed."""
        return (self._folder / f"{self.name}.log").read_text()

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.manager.close()
        self._log.close()
