"""Syslog in datagrams: UDP and unix datagram sockets. Runs in the listener's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dsmil.services import metric_names
from dsmil.services.listening.address import shown
from dsmil.services.listening.intake import Chunk
from dsmil.sources._frames import Bad

if TYPE_CHECKING:
    import socket

    from dsmil.services.listening.intake import Intake
    from dsmil.services.listening.tallies import Tallies

#: Datagrams taken at once: others must have their turn.
_BURST: Final = 512
_BLANK: Final = b"\r\n\0 \t"
_LOCAL: Final = "local"


class DatagramEndpoint:
    """One bound socket; while it is paused the kernel keeps what fits, and drops the rest."""

    def __init__(
        self, name: str, sock: socket.socket, *, intake: Intake, tallies: Tallies, max_message: int
    ) -> None:
        """``name`` is its label: ``udp://127.0.0.1:5514``."""
        self.name = name
        self._scheme = name.partition("://")[0]
        self._sock, self._intake, self._tallies, self._max = sock, intake, tallies, max_message
        self._count = 0
        self._reading = False
        self._drops_before = kernel_drops(sock)
        tallies.set(metric_names.LISTEN_DROPPED, name, "kernel", value=0)

    def resume(self) -> None:
        """Read from now on."""
        if not self._reading:
            self._reading = True
            asyncio.get_running_loop().add_reader(self._sock.fileno(), self._read)

    def pause(self) -> None:
        """Read no more for now."""
        if self._reading:
            self._reading = False
            asyncio.get_running_loop().remove_reader(self._sock.fileno())

    def stop(self) -> None:
        """Take what the kernel still holds, as far as there is room, and close."""
        while not self._intake.full and self._read():
            pass
        self.pause()
        self.count_drops()
        self._sock.close()

    def count_drops(self) -> None:
        """Ask the kernel how many datagrams it had no room for."""
        drops = kernel_drops(self._sock) - self._drops_before
        self._tallies.set(metric_names.LISTEN_DROPPED, self.name, "kernel", value=max(drops, 0))

    def _read(self) -> int:
        """Take what is there, in order; consecutive datagrams of one sender are one chunk."""
        got: list[tuple[bytes, Any]] = []
        receive, most = self._sock.recvfrom, self._max + 1
        with contextlib.suppress(BlockingIOError):
            while len(got) < _BURST:
                try:
                    got.append(receive(most))
                except ConnectionRefusedError:  # an ICMP answer to nothing we sent
                    continue
        now, octets, sender = time.time(), 0, object()
        lines: list[bytes] = []
        for data, address in got:
            octets += len(data)
            if address != sender or len(data) > self._max:
                self._pass_on(sender, lines, [], now)
                lines, sender = [], address
            if len(data) > self._max:
                detail = f"more than the {self._max} bytes that are accepted"
                self._pass_on(address, [], [Bad("too_large", detail, data[: self._max], 1)], now)
            elif message := data.rstrip(_BLANK):
                lines.append(message)
        self._pass_on(sender, lines, [], now)
        if octets:
            self._tallies.add(metric_names.LISTEN_BYTES, self.name, number=octets)
        return len(got)

    def _pass_on(self, address: Any, lines: list[bytes], bad: list[Bad], now: float) -> None:  # noqa: ANN401 - of any family
        if not lines and not bad:
            return
        inet = isinstance(address, tuple)
        place = f"{self._scheme}://{shown(address) if inet else _LOCAL}"
        chunk = Chunk(address[0] if inet else _LOCAL, 0, place, self._count + 1, lines, bad, now)
        self._count += chunk.records
        self._tallies.add(metric_names.LISTEN_RECORDS, self.name, number=chunk.records)
        self._intake.put(chunk)


def kernel_drops(sock: socket.socket) -> int:
    """Return how many datagrams the kernel has dropped at a UDP socket for want of room; 0 where it does not tell.

    Linux: the last column of /proc/net/udp and udp6, in the row of the socket's inode.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        inode = str(os.fstat(sock.fileno()).st_ino)
        for table in ("udp", "udp6"):
            for row in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
                columns = row.split()
                if columns[9] == inode:
                    return int(columns[-1])
    return 0
