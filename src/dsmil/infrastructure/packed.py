"""Sending commands whose bytes are ready: packing a thousand arguments one by one costs more than making them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import redis

if TYPE_CHECKING:
    from types import TracebackType


def argument(value: str | bytes) -> bytes:
    """Return one argument as the protocol has it: length, line end, bytes, line end."""
    raw = value.encode() if isinstance(value, str) else value
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


def send_packed(client: redis.Redis, commands: Sequence[tuple[Sequence[bytes], int]]) -> Replies:
    """Send commands in one write and wait for none; each is its arguments, in pieces, and their number.

    Raises the client library's errors, and never sends twice.
    """
    pool = client.connection_pool
    replies = Replies(pool, pool.get_connection(), len(commands))
    pieces: list[bytes] = []
    for arguments, count in commands:
        pieces += (b"*%d\r\n" % count, *arguments)
    try:
        replies.connection.send_packed_command([b"".join(pieces)])
    except BaseException:
        replies.close()
        raise
    return replies


class Replies:
    """Answers that are still to come on a connection, which is held until all are read or none is wanted."""

    def __init__(self, pool: Any, connection: Any, count: int) -> None:  # noqa: ANN401 - the driver's
        """Hold ``connection`` for ``count`` answers."""
        self.connection = connection
        self._pool = pool
        self._left = count

    def read(self) -> Any:  # noqa: ANN401 - any reply
        """Return the next plain reply; raises the client library's errors."""
        try:
            reply = self.connection.read_response()
        except redis.ResponseError:
            self._left -= 1
            raise
        self._left -= 1
        return reply

    def close(self) -> None:
        """Give the connection back; what is still to come must not answer somebody else."""
        connection, self.connection = self.connection, None
        if connection is not None:
            if self._left:
                connection.disconnect()
            self._pool.release(connection)

    def __enter__(self) -> Replies:
        """Hold the connection for the block."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _exc: BaseException | None, _at: TracebackType | None
    ) -> None:
        """Give it back, however the block ended."""
        self.close()
