"""Where a listener listens: addresses as people write them, and the sockets bound to them."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path
from typing import Final

from dsmil.errors import ConfigError, Unavailable

_MOST_PORT: Final = 65535
_BACKLOG: Final = 512
#: What we ask of the kernel for datagrams; it gives `net.core.rmem_max` at most.
_RECEIVE_BUFFER: Final = 8 * 1024 * 1024
#: Seconds of silence after which a peer is asked whether it is there, between two questions, and how many.
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))


class CannotListen(Unavailable):
    """The address cannot be listened on."""


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT`` or ``[IPv6]:PORT``; raises ConfigError."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if not colon or not host or (":" in host and not bracketed):
        raise ConfigError(f"{text!r} is not HOST:PORT; 127.0.0.1:5514 is for this host, 0.0.0.0:5514 for all")
    if not port.isascii() or not port.isdigit() or int(port) > _MOST_PORT:
        raise ConfigError(f"{text!r}: {port!r} is not a port, 0-{_MOST_PORT}")
    return host, int(port)


def shown(address: tuple[str, int] | tuple[str, int, int, int]) -> str:
    """Return a socket's address as ``HOST:PORT``."""
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{host}:{address[1]}"


def bind_inet(text: str, kind: socket.SocketKind) -> socket.socket:
    """Return a socket bound to ``HOST:PORT``, listening when it is a stream. Raises CannotListen."""
    host, port = parse_address(text)
    try:
        found = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)
        family, _, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as exc:
        raise CannotListen(f"{text}: {exc}") from exc
    return _bound(sock, address, text)


def bind_unix(path: str, kind: socket.SocketKind, mode: int) -> socket.socket:
    """Return a socket bound to a file of this mode; one that nobody listens on is taken over."""
    _remove_stale(path, kind)
    old = os.umask(0o777 & ~mode)
    try:
        return _bound(socket.socket(socket.AF_UNIX, kind), path, path)
    finally:
        os.umask(old)


def _bound(sock: socket.socket, address: object, text: str) -> socket.socket:
    try:
        sock.setblocking(False)  # noqa: FBT003 - the library's own signature
        if sock.type == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        sock.bind(address)  # type: ignore[arg-type]
        if sock.type == socket.SOCK_STREAM:
            sock.listen(_BACKLOG)
    except OSError as exc:
        sock.close()
        remedy = "; ports below 1024 need CAP_NET_BIND_SERVICE" if isinstance(exc, PermissionError) else ""
        raise CannotListen(f"{text} cannot be listened on: {exc.strerror or exc}{remedy}") from exc
    return sock


def _remove_stale(path: str, kind: socket.SocketKind) -> None:
    """Remove the socket file of a listener that was killed; never that of one that lives, nor any other file."""
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(Path(path).lstat().st_mode):
            with socket.socket(socket.AF_UNIX, kind) as probe:
                try:
                    probe.connect(path)
                except ConnectionRefusedError:
                    Path(path).unlink()


def keep_alive(sock: socket.socket) -> None:
    """Let the kernel find out when the peer has vanished without a word."""
    with contextlib.suppress(OSError):  # a unix socket has no such thing
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
