"""Following a live file through its rotations, so that every whole line is read once.

A generation is one physical file that has borne the name. It is recognised by its inode, or by a digest of its
first bytes where the inode has changed (compressed, copied). Rotation by rename, by copy and truncate, and by
compression are all handled, also when they happen while nobody reads.
"""

from __future__ import annotations

import gzip
import os
import re
import time
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

import msgspec

from dsmil.events.ids import digest
from dsmil.sources._feed import RawRecord
from dsmil.sources._files import MAX_LINE_BYTES
from dsmil.text import file_name

if TYPE_CHECKING:
    from collections.abc import Callable

_HEAD_BYTES: Final = 1024
_BLOCK: Final = 1024 * 1024
#: Bytes after which a reading ends, however few lines that are: it is all held in memory.
_MOST_BYTES: Final = 16 * 1024 * 1024
#: What log rotation appends: .1, .2.gz, -20260131, -20260131-1700000000.gz, .2026-01-31 ...
_ROTATED: Final = re.compile(r"[._-]\d[\dT:._-]*(\.gz)?")
_GZIP: Final = b"\x1f\x8b"
#: How long a renamed file must have been quiet before the next one is begun: its writer may still hold it.
QUIET_S: Final = 1.0


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Up to where a generation has been read. Kept on disk: a field that is added later needs a default."""

    inode: int = 0
    #: Digest of the first ``head_bytes`` bytes.
    head: bytes
    head_bytes: int
    #: Bytes read, always at the end of a line (of a gzip file: bytes of its content).
    offset: int
    #: Lines read.
    line: int = 0
    #: Lines read whose records are not published, or that later lines cannot be read without.
    held: tuple[RawRecord, ...] = ()


class Follower:
    """Reads the whole lines that a file has now, and goes on with the next generation when it is rotated."""

    def __init__(
        self,
        path: Path,
        position: Position | None,
        *,
        trims: bytes = b" \t\r\n",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin at ``position``, or at the start of the file that is there now; ``trims`` is cut off the lines."""
        self.path = path
        self._shown = file_name(path)
        self._trims = trims
        #: What could not be read, in words.
        self.problems: list[str] = []
        #: Why the file that is there cannot be opened; empty when it can, or when there is none.
        self.obstacle = ""
        #: Goes up when another generation is begun at its start; 0 while the one of ``position`` is read.
        self.generation = 0
        self._clock = clock
        self._file: IO[bytes] | None = None
        self._live = True
        self._quiet_since: float | None = None
        #: Where to go on once the file can be opened.
        self._kept: Position | None = None
        self._inode = self._offset = self._line = self._modified_ns = 0
        self._head, self._head_bytes = digest(b""), 0
        if position is not None:
            self._resume(position)

    @property
    def position(self) -> Position:
        """Where the lines returned so far end."""
        return Position(
            inode=self._inode,
            head=self._head,
            head_bytes=self._head_bytes,
            offset=self._offset,
            line=self._line,
        )

    @property
    def waiting(self) -> bool:
        """Whether there is no file to read now."""
        return self._file is None and not self.obstacle and not self.path.exists()

    def read(self, most: int) -> list[RawRecord]:
        """Return up to ``most`` lines of one generation that are whole now; empty when there are none."""
        if self._kept is not None:
            self._resume(self._kept)
            if self._kept is not None:
                return []
        if self._file is None and not self._next():
            return []
        if self._live and self._overwritten():
            lost = self.position
            self.close()
            self._resume(lost)
            return []
        records = self._lines(most, final=False)
        if records:
            self._quiet_since = None
        elif self._finished():
            records = self._lines(1, final=True)  # a last line that will never get its end
            if not records:
                self.close()
        return records

    def close(self) -> None:
        """Close the file; the position stays."""
        if self._file is not None:
            self._modified_ns = os.fstat(self._file.fileno()).st_mtime_ns
            self._file.close()
            self._file = None

    # Generations

    def _resume(self, position: Position) -> None:
        """Find and open the generation that ``position`` speaks of, or keep it for later."""
        self._kept = None
        if self._barred():
            # It may be the very file: to begin another one now would read it again, from its start.
            self._kept = position
            return
        if _matches(self.path, position):
            self._open(self.path, position, live=True)
            return
        for candidate in self._rotated():
            if _matches(candidate, position):
                self._open(candidate, position, live=False)
                return
        self.problems.append(
            f"{self.path} was rotated and its old content is gone: what was written to it after byte"
            f" {position.offset} has not been read"
        )

    def _barred(self) -> bool:
        """Return whether the file is there and cannot be opened, and remember why."""
        self.obstacle = ""
        try:
            self.path.open("rb").close()
        except FileNotFoundError:
            pass
        except OSError as exc:
            self.obstacle = (
                f"{self.path} cannot be read: {exc.strerror or exc}; let the user of this process read the file"
                " and search its folders"
            )
        return bool(self.obstacle)

    def _rotated(self) -> list[Path]:
        """Return the rotated files of this name, oldest first."""
        names = (p for p in self.path.parent.glob(f"{self.path.name}*") if p != self.path)
        files = [p for p in names if _ROTATED.fullmatch(p.name[len(self.path.name) :]) and p.is_file()]
        return sorted(files, key=lambda p: p.stat().st_mtime_ns)

    def _successor(self) -> Path | None:
        """Return the file that was rotated next after the one read last, or None when the live one is next.

        Looked up when it is needed: another rotation may rename, number anew or compress them all.
        """
        if not self._inode:
            return None
        files = self._rotated()
        for number, candidate in enumerate(files):
            if candidate.stat().st_ino == self._inode or _matches(candidate, self.position):
                return files[number + 1] if number + 1 < len(files) else None
        # The one read last is deleted by now.
        return next((file for file in files if file.stat().st_mtime_ns > self._modified_ns), None)

    def _open(self, path: Path, position: Position | None, *, live: bool) -> None:
        self._file = _opened(path)
        self._inode = os.fstat(self._file.fileno()).st_ino
        self._offset, self._line = (position.offset, position.line) if position else (0, 0)
        self._head, self._head_bytes = (position.head, position.head_bytes) if position else (digest(b""), 0)
        self._live = live
        self._quiet_since = None

    def _next(self) -> bool:
        """Begin the next generation; False when there is none yet."""
        if self._barred():
            return False
        try:
            following = self._successor()
            self._open(following or self.path, None, live=following is None)
        except OSError:
            return False
        self.generation += 1
        return True

    def _overwritten(self) -> bool:
        """Return whether the file under us was cut to nothing (and perhaps written anew) since the last look."""
        if self._file is None:
            return False
        number = self._file.fileno()
        # Straight from the file: the reader's buffer may still hold what was there before.
        head = os.pread(number, self._head_bytes, 0)
        return os.fstat(number).st_size < self._offset or digest(head) != self._head

    def _finished(self) -> bool:
        """Return whether nothing will be added to this generation any more."""
        if not self._live:
            return True
        try:
            if self.path.stat().st_ino == self._inode:
                return False
        except OSError:
            return False  # between rename and creation
        if self._quiet_since is None:
            self._quiet_since = self._clock()
        return self._clock() - self._quiet_since >= QUIET_S

    # Lines

    def _lines(self, most: int, *, final: bool) -> list[RawRecord]:
        if self._file is None:
            return []
        records: list[RawRecord] = []
        self._file.seek(self._offset)
        begun = self._offset
        while len(records) < most and self._offset - begun < _MOST_BYTES:
            line, length = _line(self._file)
            if not length or (not line.endswith(b"\n") and not final):
                break
            self._offset += length
            self._line += 1
            text = line.strip(self._trims)
            if text and not text.isspace():
                records.append(RawRecord(text, f"{self._shown}:{self._line}", max(length - len(line), 0)))
        if self._head_bytes < min(_HEAD_BYTES, self._offset):
            self._head_bytes = min(_HEAD_BYTES, self._offset)
            self._head = digest(_head(self._file, self._head_bytes))
        return records


