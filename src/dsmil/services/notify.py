"""Telling the service manager how the process is doing: the datagrams of sd_notify, without its library."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

#: Longest wait for a manager whose queue is full; the host has other work.
_SEND_S: Final = 1.0


class Notifier:
    """Sends states to ``NOTIFY_SOCKET``; without that variable it does nothing."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """Read where to send, and how often the manager wants to hear that all is well."""
        env = os.environ if environ is None else environ
        address = env.get("NOTIFY_SOCKET", "")
        # An abstract address is written with @; the kernel wants a NUL there.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        usec = env.get("WATCHDOG_USEC", "")
        ours = env.get("WATCHDOG_PID", "") in {"", str(os.getpid())}
        #: Seconds of silence after which the manager ends this process; 0.0 means it does not watch.
        self.watchdog_s = int(usec) / 1e6 if address and ours and usec.isdigit() else 0.0

    def send(self, *states: str) -> bool:
        """Send ``READY=1`` and the like; False when there is nobody to tell, which is never an error."""
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.settimeout(_SEND_S)
                sock.sendto("\n".join(states).encode(), self._address)
        except OSError:
            return False  # the manager is away or busy; the next state goes out soon
        return True
