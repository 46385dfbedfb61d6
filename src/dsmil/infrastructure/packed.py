"""Sending a command whose bytes are ready: packing a thousand arguments one by one costs more than making them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import redis


def argument(value: str | bytes) -> bytes:
    """Return one argument as the protocol has it: length, line end, bytes, line end."""
    raw = value.encode() if isinstance(value, str) else value
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


def call_packed(client: redis.Redis, arguments: Iterable[bytes], count: int) -> Any:  # noqa: ANN401 - any reply
    """Send a command of ``count`` arguments, which may lie together in longer pieces; return its plain reply.

    Raises the client library's errors, and never sends twice.
    """
    pool = client.connection_pool
    connection: Any = pool.get_connection()
    try:
        connection.send_packed_command([b"*%d\r\n%b" % (count, b"".join(arguments))])
        return connection.read_response()
    finally:
        pool.release(connection)
