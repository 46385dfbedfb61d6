"""JSON documents over several lines, and documents that hold several records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dsmil.errors import EventInvalid
from dsmil.events import codec
from dsmil.sources._feed import MAX_RECORD_BYTES, RawRecord
from dsmil.sources._json_text import array_start, closing, depth, element_end, skip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: How a line ends that begins a document of several lines. A line cut off anywhere else is one bad record.
_OPEN: Final = (b"{", b"[", b",")


class JsonDocuments:
    """Joins pretty-printed documents; with ``key``, the elements of that array become the records.

    An element's ``head`` is then the document around it, with the array empty. Documents of one line pass as they
    are.
    """

    def __init__(self, key: str = "") -> None:
        """Begin outside of a document."""
        self._key = key
        self._lines: list[RawRecord] = []
        self._depth = self._size = 0

    def add(self, line: RawRecord) -> Iterable[RawRecord]:
        """Return what is whole with this line."""
        if not self._lines and not (line.raw[:1] == b"{" and line.raw.endswith(_OPEN)):
            return self._parted(line)
        self._lines.append(line)
        self._depth += depth(line.raw.decode(errors="surrogateescape"))
        self._size += len(line.raw)
        return self.rest() if self._depth <= 0 or self._size > MAX_RECORD_BYTES else ()

    def rest(self) -> Iterable[RawRecord]:
        """Return the document that has not ended."""
        if not self._lines:
            return ()
        whole = RawRecord(b"\n".join(line.raw for line in self._lines), self._lines[0].place)
        self._lines, self._depth, self._size = [], 0, 0
        return self._parted(whole)

    def held(self) -> Sequence[RawRecord]:
        """Return the lines of the document that has not ended."""
        return self._lines

    def _parted(self, document: RawRecord) -> Iterable[RawRecord]:
        if not self._key:
            return (document,)
        try:
            fields = codec.parse_object(document.raw, max_bytes=len(document.raw))
        except EventInvalid:
            return (document,)  # reading it tells why
        text = document.raw.decode()
        start = array_start(text, self._key) if isinstance(fields.get(self._key), list) else None
        return (document,) if start is None else self._elements(document, text, start)

    def _elements(self, document: RawRecord, text: str, start: int) -> Iterable[RawRecord]:
        end = closing(text, start) or len(text)
        head = (text[: start + 1] + text[end - 1 :]).encode()
        name, _, number = document.place.rpartition(":")
        line = int(number) if number.isdecimal() else 0
        found, at = [], start + 1
        while (at := skip(text, at, " \t\r\n,")) < end - 1:
            to = element_end(text, at) or end
            place = f"{name}:{line + text.count(chr(10), 0, at)}" if line else document.place
            found.append(RawRecord(text[at:to].encode(), place, head=head))
            at = to
        return found
