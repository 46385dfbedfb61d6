"""Looking at locks and sockets: who holds them is asked of the kernel, nothing is made or kept."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from dsmil.infrastructure.instance import runtime_places


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock of a file; False when there is no such file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Shared and given back at once: whoever wants it in earnest waits or tries again.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def answers(path: str) -> bool:
    """Return whether a server listens on a unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError:  # busy, or not ours to ask: somebody is there
            return Path(path).exists()
    return True


class ConsumerLocks:
    """The consumer names of this host on one broker."""

    def __init__(self, broker: str) -> None:
        """Find their folder; it is not made."""
        self._host = socket.gethostname() or "localhost"
        places = [path for path in runtime_places(f"consumers {broker}") if path.is_dir()]
        self._folder = places[0] if places else None

    def held(self, group: str, consumer: str) -> bool | None:
        """Return whether a process of this host holds a name; None for names that are not of this host."""
        prefix = f"{self._host}-{group}-"
        if self._folder is None or not consumer.startswith(prefix) or not consumer[len(prefix) :].isdecimal():
            return None
        return is_held(self._folder / f"{group}-{consumer[len(prefix) :]}.lock")

    def count(self) -> tuple[int, int]:
        """Return how many lock files there are, and how many are held."""
        files = list(self._folder.glob("*.lock")) if self._folder else []
        return len(files), sum(map(is_held, files))
