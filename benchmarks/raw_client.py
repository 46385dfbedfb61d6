"""The raw broker: the least that reads both streams, adds one entry of a SOC event's size for each, acknowledges.

No JSON, no checks, no fence, no ledger: what is left is the price of the streams themselves.

raw_client.py SOCKET
"""

from __future__ import annotations

import socket
import sys
from typing import Any, cast

import hiredis

_GROUP = b"raw"
_COUNT = 500
#: What fusing adds to an event, in bytes.
_MORE = b',"fused":"' + b"." * 470 + b'"}'


class RawClient:
    """One connection, packed by hand."""

    def __init__(self, path: str) -> None:
        """Connect."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._reader = hiredis.Reader()

    def send(self, *commands: tuple[bytes | str | int, ...]) -> None:
        """Send commands in one write."""
        self._socket.sendall(b"".join(hiredis.pack_command(cast("Any", command)) for command in commands))

    def reply(self) -> Any:  # noqa: ANN401 - any reply
        """Return the next reply."""
        while (found := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(1 << 18))
        return found

    def call(self, *command: bytes | str | int) -> Any:  # noqa: ANN401 - any reply
        """Send one command and return its reply."""
        self.send(command)
        return self.reply()


def main(path: str) -> None:
    """Serve until killed."""
    client = RawClient(path)
    streams = (b"L3_OUT", b"L4_OUT")
    for stream in streams:
        client.call(b"XGROUP", b"CREATE", stream, _GROUP, b"0", b"MKSTREAM")
    read = (
        b"XREADGROUP",
        b"GROUP",
        _GROUP,
        b"1",
        b"COUNT",
        _COUNT,
        b"BLOCK",
        1000,
        b"STREAMS",
        *streams,
        b">",
        b">",
    )
    while True:
        commands: list[tuple[bytes | str | int, ...]] = [(b"MULTI",)]
        for stream, entries in client.call(*read) or ():
            commands += [(b"XADD", b"SOC_EVENTS", b"*", b"event", fields[1][:-1] + _MORE) for _, fields in entries]
            commands.append((b"XACK", stream, _GROUP, *(entry_id for entry_id, _ in entries)))
        if len(commands) > 1:
            client.send(*commands, (b"EXEC",))
            for _ in range(len(commands) + 1):
                client.reply()


if __name__ == "__main__":
    main(sys.argv[1])
