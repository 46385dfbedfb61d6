"""A broker process of a scenario's own, with its data on disk, to be killed, frozen and started again."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from dsmil.errors import BrokerFailed
from dsmil.infrastructure.broker import Broker, bundled_binary, system_binary


def binaries() -> dict[str, Path]:
    """Return the servers there are: the bundled one, and a given Valkey or Redis where one is on PATH."""
    found = {"bundled": bundled_binary()}
    with contextlib.suppress(BrokerFailed):
        found["system"] = system_binary()
    return found


class FaultBroker(Broker):
    """Starts as ``dsmil up`` starts it: append-only file, ``always`` when durable, else ``everysec``."""

    def kill(self) -> None:
        """SIGKILL; its data stay. Start it again with :meth:`start`."""
        if self._process is None or self.pid is None:
            raise RuntimeError("it does not run")
        os.kill(self.pid, signal.SIGKILL)
        self._process.wait(10)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stop it for good, frozen or not."""
        if self.pid is not None and self.poll() is None:
            self.thaw()
        super().stop()

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is None:
            raise RuntimeError("it does not run")
        os.kill(self.pid, number)
