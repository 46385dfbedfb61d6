"""Records of a file: one a line or one JSON array, plain or gzip, the last one perhaps half written."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from dsmil.errors import UnreadableFile
from dsmil.sources._feed import RawRecord
from dsmil.sources._pipe import announcing_pauses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_GZIP: Final = b"\x1f\x8b"
#: Longest line that is read as one record; the rest of a longer one is skipped, its head kept for the letter.
MAX_LINE_BYTES: Final = 1024 * 1024
#: An array is one document and is read whole.
MAX_ARRAY_BYTES: Final = 512 * 1024 * 1024
_BLANK: Final = b" \t\r\n"
#: A string (perhaps without its end) or a bracket.
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[{}\[\]]', re.DOTALL)
_SCALAR: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s,\]"{}\[]+', re.DOTALL)


class RecordFile:
    """Reads one file; ``-`` is standard input."""

    def __init__(
        self,
        name: str,
        *,
        json_array: bool = False,
        progress: Callable[[int], None] = lambda _: None,
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        """``progress`` is told the bytes of the file read so far (compressed bytes of a gzip file).

        ``idle`` is called when a pipe has no more for the moment, before the next record is waited for.
        """
        self.name = name
        self._json_array = json_array
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
            msg = f"{self.name} cannot be read: {exc.strerror or exc}"
            raise UnreadableFile(msg) from exc

    def _records(self, stream: io.BufferedIOBase, plain: IO[bytes]) -> Iterator[RawRecord]:
        number = 0
        try:
            before, first = _skip_blank(stream)
            if self._json_array and first == b"[":
                yield from self._array(stream, before + 1)
                return
            for number, line, cut in self._lines(stream, plain, before):
                if line.strip(_BLANK):
                    record = RawRecord(line.strip(_BLANK), f"{self.name}:{number}", cut)
                    if not line.endswith(b"\n"):
                        self.partial = record
                    yield record
        except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
            self.problem = f"{self.name}: the gzip file ends early or is damaged after line {number}: {exc}"

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

    def _array(self, stream: io.BufferedIOBase, number: int) -> Iterator[RawRecord]:
        """Yield the elements of one JSON array; what follows a fault is one last, bad record."""
        document = bytearray()
        damage: Exception | None = None
        try:
            while part := stream.read(1024 * 1024):
                document += part
                if len(document) > MAX_ARRAY_BYTES:
                    msg = (
                        f"{self.name} is one JSON array of more than {MAX_ARRAY_BYTES} bytes;"
                        " write one record a line instead: jq -c '.[]'"
                    )
                    raise UnreadableFile(msg)
        except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
            damage = exc  # told after the elements that could be read
        yield from self._elements(bytes(document), number)
        if damage is not None:
            raise damage

    def _elements(self, document: bytes, number: int) -> Iterator[RawRecord]:
        text = document.decode(errors="surrogateescape")
        start = end = text.index("[") + 1
        line_at, line_number = 0, number
        while (at := _skip(text, end, " \t\r\n,")) < len(text):
            line_number += text.count("\n", line_at, at)
            line_at = at
            place = f"{self.name}:{line_number}"
            if text[at] == "]":
                rest = text[at + 1 :].encode(errors="surrogateescape").strip(_BLANK)
                if rest:
                    self.problem = f"{place}: something follows the end of the JSON array"
                    yield RawRecord(rest, place)
                return
            if end > start and text.count(",", end, at) != 1:
                self.problem = f"{place}: elements of the JSON array are not parted by one comma"
            found = _element_end(text, at)
            if found is None:
                self.problem = f"{place}: the JSON array is damaged or ends early here"
            end = len(text) if found is None else found
            yield RawRecord(text[at:end].encode(errors="surrogateescape").strip(_BLANK), place)
        self.problem = self.problem or f"{self.name}: the JSON array has no end"


def _skip_blank(stream: io.BufferedIOBase) -> tuple[int, bytes]:
    """Read up to the first byte that is not blank; return the line ends passed and that byte, unread."""
    lines = 0
    while chunk := stream.peek(1):  # type: ignore[attr-defined]
        rest = chunk.lstrip(_BLANK)
        lines += stream.read(len(chunk) - len(rest)).count(b"\n")
        if rest:
            return lines, rest[:1]
    return lines, b""


def _element_end(text: str, at: int) -> int | None:
    """Return where the array element that begins at ``at`` ends, by its brackets alone, or None.

    Whether it is good JSON is for the event's own checks to say: a bad element must not take the others along.
    """
    if text[at] not in "{[":
        found = _SCALAR.match(text, at)
        return found.end() if found else None
    depth = 0
    for token in _TOKEN.finditer(text, at):
        if token.group() in "{[":
            depth += 1
        elif token.group() in "}]":
            depth -= 1
            if depth == 0:
                return token.end()
    return None


def _skip(text: str, at: int, characters: str) -> int:
    while at < len(text) and text[at] in characters:
        at += 1
    return at
