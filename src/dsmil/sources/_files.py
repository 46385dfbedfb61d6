"""Records of a file: one a line or one JSON array, plain or gzip, the last one perhaps half written."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from dsmil.errors import UnreadableFile
from dsmil.sources._feed import RawRecord
from dsmil.sources._json_text import array_start, closing, element_end, skip
from dsmil.sources._pipe import announcing_pauses
from dsmil.text import file_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_GZIP: Final = b"\x1f\x8b"
#: Longest line that is read as one record; the rest of a longer one is skipped, its head kept for the letter.
MAX_LINE_BYTES: Final = 1024 * 1024
#: An array is one document and is read whole.
MAX_ARRAY_BYTES: Final = 512 * 1024 * 1024
_BLANK: Final = b" \t\r\n"
#: Bytes from the start within which the key of an array must stand.
_PEEKED: Final = 4096


class RecordFile:
    """Reads one file; ``-`` is standard input."""

    def __init__(
        self,
        name: str,
        *,
        json_array: bool = False,
        array_key: str = "",
        trims: bytes = _BLANK,
        progress: Callable[[int], None] = lambda _: None,
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        """With ``json_array`` the file may be one array, with ``array_key`` an object around an array of that key.

        ``trims`` is cut off both ends of each line. ``progress`` is told the bytes of the file read so far (of a
        gzip file the compressed ones).

        ``idle`` is called when a pipe has no more for the moment, before the next record is waited for.
        """
        self.name = name
        self._shown = file_name(name)
        self._json_array = json_array
        self._array_key = array_key
        self._trims = trims
        self._progress = progress
        self._idle = idle
        #: Why the end of the file could not be read; empty when it could.
        self.problem = ""
        #: A last line without an end that is no whole record yet: it is still being written.
        self.partial: RawRecord | None = None

    def __iter__(self) -> Iterator[RawRecord]:
        """Yield the records in order; raises UnreadableFile when there is no such file."""
        try:
            with Path("/dev/stdin" if self.name == "-" else self.name).open("rb") as file:
                plain = cast("io.BufferedReader", announcing_pauses(file, self._idle))
                zipped = plain.peek(2)[:2] == _GZIP
                stream: io.BufferedIOBase = gzip.GzipFile(fileobj=plain) if zipped else plain
                yield from self._records(stream, plain)
        except OSError as exc:
            msg = f"{self._shown} cannot be read: {exc.strerror or exc}"
            raise UnreadableFile(msg) from exc

    def _records(self, stream: io.BufferedIOBase, plain: IO[bytes]) -> Iterator[RawRecord]:
        number = 0
        try:
            before, first = _skip_blank(stream)
            if self._json_array and first == b"[":
                yield from self._array(stream, before + 1)
                return
            if self._array_key and first == b"{" and self._holds_array(stream):
                yield from self._array(stream, before + 1)
                return
            for number, line, cut in self._lines(stream, plain, before):
                text = line.strip(self._trims)
                if text and not text.isspace():
                    record = RawRecord(text, f"{self._shown}:{number}", cut)
                    if not line.endswith(b"\n"):
                        self.partial = record
                    yield record
        except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
            self.problem = f"{self._shown}: the gzip file ends early or is damaged after line {number}: {exc}"

    def _lines(self, stream: io.BufferedIOBase, plain: IO[bytes], number: int) -> Iterator[tuple[int, bytes, int]]:
        """Yield number, line and how many bytes of it were cut off; memory stays bounded."""
        while line := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            cut, rest = 0, line
            while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
                rest = stream.readline(MAX_LINE_BYTES + 1)
                cut += len(rest)
            yield number, line + b"\n" if cut and rest.endswith(b"\n") else line, cut
            if number % 256 == 0 and plain.seekable():
                self._progress(plain.tell())

    def _holds_array(self, stream: io.BufferedIOBase) -> bool:
        """Return whether the file begins with an object that has the array under its key."""
        text = stream.peek(_PEEKED)[:_PEEKED].decode(errors="replace")  # type: ignore[attr-defined]
        return array_start(text, self._array_key) is not None

    def _array(self, stream: io.BufferedIOBase, number: int) -> Iterator[RawRecord]:
        """Yield the elements of one JSON array; what follows a fault is one last, bad record."""
        document = bytearray()
        damage: Exception | None = None
        try:
            while part := stream.read(1024 * 1024):
                document += part
                if len(document) > MAX_ARRAY_BYTES:
                    msg = (
                        f"{self._shown} is one JSON array of more than {MAX_ARRAY_BYTES} bytes;"
                        " write one record a line instead: jq -c '.[]'"
                    )
                    raise UnreadableFile(msg)
        except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
            damage = exc  # told after the elements that could be read
        yield from self._elements(bytes(document), number)
        if damage is not None:
            raise damage

    def _elements(self, document: bytes, number: int) -> Iterator[RawRecord]:
        """Yield the elements of an array, or of the arrays of one object after another."""
        text = document.decode(errors="surrogateescape")
        line_at, end = 0, skip(text, 0, " \t\r\n")
        wrapped = text[end] == "{"
        opening = array_start(text, self._array_key, end) if wrapped else end
        place = f"{self._shown}:{number}"
        while opening is not None:
            end = first = opening + 1
            while (at := skip(text, end, " \t\r\n,")) < len(text):
                number += text.count("\n", line_at, at)
                line_at, place = at, f"{self._shown}:{number}"
                if text[at] == "]":
                    break
                if end > first and text.count(",", end, at) != 1:
                    self.problem = f"{place}: elements of the JSON array are not parted by one comma"
                found = element_end(text, at)
                if found is None:
                    self.problem = f"{place}: the JSON array is damaged or ends early here"
                end = len(text) if found is None else found
                yield RawRecord(text[at:end].encode(errors="surrogateescape").strip(_BLANK), place)
            else:
                self.problem = self.problem or f"{self._shown}: the JSON array has no end"
                return
            end = (closing(text, at + 1, 1) or len(text)) if wrapped else at + 1
            end = skip(text, end, " \t\r\n")
            opening = array_start(text, self._array_key, end) if wrapped and end < len(text) else None
        if wrapped:
            yield from self._lines_after(text, end, number + text.count("\n", line_at, end))
            return
        rest = text[end:].encode(errors="surrogateescape").strip(_BLANK)
        if rest:
            self.problem = f"{place}: something follows the end of the JSON array"
            yield RawRecord(rest, place)

    def _lines_after(self, text: str, at: int, number: int) -> Iterator[RawRecord]:
        """Yield what follows objects around arrays, line by line: records may stand alone there."""
        for line in text[at:].encode(errors="surrogateescape").split(b"\n"):
            if record := line.strip(_BLANK):
                yield RawRecord(record, f"{self._shown}:{number}")
            number += 1


def _skip_blank(stream: io.BufferedIOBase) -> tuple[int, bytes]:
    """Read up to the first byte that is not blank; return the line ends passed and that byte, unread."""
    lines = 0
    while chunk := stream.peek(1):  # type: ignore[attr-defined]
        rest = chunk.lstrip(_BLANK)
        lines += stream.read(len(chunk) - len(rest)).count(b"\n")
        if rest:
            return lines, rest[:1]
    return lines, b""
