"""Consumer names that stay the same across restarts: ``host-group-n``.

A restarted process must find what its predecessor held under the same name, and two processes must never
share one, or the fence of one would let the other's entries through. A file lock per name settles both: the
lowest free number is taken, and a killed process frees its number.
"""

from __future__ import annotations

import fcntl
import os
import socket
from typing import Final

from dsmil.errors import DsmilError
from dsmil.infrastructure.instance import runtime_dir

_MOST: Final = 1000


class ConsumerName:
    """A name held by this process until it is released or the process ends."""

    def __init__(self, broker: str, group: str) -> None:
        """Take the lowest free number for ``group`` on the broker of that address."""
        folder = runtime_dir(f"consumers {broker}")
        host = socket.gethostname() or "localhost"
        for number in range(_MOST):
            fd = os.open(folder / f"{group}-{number}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(fd)
                continue
            self._fd = fd
            #: The name to read with.
            self.name = f"{host}-{group}-{number}"
            return
        msg = f"all {_MOST} consumer names of {group} are taken on this host"
        raise DsmilError(msg)

    def release(self) -> None:
        """Give the name back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
