"""Ports on loopback for what a process tells about itself."""

from __future__ import annotations

import socket
from typing import Final

from dsmil.errors import DsmilError

#: Documented port; when it is busy the next free one is taken.
FIRST_PORT: Final = 8000
_TRIES: Final = 200


def listen(first: int = FIRST_PORT) -> socket.socket:
    """Return a listening socket on loopback, on ``first`` or the next free port."""
    for port in range(first, first + _TRIES):
        try:
            return socket.create_server(("127.0.0.1", port), backlog=16)
        except OSError:
            continue
    msg = f"no free port on 127.0.0.1 between {first} and {first + _TRIES - 1}"
    raise DsmilError(msg)
