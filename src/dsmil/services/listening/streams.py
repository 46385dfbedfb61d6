"""Accepting connections: TCP, TLS and unix stream sockets. Runs in a listener's event loop."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from dsmil import log
from dsmil.services import metric_names
from dsmil.services.listening.address import keep_alive, shown

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Coroutine

    from dsmil.services.listening.tallies import Tallies

#: Longest time a client may take over its TLS handshake, seconds, and how many may be in one.
_HANDSHAKE_S: Final = 10.0
_MOST_HANDSHAKES: Final = 128
#: Longest time a client may take over closing TLS, seconds.
_GOODBYE_S: Final = 1.0
#: Pause after the system had no descriptor left, seconds.
_NO_FILES_S: Final = 0.2
_LOCAL: Final = "local"


class StreamEndpoint:
    """One listening socket."""

    def __init__(
        self,
        name: str,
        sock: socket.socket,
        tallies: Tallies,
        make: Callable[[StreamEndpoint, str, str], asyncio.BaseProtocol],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """``name`` is its label; ``make`` is told a peer's address without and with its port."""
        self.name, self.tallies = name, tallies
        self.scheme = name.partition("://")[0]
        self._sock, self._make, self._tls = sock, make, tls
        self._handshakes: dict[asyncio.Task[None], None] = {}
        self._accepting: asyncio.Task[None] | None = None
        self._log = log.get("listen")
        tallies.set(metric_names.LISTEN_CONNECTIONS, name, value=0)

    def start(self) -> None:
        """Accept connections from now on."""
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    async def stop(self) -> None:
        """Accept no more, and close what is open."""
        tasks = [task for task in (self._accepting, *self._handshakes) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._sock.close()

    def refuse(self, reason: str) -> None:
        """Count a connection that is turned away or closed."""
        self.tallies.add(metric_names.LISTEN_REFUSED, self.name, reason)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(self._sock)
            except OSError as exc:  # no descriptor is left, or the client has gone before we came
                self.refuse("accept")
                self._log.warning("listen.accept_failed", endpoint=self.name, cause=str(exc))
                await asyncio.sleep(_NO_FILES_S)
                continue
            keep_alive(sock)
            sender, place = _names(address)
            make = partial(self._make, self, sender, place)
            if self._tls is None:
                with contextlib.suppress(OSError):  # it has gone already
                    await loop.connect_accepted_socket(make, sock)
            else:
                self._shake_hands(self._secure(make, sock, self._tls, place))

    def _shake_hands(self, handshake: Coroutine[None, None, None]) -> None:
        """Start a handshake; when too many go on, the one that takes longest is given up."""
        if len(self._handshakes) >= _MOST_HANDSHAKES:
            next(iter(self._handshakes)).cancel()
        task = asyncio.get_running_loop().create_task(handshake)
        self._handshakes[task] = None
        task.add_done_callback(lambda done: self._handshakes.pop(done, None))

    async def _secure(
        self, make: Callable[[], asyncio.BaseProtocol], sock: socket.socket, tls: ssl.SSLContext, place: str
    ) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                make, sock, ssl=tls, ssl_handshake_timeout=_HANDSHAKE_S, ssl_shutdown_timeout=_GOODBYE_S
            )
        except (OSError, asyncio.CancelledError) as exc:  # ssl.SSLError is an OSError
            self.refuse("tls")
            self._log.info("listen.handshake_failed", endpoint=self.name, peer=place, cause=str(exc))
            sock.close()


def _names(address: object) -> tuple[str, str]:
    """Return a peer's address without and with its port."""
    if not isinstance(address, tuple):
        return _LOCAL, _LOCAL
    return str(address[0]), shown(cast("tuple[str, int]", address))
