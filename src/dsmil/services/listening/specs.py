"""What a listener is told to listen on, before it is bound."""

from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from dsmil.services.listening.address import bind_inet, bind_unix, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

_STREAMS: Final = {"tcp", "tls", "http", "https", "unix-stream"}
_INET: Final = {"udp", "tcp", "tls", "http", "https"}


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """One address."""

    #: ``udp``, ``tcp``, ``tls``, ``unix-stream``, ``unix-dgram``, ``http`` or ``https``.
    scheme: str
    #: ``HOST:PORT``, or the path of a unix socket.
    address: str
    #: With ``tls`` and ``https``.
    tls: ssl.SSLContext | None = None
    #: Permissions of a unix socket.
    mode: int = 0o660

    @property
    def is_stream(self) -> bool:
        """Whether senders connect."""
        return self.scheme in _STREAMS

    def bind(self) -> socket.socket:
        """Return the bound socket; raises CannotListen."""
        kind = socket.SOCK_STREAM if self.is_stream else socket.SOCK_DGRAM
        if self.scheme in _INET:
            return bind_inet(self.address, kind)
        return bind_unix(self.address, kind, self.mode)

    def label(self, sock: socket.socket) -> str:
        """Return the name of the endpoint: ``tcp://127.0.0.1:5514``, with the port that it got."""
        return f"{self.scheme}://{shown(sock.getsockname()) if self.scheme in _INET else self.address}"

    def clean_up(self) -> None:
        """Remove the file of a unix socket."""
        if self.scheme not in _INET:
            with contextlib.suppress(OSError):
                Path(self.address).unlink()


def bind_all(specs: Sequence[Spec]) -> list[tuple[Spec, str, socket.socket]]:
    """Bind every address; return each with the label of its endpoint. Raises CannotListen, and binds none then."""
    bound: list[tuple[Spec, str, socket.socket]] = []
    try:
        for spec in specs:
            sock = spec.bind()
            bound.append((spec, spec.label(sock), sock))
    except BaseException:
        for spec, _, sock in bound:
            sock.close()
            spec.clean_up()
        raise
    return bound


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of a listener; with the space for what waits, they bound its memory."""

    #: Most connections at a time, of all endpoints together.
    max_connections: int
    #: Longest message, bytes.
    max_message: int
    #: Most bytes of messages that wait for the broker.
    max_waiting: int
