"""The state directory of one running fabric: who holds it, and where its sockets and ports are."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
import time
from pathlib import Path
from typing import IO, Final

import msgspec

from dsmil.errors import DsmilError, InstanceRunning

_LOCK: Final = "instance.lock"
_RECORD: Final = "instance.json"
#: sun_path holds 108 bytes with the closing NUL; servers refuse more.
#: A look at the lock takes far less than this.
_LOOKING_S: Final = 0.5
_MAX_SOCKET_PATH: Final = 100


class InstanceRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What ``instance.json`` says. Another version may have written it: only the process id must be there."""

    #: Process id of ``dsmil up``.
    pid: int
    #: Unix seconds.
    started: float = 0.0
    version: str = ""
    #: Address for clients, without credentials.
    broker_url: str = ""
    #: Unix socket of the bundled broker; empty when the broker is a given one.
    socket: str = ""
    #: ``bundled``, ``system`` or ``given``.
    broker_mode: str = "bundled"
    #: File of the hot store.
    hotpath_db: str = ""
    #: TCP ports by purpose: ``metrics`` for the router's process, ``metrics-<process>`` for others, ``shrink``.
    ports: dict[str, int] = {}
    #: Without a password.
    shrink_url: str = ""
    #: Folders of Sigma rules in use beside the product's own, with colons between.
    rules: str = ""


class StateDir:
    """A state directory: at most one instance holds it at a time."""

    def __init__(self, path: Path) -> None:
        """Name the directory; nothing is made or locked yet."""
        self.path = path
        self._lock: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock for as long as this process lives; raises InstanceRunning when another holds it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (self.path / _LOCK).open("a+")
        if not _locked(lock):
            lock.close()
            record = self.read()
            who = f" (pid {record.pid})" if record else ""
            msg = f"another instance{who} holds {self.path}; stop it with `dsmil down` or name another --state-dir"
            raise InstanceRunning(msg) from None
        self._lock = lock
        (self.path / _RECORD).unlink(missing_ok=True)  # left by an instance that was killed

    def release(self) -> None:
        """Give the lock back and remove the record."""
        if self._lock is not None:
            (self.path / _RECORD).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def write(self, record: InstanceRecord) -> None:
        """Publish the record in one step: readers see the old or the new one, never half."""
        target = self.path / _RECORD
        fresh = target.with_suffix(".new")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
        fresh.replace(target)

    def read(self) -> InstanceRecord | None:
        """Return the record as last written, or None when there is none that can be read."""
        try:
            return msgspec.json.decode((self.path / _RECORD).read_bytes(), type=InstanceRecord)
        except (OSError, msgspec.MsgspecError):
            return None

    def running(self) -> InstanceRecord | None:
        """Return the record of the instance that runs now, or None. The lock is the proof, not the pid."""
        try:
            with (self.path / _LOCK).open("r+") as lock:
                try:
                    # A shared lock: two readers at once must not take each other for the instance.
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except OSError:
                    return self.read()
        except OSError:
            pass
        return None


def _locked(lock: IO[str]) -> bool:
    """Take the lock, waiting out those who only look whether it is taken."""
    deadline = time.monotonic() + _LOOKING_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def runtime_dir(key: str) -> Path:
    """Return a private directory for sockets and locks, short enough for a socket path.

    It lies in ``$XDG_RUNTIME_DIR`` or the temporary directory, named after the user and ``key``.
    """
    places = runtime_places(key)
    for path in places:
        with contextlib.suppress(OSError):
            path.mkdir(mode=0o700, exist_ok=True)
            _check_private(path)
            return path
    msg = f"no place for a unix socket: tried {', '.join(map(str, places)) or 'none'}; set XDG_RUNTIME_DIR"
    raise DsmilError(msg)


def runtime_places(key: str) -> list[Path]:
    """Return where :func:`runtime_dir` looks for room, best first; nothing is made."""
    digest = hashlib.blake2b(key.encode(), digest_size=5).hexdigest()
    bases = [os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"]  # noqa: S108 - ownership is checked
    paths = [Path(base) / f"dsmil-{os.getuid()}-{digest}" for base in filter(None, bases)]
    longest = _MAX_SOCKET_PATH - len("/broker.sock")
    return [path for path in dict.fromkeys(paths) if len(os.fsencode(path)) <= longest]


def _check_private(path: Path) -> None:
    info = path.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid() or info.st_mode & 0o077:
        msg = f"{path} is not a directory of this user alone (mode 0700); remove it"
        raise DsmilError(msg)
