"""A real broker of a test's own: any server binary, with any options, on a unix socket."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import redis

from dsmil.infrastructure.broker import die_with_parent
from dsmil.testing.waiting import until

if TYPE_CHECKING:
    from collections.abc import Sequence


class PrivateServer:
    """Runs while the ``with`` block lasts; keeps nothing on disk."""

    def __init__(self, binary: Path | str, options: Sequence[str | Path] = ()) -> None:
        """``options`` come after ours: ``--aclfile``, ``--tls-port`` and the like."""
        self._folder = Path(tempfile.mkdtemp(prefix="dsmil-t-"))  # short: a socket's path is limited
        self._log = self._folder / "log"
        own = ("--port", "0", "--unixsocket", self._folder / "s", "--save", "", "--dir", self._folder)
        self._command = [str(part) for part in (binary, *own, "--logfile", self._log, *options)]
        self._process: subprocess.Popen[bytes] | None = None
        #: Address for clients.
        self.url = f"unix://{self._folder / 's'}"

    def __enter__(self) -> PrivateServer:
        """Start, and wait until it answers: a refusal is an answer."""
        self._process = subprocess.Popen(  # noqa: S603 - the test's own binary
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - prctl only
        )
        try:
            until(self._answers, 20, "the server's first answer")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"the server ended: {self._log.read_text(errors='replace')[-500:]}")
        with redis.Redis.from_url(self.url, protocol=2) as client:
            try:
                client.ping()
            except redis.AuthenticationError:
                return True
            except redis.RedisError:
                return False
        return True

    def __exit__(self, *_exc: object) -> None:
        """Stop it and remove its folder."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
        shutil.rmtree(self._folder, ignore_errors=True)
