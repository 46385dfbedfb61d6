"""Messages in a stream of bytes, as RFC 6587 frames them: by a count before each, or by the end of a line."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

#: Longest message that is kept whole unless told otherwise, bytes; RFC 5425 asks for 8192.
MAX_MESSAGE: Final = 64 * 1024
#: Digits of a count: more is not the size of any message.
_MOST_DIGITS: Final = 9
_COUNT: Final = re.compile(rb"([1-9][0-9]{0,8}) ")
_DIGITS: Final = re.compile(rb"[1-9][0-9]{0,8}\Z")
#: What a counted message begins with: a priority, or JSON of another feed.
_OPENERS: Final = b"<{["
_ENDS: Final = b"\r\n\0 \t"
#: Bytes of nonsense that its dead letter keeps.
_SHOWN: Final = 1024
#: Pieces of a message that are kept before they are joined: a drip must not cost an object a byte.
_MOST_PIECES: Final = 64


class Framing(StrEnum):
    """How a sender parts its messages."""

    #: Told by the first bytes of each connection.
    AUTO = "auto"
    #: ``5 hello``: octet counting.
    COUNTED = "counted"
    #: A line feed ends each.
    LINES = "lines"


class Bad(msgspec.Struct, frozen=True):
    """A message that is none: its cause, its first bytes, and how many more there were."""

    cause: str
    detail: str
    head: bytes
    cut: int = 0


class Frames:
    """Takes the bytes of one connection, however they are cut, and gives its messages."""

    def __init__(self, framing: Framing = Framing.AUTO, max_message: int = MAX_MESSAGE) -> None:
        """Start a connection; at most ``max_message`` bytes and one read are held at any time."""
        self.framing = framing
        #: Whether the place of the next message is known no more; the connection is to be closed.
        self.broken = False
        self._max = max_message
        #: What is there of a message that is not whole, and its bytes.
        self._pieces: list[bytes] = []
        self._size = 0
        #: Bytes that must be there before it is worth looking again.
        self._wanted = 0
        #: Bytes of an over-long counted message that are still to come.
        self._skip = 0
        #: Bytes of an over-long line that were not kept; None while there is none.
        self._cut: int | None = None

    @property
    def held(self) -> int:
        """Bytes kept for a message that is not whole yet."""
        return self._size

    def feed(self, data: bytes) -> tuple[list[bytes], list[Bad]]:
        """Take bytes; return the messages that are whole now, and what was none. Blank ones are left out."""
        if self.broken:
            return [], []
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if self.framing is Framing.AUTO:
            data = self._take(data)
            if not self._detect(data):
                self._keep(data)
                return [], []
        return self._counted(data) if self.framing is Framing.COUNTED else self._lines(data)

    def end(self, *, clean: bool) -> tuple[list[bytes], list[Bad]]:
        """Return what the end of the connection leaves: after a clean one a last line needs no line feed."""
        rest, cut, broken = self._take(b""), self._cut, self.broken
        self._cut, self.broken = None, True
        if broken:
            return [], []
        if cut is not None:
            return [], [self._too_large(rest, cut)]
        if not rest.strip(_ENDS):
            return [], []
        if clean and self.framing is not Framing.COUNTED:
            return [rest.rstrip(_ENDS)], []
        return [], [Bad("truncated", "the connection ended before the message did", rest)]

    def _keep(self, data: bytes) -> None:
        if data:
            self._pieces.append(data)
            self._size += len(data)
            if len(self._pieces) > _MOST_PIECES:
                self._pieces = [b"".join(self._pieces)]

    def _take(self, data: bytes) -> bytes:
        """Return what was kept, and ``data`` after it."""
        if not self._pieces:
            return data
        whole = b"".join([*self._pieces, data])
        self._pieces, self._size = [], 0
        return whole

    def _detect(self, head: bytes) -> bool:
        """Find out from its first bytes how this connection frames; False while they do not tell."""
        count = _COUNT.match(head)
        if count is None:
            if not head or _DIGITS.match(head):
                return False
            self.framing = Framing.LINES
            return True
        if count.end() == len(head):
            return False  # the first byte of the message tells
        self.framing = Framing.COUNTED if head[count.end()] in _OPENERS else Framing.LINES
        return True

    def _counted(self, data: bytes) -> tuple[list[bytes], list[Bad]]:
        messages: list[bytes] = []
        bad: list[Bad] = []
        if self._size + len(data) < self._wanted:
            self._keep(data)
            return messages, bad
        buffer, at, self._wanted = self._take(data), 0, 0
        while at < len(buffer):
            count = _COUNT.match(buffer, at)
            if count is None:
                if len(buffer) - at <= _MOST_DIGITS and _DIGITS.match(buffer, at):
                    break  # the rest of the count is still to come
                self.broken = True
                bad.append(Bad("bad_frame", "no count of octets stands where one must", buffer[at : at + _SHOWN]))
                return messages, bad
            size, start = int(count[1]), count.end()
            end = start + min(size, self._max)
            if end > len(buffer):
                self._wanted = end - at
                break
            if size > self._max:
                bad.append(self._too_large(buffer[start:end], size - self._max))
                self._skip = max(start + size - len(buffer), 0)
            elif message := buffer[start:end].rstrip(_ENDS):
                messages.append(message)
            at = start + size
        self._keep(buffer[at:])
        return messages, bad

    def _lines(self, data: bytes) -> tuple[list[bytes], list[Bad]]:
        bad: list[Bad] = []
        end = data.rfind(b"\n")
        if end < 0:
            self._hold(data)
            return [], bad
        if self._cut is not None:  # the end of an over-long line
            first = data.find(b"\n")
            bad.append(self._too_large(self._take(b""), self._cut + first))
            self._cut = None
            lines = data[first + 1 : end].split(b"\n")
        else:
            lines = self._take(data[:end]).split(b"\n")
        messages = []
        for line in lines:
            if len(line) > self._max:
                bad.append(self._too_large(line[: self._max], len(line) - self._max))
            elif message := line.rstrip(_ENDS):
                messages.append(message)
        self._hold(data[end + 1 :])
        return messages, bad

    def _hold(self, rest: bytes) -> None:
        """Keep the beginning of a line, up to the most that is kept of one."""
        if self._cut is not None:
            self._cut += len(rest)
            return
        room = self._max - self._size
        self._keep(rest[:room])
        if len(rest) > room:
            self._cut = len(rest) - room

    def _too_large(self, head: bytes, cut: int) -> Bad:
        return Bad("too_large", f"{len(head) + cut} bytes, at most {self._max} are accepted", head, cut)