def _matches(path: Path, position: Position) -> bool:
    """Return whether a file is the generation of ``position``: the same beginning, and at least as long."""
    try:
        with _opened(path) as file:
            return (
                digest(_head(file, position.head_bytes)) == position.head and _size(file, path) >= position.offset
            )
    except (OSError, EOFError, zlib.error):
        return False


def _opened(path: Path) -> IO[bytes]:
    plain = path.open("rb")
    if plain.peek(2)[:2] != _GZIP:
        return plain
    plain.close()
    return cast("IO[bytes]", gzip.open(path, "rb"))


def _head(file: IO[bytes], size: int) -> bytes:
    file.seek(0)
    return file.read(size)


def _size(file: IO[bytes], path: Path) -> int:
    """Return the bytes of content; a gzip file must be read to know."""
    if not isinstance(file, gzip.GzipFile):
        return path.stat().st_size
    file.seek(0)
    total = 0
    while block := file.read(_BLOCK):
        total += len(block)
    return total


def _line(file: IO[bytes]) -> tuple[bytes, int]:
    """Return a line (its head when it is over-long) and how many bytes it takes in the file."""
    line = file.readline(MAX_LINE_BYTES + 1)
    length, rest = len(line), line
    while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
        rest = file.readline(MAX_LINE_BYTES + 1)
        length += len(rest)
    if length > len(line) and rest.endswith(b"\n"):
        line += b"\n"
    return line, length
