"""Sending commands whose bytes are ready: packing a thousand arguments one by one costs more than making them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterable
from typing import Any, Final

import redis

#: Once woken, no answer is waited for longer, seconds.
_LAST_S: Final = 2.0

#: A command: its arguments as the protocol has them, in any pieces, and their number.
Packed = tuple[Iterable[bytes], int]


def argument(value: str | bytes) -> bytes:
    """Return one argument as the protocol has it: length, line end, bytes, line end."""
    raw = value.encode() if isinstance(value, str) else value
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


class Line:
    """One connection that is kept: a pool looks it over at every loan, which costs more than a small batch does.

    What is sent is answered in order. Raises the client library's errors, and never sends twice.
    """

    def __init__(self, client: redis.Redis) -> None:
        """Take connections from the pool of ``client``, one at a time."""
        self._pool: Any = client.connection_pool
        self._connection: Any = None
        #: Answers that are still to come.
        self.open = 0
        self._lock = threading.Lock()
        self._waits = self._woken = False
        #: Whether a wait was ended: what the server sent at that moment was not read.
        self.cut = False

    def send(self, *commands: Packed) -> None:
        """Send commands in one write and wait for no answer."""
        connection = self._connection
        if connection is None:
            connection = self._connection = self._pool.get_connection()
        whole = b"".join(piece for pieces, count in commands for piece in (b"*%d\r\n" % count, *pieces))
        try:
            connection.send_packed_command([whole])
        except BaseException:
            self.drop()
            raise
        self.open += len(commands)

    def read(self) -> Any:  # noqa: ANN401 - any reply
        """Return the next plain reply; a refusal is raised, and the line goes on."""
        try:
            # Not closed in there: while another thread may shut it, a connection is closed under the lock only.
            reply = self._connection.read_response(disconnect_on_error=False)
        except redis.ResponseError:
            self.open -= 1
            raise
        except BaseException:
            with self._lock:
                self.drop()
            raise
        self.open -= 1
        return reply

    def wait(self) -> Any:  # noqa: ANN401 - any reply
        """Return the next reply as :meth:`read` does, or None when :meth:`wake` was called, see :attr:`cut`."""
        with self._lock:
            self._waits = True
            if self._woken:
                self._shut()
        try:
            return self.read()
        except redis.ConnectionError:
            if not self._woken:
                raise
            self.cut = True
            return None
        finally:
            with self._lock:
                self._waits = False
                if self._woken:
                    self.drop()  # nothing more comes this way; the next command takes another connection

    def wake(self) -> None:
        """End every wait, now and from now on; called from another thread.

        The connection is shut rather than the wait called off at the server: that needs no right, and no server
        that answers. What the server gives us at that very moment is lost on its way. What is asked afterwards is
        waited for two seconds at most.
        """
        with self._lock:
            self._woken = True
            if self._waits:
                self._shut()

    def _shut(self) -> None:
        made: socket.socket | None = getattr(self._connection, "_sock", None)  # closing it would free its number
        if made is not None:
            with contextlib.suppress(OSError):  # it was closed meanwhile
                # Not by the method of a TLS socket, which takes its state from under the thread that reads.
                socket.socket.shutdown(made, socket.SHUT_RD)

    def drop(self) -> None:
        """Close the connection: what is still to come must not answer anything else."""
        connection, self._connection, self.open = self._connection, None, 0
        if connection is not None:
            if self._woken:  # the pool gives out the same one again
                connection.socket_timeout = _LAST_S
            connection.disconnect()
            self._pool.release(connection)
