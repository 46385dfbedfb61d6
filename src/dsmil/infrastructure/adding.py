"""Adding many entries to one stream in one round trip, packed by hand: the driver spends more than the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import redis

from dsmil.events.streams import EVENT_FIELD

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Bytes sent at once.
_PIECE: Final = 256 * 1024


def add_all(client: Any, stream: str, bodies: Iterable[bytes]) -> list[bytes]:  # noqa: ANN401 - the driver's client
    """Add an entry for each body, in order; return their ids. Raises the driver's errors.

    Some entries may be there then: those before the first that was refused, or after a lost reply all of them.
    """
    head = _words(b"XADD", stream.encode(), b"*", EVENT_FIELD.encode())
    pieces: list[bytes] = []
    piece: list[bytes] = []
    size = count = 0
    for body in bodies:
        piece += (b"%s$%d\r\n" % (head, len(body)), body, b"\r\n")
        count += 1
        size += len(body)
        if size >= _PIECE:
            pieces.append(b"".join(piece))
            piece, size = [], 0
    pieces.append(b"".join(piece))
    if not count:
        return []
    connection = client.connection_pool.get_connection()
    try:
        connection.send_packed_command(pieces)
        return _replies(connection, count)
    except BaseException:
        connection.disconnect()  # what is still to come must not answer somebody else
        raise
    finally:
        client.connection_pool.release(connection)


def _words(*words: bytes) -> bytes:
    """Return the beginning of a command of these words and one more."""
    return b"*%d\r\n" % (len(words) + 1) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def _replies(connection: Any, count: int) -> list[bytes]:  # noqa: ANN401 - as above
    """Read every reply, then raise the first refusal."""
    found: list[bytes] = []
    refused: redis.ResponseError | None = None
    for _ in range(count):
        try:
            found.append(connection.read_response())
        except redis.ResponseError as exc:
            refused = refused or exc
    if refused is not None:
        raise refused
    return found
