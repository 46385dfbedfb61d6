"""A program on a terminal of its own, as a person would have it."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import termios
from collections.abc import Mapping, Sequence
from typing import Any

from tests.acceptance.fabric_process import ROOT

from dsmil.testing.waiting import until

#: Colours and the like: the product's own, on a terminal.
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def _log_in() -> None:
    """Make the terminal ours; who runs the tests in the background ignores Ctrl-C, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.login_tty(0)


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self._end, other = os.openpty()
        self.process = subprocess.Popen(
            command,
            env={**env, "TERM": "xterm-256color"},
            cwd=ROOT,
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
            preexec_fn=_log_in,  # noqa: PLW1509 - this process has no threads
        )
        os.close(other)
        self._shown = b""

    def shown(self) -> str:
        """Return everything shown so far, as it came."""
        while self._end >= 0 and select.select([self._end], [], [], 0)[0]:
            try:
                more = os.read(self._end, 65536)
            except OSError:  # the other end is closed
                break
            if not more:
                break
            self._shown += more
        return self._shown.decode(errors="replace")

    def lines(self) -> list[str]:
        """Return the whole lines shown so far, without colours."""
        return _STYLE.sub("", self.shown()).replace("\r\n", "\n").split("\n")[:-1]

    def frame(self) -> str:
        """Return what was painted since the cursor went home last, without colours."""
        return _STYLE.sub("", self.shown().rpartition("\x1b[H")[2])

    def mode(self) -> list[Any]:
        """Return the settings of the terminal: echo, keys at once, and so on."""
        return termios.tcgetattr(self._end)

    def press(self, keys: str) -> None:
        """Do what the person at the keyboard does."""
        os.write(self._end, keys.encode())

    def press_ctrl_c(self) -> None:
        """Do what the person at the terminal does."""
        self.press("\x03")

    def hang_up(self) -> None:
        """Close the terminal's window."""
        os.close(self._end)
        self._end = -1

    def wait_end(self, timeout_s: float = 20) -> int | None:
        """Wait for the program's end while reading what it shows; return its exit code."""
        until(lambda: (self.lines(), self.process.poll() is not None)[1], timeout_s, "the end of the program")
        return self.process.returncode

    def close(self) -> None:
        """End what still runs."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.wait_end()
            except TimeoutError:
                self.process.kill()
                self.process.wait()
        if self._end >= 0:
            self.hang_up()
