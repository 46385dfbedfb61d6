"""Adding many entries to one stream in one round trip, packed by hand: the driver spends more than the server."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import redis

from dsmil.events.streams import EVENT_FIELD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Bytes sent at once.
_PIECE: Final = 256 * 1024


class Sent:
    """Entries on their way to one stream: the server adds them while its client does something else.

    After an error some of them may be there: those before the first that was refused, or after a lost reply all.
    """

    def __init__(self, client: Any, stream: str, bodies: Iterable[bytes]) -> None:  # noqa: ANN401 - the driver's client
        """Send an entry for each body, in order; raises the driver's errors. :meth:`ids` must be asked once."""
        pieces, self._count = _packed(stream, bodies)
        self._pool = client.connection_pool
        self._connection = self._pool.get_connection() if self._count else None
        if self._connection is not None:
            with self._given_up_on_error():
                self._connection.send_packed_command(pieces)

    def ids(self) -> list[bytes]:
        """Wait for the server; return the ids of the entries. Raises the driver's errors."""
        if self._connection is None:
            return []
        with self._given_up_on_error():
            found = _replies(self._connection, self._count)
        self._pool.release(self._connection)
        self._connection = None
        return found

    @contextlib.contextmanager
    def _given_up_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.disconnect()  # what is still to come must not answer somebody else
                self._pool.release(connection)
            raise


def _packed(stream: str, bodies: Iterable[bytes]) -> tuple[list[bytes], int]:
    """Return the commands in pieces to be sent at once, and how many commands they are."""
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
    return pieces, count


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
