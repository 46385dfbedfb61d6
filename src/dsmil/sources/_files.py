"""Records of a file: one a line or one JSON array, plain or gzip, the last one perhaps half written."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from dsmil.errors import DsmilError
from dsmil.sources._feed import RawRecord

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


class UnreadableFile(DsmilError):
    """The file cannot be read."""


class RecordFile:
    """Reads one file; ``-`` is standard input."""

    def __init__(
        self, name: str, *, json_array: bool = False, progress: Callable[[int], None] = lambda _: None
    ) -> None:
        """``progress`` is told the bytes of the file read so far (compressed bytes of a gzip file)."""
        self.name = name
        self._json_array = json_array
        self._progress = progress
        #: Why the end of the file could not be read; empty when it could.
        self.problem = ""
        #: A last line without an end that is no whole record yet: it is still being written.
        self.partial: RawRecord | None = None

    def __iter__(self) -> Iterator[RawRecord]:
        """Yield the records in order; raises UnreadableFile when there is no such file."""
        try:
            with Path("/dev/stdin" if self.name == "-" else self.name).open("rb") as plain:
                zipped = plain.peek(2)[:2] == _GZIP
                stream = cast("IO[bytes]", gzip.GzipFile(fileobj=plain) if zipped else plain)
                yield from self._records(stream, plain)
        except OSError as exc:
            msg = f"{self.name} cannot be read: {exc.strerror or exc}"
            raise UnreadableFile(msg) from exc

    def _records(self, stream: IO[bytes], plain: IO[bytes]) -> Iterator[RawRecord]:
        lines = self._lines(stream, plain)
        for number, line in lines:
            if not line.strip(_BLANK):
                continue
            if self._json_array and line.lstrip(_BLANK).startswith(b"["):
                yield from self._array(line, lines, number)
                return
            yield self._record(line, number)
            break
        for number, line in lines:
            if line.strip(_BLANK):
                yield self._record(line, number)

    def _record(self, line: bytes, number: int) -> RawRecord:
        record = RawRecord(line.strip(_BLANK), f"{self.name}:{number}")
        if not line.endswith(b"\n"):
            self.partial = record
        return record

    def _lines(self, stream: IO[bytes], plain: IO[bytes]) -> Iterator[tuple[int, bytes]]:
        """Yield numbered lines, none longer than one byte over the limit; stop where the file is damaged."""
        number = 0
        try:
            while line := stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                rest = line
                while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
                    rest = stream.readline(MAX_LINE_BYTES + 1)  # memory stays bounded, the line counts as one
                    if rest.endswith(b"\n") and not line.endswith(b"\n"):
                        line += b"\n"
                yield number, line
                if number % 256 == 0 and plain.seekable():
                    self._progress(plain.tell())
        except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
            self.problem = f"{self.name}: the gzip file ends early or is damaged after line {number}: {exc}"

    def _array(self, first: bytes, lines: Iterator[tuple[int, bytes]], number: int) -> Iterator[RawRecord]:
        """Yield the elements of one JSON array; what follows a fault is one last, bad record."""
        parts, size = [first], len(first)
        for _, line in lines:
            parts.append(line)
            size += len(line)
            if size > MAX_ARRAY_BYTES:
                msg = (
                    f"{self.name} is one JSON array of more than {MAX_ARRAY_BYTES} bytes;"
                    " write one record a line instead: jq -c '.[]'"
                )
                raise UnreadableFile(msg)
        text = b"".join(parts).decode(errors="surrogateescape")
        at, line_at, line_number = text.index("[") + 1, 0, number
        while (at := _skip(text, at, " \t\r\n,")) < len(text):
            line_number += text.count("\n", line_at, at)
            line_at = at
            place = f"{self.name}:{line_number}"
            if text[at] == "]":
                rest = text[at + 1 :].encode(errors="surrogateescape").strip(_BLANK)
                if rest:
                    self.problem = f"{place}: something follows the end of the JSON array"
                    yield RawRecord(rest, place)
                return
            end = _element_end(text, at)
            if end is None:
                self.problem = f"{place}: the JSON array is damaged or ends early here"
                end = len(text)
            yield RawRecord(text[at:end].encode(errors="surrogateescape").strip(_BLANK), place)
            at = end
        self.problem = self.problem or f"{self.name}: the JSON array has no end"


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
