"""Input that may pause: a pipe, a terminal or a socket says so before its reader waits for more."""

from __future__ import annotations

import io
import os
import select
import stat
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable


class _Pausing(io.RawIOBase):
    """Passes reads on, and calls ``idle`` before one that would wait."""

    def __init__(self, raw: io.RawIOBase, idle: Callable[[], None]) -> None:
        self._raw = raw
        self._idle = idle

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def readinto(self, buffer: bytearray) -> int | None:  # type: ignore[override]  # any writable buffer
        if not select.select([self.fileno()], [], [], 0)[0]:
            self._idle()
        return self._raw.readinto(buffer)


def announcing_pauses(file: IO[bytes], idle: Callable[[], None]) -> IO[bytes]:
    """Return a reader of ``file`` that calls ``idle`` whenever all that is there has been read.

    A regular file never pauses and is returned as it is. Nothing may have been read from ``file`` before; it
    stays open when the reader is closed.
    """
    raw = getattr(file, "raw", None)
    if raw is None or stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
        return file
    return cast("IO[bytes]", io.BufferedReader(_Pausing(raw, idle)))
