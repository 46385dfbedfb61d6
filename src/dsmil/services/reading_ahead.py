"""A process that reads streams and makes rows of them, while another writes the rows before.

Making rows takes a third of the time that an event costs on its way into the store. The process is told where to
begin, and sends what it made through a pipe, in which a batch or two may wait. It decides nothing: where it went
wrong, or ended, whoever uses it reads on from the place of what it has written.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Connection, Pipe
from typing import TYPE_CHECKING, Final

from dsmil.errors import Unavailable
from dsmil.infrastructure.address import broker_url
from dsmil.infrastructure.connection import connect
from dsmil.services.garbage import collect_seldom
from dsmil.services.priority import step_back
from dsmil.services.row_reader import Places, RowReader, full

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dsmil.config import Settings
    from dsmil.events.streams import StreamName
    from dsmil.services.copying import Copy

#: Room for two batches and more, bytes; the most that any user may have.
_PIPE_BYTES: Final = 1 << 20
#: It ends when no batch was full for so long, seconds: what comes then is as quickly read by the one that writes.
_QUIET_S: Final = 5.0
#: How long it may take from its last word to its end, seconds.
_LAST_S: Final = 5.0
#: Where cores are short, who routes goes first, and then who writes what is there.
_STEP_BACK: Final = 10


class ReadingAhead:
    """The process, seen by the one that writes."""

    def __init__(self, settings: Settings, quiet_s: float = _QUIET_S) -> None:
        """Start it; OSError when that is not possible. It ends when little was waiting for ``quiet_s`` seconds."""
        self._rows, theirs = Pipe(duplex=False)
        try:
            with contextlib.suppress(OSError):  # it only goes slower then
                fcntl.fcntl(theirs.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            # Not forked: locks of other threads would stay shut in it.
            self._process = subprocess.Popen(  # noqa: S603 - this program
                # Nothing is imported from the folder that somebody happens to be in (-P).
                [sys.executable, "-P", "-m", "dsmil.services.reading_ahead", str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        except OSError:
            self._rows.close()
            raise
        finally:
            theirs.close()
        #: Behind these comes what :meth:`take` returns next; None before it has begun.
        self.places: dict[StreamName, str] | None = None
        self._task = settings, quiet_s

    def ready(self) -> bool:
        """Return whether it could begin now, or has ended."""
        return self._rows.poll()

    def begin(self, places: Places) -> None:
        """Let it begin behind ``places``, once it is ready."""
        self.places = dict(places)
        task = self._process.stdin
        if task is not None:
            with contextlib.suppress(BrokenPipeError), task:  # its end shows in `take`
                pickle.dump((*self._task, self.places), task)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def take(self, timeout_s: float) -> list[Copy] | None:
        """Return the next rows; none when there are none within ``timeout_s``, None when it has ended."""
        try:
            copies: list[Copy] = self._rows.recv() if self._rows.poll(timeout_s) else []
        except Exception:  # noqa: BLE001 - it ended, in the middle of a batch even, or is of another version
            return None
        if self.places is not None:
            self.places |= {made.stream: made.last_id for made in copies}
        return copies

    def ended(self) -> int:
        """Return its exit code once :meth:`take` has said that it ended: 0 when nothing was waiting any more."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST_S)
        self.close()
        return self._process.returncode

    def close(self) -> None:
        """End it, whatever it is doing."""
        self._rows.close()
        with self._process:  # its end is waited for
            self._process.kill()


def main(sink: str) -> int:
    """Read and send until nothing is waiting, or nobody takes it any more; return the exit code."""
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; who writes ends this one
    step_back(_STEP_BACK)
    collect_seldom()
    with Connection(int(sink), readable=False) as rows, contextlib.suppress(BrokenPipeError):
        rows.send([])  # ready
        try:
            task = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
            for copies in _waiting(parent, *task):
                rows.send(copies)
        except EOFError:
            return 0  # nobody wants it to begin
        except Unavailable:
            return 1  # who writes meets the same trouble, and tells it
    return 0


def _waiting(
    parent: int, settings: Settings, quiet_s: float, places: dict[StreamName, str]
) -> Iterator[list[Copy]]:
    """Yield the rows of what is waiting behind ``places``, until that has been little for ``quiet_s``."""
    client = connect(broker_url(settings), settings)
    reader, busy = RowReader(client, settings.poll_timeout_ms), time.monotonic()
    while time.monotonic() < busy + quiet_s and os.getppid() == parent:
        copies = reader.read(places, wait=True)
        if copies:
            places |= {made.stream: made.last_id for made in copies}
            yield copies
        if full(copies):
            busy = time.monotonic()  # now, not before: it may have taken its time until they were wanted
        time.sleep(reader.rest_s())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
