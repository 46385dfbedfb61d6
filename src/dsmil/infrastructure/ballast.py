"""A file that takes up room on the store's tmpfs, to be given away when there is no other.

On a full file system SQLite cannot even delete: a deletion is written to the log first. Giving the ballast away
makes room for that.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Final

#: Of the file system, and at most.
_SHARE: Final = 1 / 64
_MOST: Final = 64 * 1024 * 1024


class Ballast:
    """The ballast beside one store."""

    def __init__(self, store: Path) -> None:
        """Name the store; nothing is made yet."""
        self.path = store.with_name(f"{store.name}.ballast")

    def take(self) -> bool:
        """Take up the room if it is not yet and there is plenty; return whether the ballast is there now."""
        with contextlib.suppress(OSError):
            total, _, free = shutil.disk_usage(self.path.parent)
            size = min(int(total * _SHARE), _MOST)
            if self.path.exists() and self.path.stat().st_size >= size:
                return True
            if free < 3 * size:
                return False
            fd = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, size)
            finally:
                os.close(fd)
            return True
        return False

    def give(self) -> bool:
        """Give the room away; return whether there was any."""
        try:
            self.path.unlink()
        except OSError:
            return False
        return True
