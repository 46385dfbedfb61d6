"""``dsmil top`` on a terminal: one thread looks, this one draws and listens to the keyboard."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import sys
import termios
import threading
import time
import tty
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil.cli._screen import paint
from dsmil.cli._shared import console
from dsmil.cli._top_draw import PICK_NAMES, Frame, draw
from dsmil.cli._top_model import Model
from dsmil.services.glance import Glance, Looker

if TYPE_CHECKING:
    from types import FrameType

    from dsmil.cli._top_model import View
    from dsmil.config import Settings

#: Refresh intervals that + and - step through, seconds.
_STEPS: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
#: An answer that is later than this is overdue, seconds beside the interval.
_OVERDUE_S: Final = 2.0
_OPEN: Final = "\x1b[?1049h\x1b[?25l\x1b[2J"
_CLOSE: Final = "\x1b[?25h\x1b[?1049l"


class Ended(BaseException):
    """A signal ends the program; the terminal is given back first."""

    def __init__(self, number: int) -> None:
        """Keep the signal's number."""
        super().__init__(number)
        self.number = number


class FullScreen:
    """The terminal while it is ours: other screen, no echo, keys at once. Given back at any exit."""

    def __init__(self) -> None:
        """Take nothing yet."""
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()
        self._handlers: dict[int, Any] = {}
        self._before: list[Any] = []
        #: Becomes readable when a signal came that wants the frame drawn anew.
        self.woken, self._wake = os.pipe()

    def __enter__(self) -> FullScreen:
        """Take the terminal."""
        self._before = termios.tcgetattr(self._in)
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for number in _ENDING:
            self._handlers[number] = signal.signal(number, _end)
        self._handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._suspend)
        self._handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, lambda *_: None)
        try:
            self._take()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        """Give it back as it was; nothing may come between."""
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
        self._give_back()
        signal.set_wakeup_fd(-1)
        for caught, handler in self._handlers.items():
            signal.signal(caught, handler)
        signal.signal(signal.SIGINT, interrupt)
        os.close(self.woken)
        os.close(self._wake)

    def _take(self) -> None:
        tty.setcbreak(self._in)
        self._write(_OPEN)

    def _give_back(self) -> None:
        # Whoever hung up has taken the terminal away.
        with contextlib.suppress(OSError, termios.error):
            self._write(_CLOSE)
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(self._in, termios.TCSADRAIN, self._before)

    def _write(self, text: str) -> None:
        sys.stdout.flush()
        os.write(self._out, text.encode())

    def _suspend(self, number: int, _frame: FrameType | None) -> None:
        """Stop at Ctrl-Z with the terminal as it was; go on from here when the shell says so."""
        self._give_back()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, self._suspend)
        self._take()


def _end(number: int, _frame: FrameType | None) -> None:
    raise Ended(number)


class Sampler(threading.Thread):
    """Looks every interval, so that a broker that hangs does not hold up the keyboard."""

    def __init__(self, settings: Settings, interval_s: float) -> None:
        """Prepare; :meth:`start` begins."""
        super().__init__(name="sampler", daemon=True)
        self.interval_s = interval_s
        #: Glances, or the error that ended the thread.
        self.seen: queue.SimpleQueue[Glance | BaseException] = queue.SimpleQueue()
        #: Becomes readable when there is something in ``seen``.
        self.ready, self._tell = os.pipe()
        self._looker = Looker(settings)
        self._hurry = threading.Event()

    def run(self) -> None:
        """Look until the program ends."""
        try:
            while True:
                self.seen.put(self._looker.look())
                os.write(self._tell, b".")
                self._hurry.wait(self.interval_s)
                self._hurry.clear()
        except BaseException as exc:  # noqa: BLE001 - raised anew where the user sees it
            self.seen.put(exc)
            os.write(self._tell, b".")

    def set_interval(self, seconds: float) -> None:
        """Look so often from now on."""
        self.interval_s = seconds
        self._hurry.set()


def run(settings: Settings, interval_s: float) -> int:
    """Show the fabric until a key or a signal ends it; a signal ends the process as it would have."""
    sampler = Sampler(settings, interval_s)
    try:
        with FullScreen() as screen:
            sampler.start()
            _Show(screen, sampler).loop()
    except Ended as exc:
        signal.signal(exc.number, signal.SIG_DFL)
        os.kill(os.getpid(), exc.number)
    return 0


class _Show:
    def __init__(self, screen: FullScreen, sampler: Sampler) -> None:
        self._screen, self._sampler = screen, sampler
        self._console = console()
        self._model = Model()
        self._view: View | None = None
        self._last = time.monotonic()
        self._frame = Frame(width=80, interval_s=sampler.interval_s)

    def loop(self) -> None:
        """Draw and listen until somebody quits."""
        stdin = sys.stdin.fileno()
        while True:
            self._draw()
            readable, _, _ = select.select([stdin, self._sampler.ready, self._screen.woken], [], [], 1.0)
            if self._screen.woken in readable:
                os.read(self._screen.woken, 4096)
            if self._sampler.ready in readable:
                os.read(self._sampler.ready, 4096)
                self._take()
            if stdin in readable:
                try:
                    keys = os.read(stdin, 64)
                except OSError:
                    keys = b""
                if not keys:
                    raise Ended(signal.SIGHUP)  # the terminal is gone
                if not all(self._press(key) for key in keys.decode("latin-1")):
                    return

    def _take(self) -> None:
        while not self._sampler.seen.empty():
            seen = self._sampler.seen.get()
            if isinstance(seen, BaseException):
                raise seen
            view = self._model.take(seen)
            self._last = time.monotonic()
            if not self._frame.paused or self._view is None:
                self._view = view

    def _press(self, key: str) -> bool:
        """Do what a key asks for; return whether to go on."""
        frame = self._frame
        if key in "qQ":
            return False
        if key in "pP":
            frame = msgspec.structs.replace(frame, paused=not frame.paused)
        elif key in "+-":
            steps = [s for s in _STEPS if s > frame.interval_s] if key == "+" else []
            steps += [s for s in reversed(_STEPS) if s < frame.interval_s] if key == "-" else []
            if steps:
                frame = msgspec.structs.replace(frame, interval_s=steps[0])
                self._sampler.set_interval(steps[0])
        elif key in "sS":
            picks = list(PICK_NAMES)
            frame = msgspec.structs.replace(frame, pick=picks[(picks.index(frame.pick) + 1) % len(picks)])
        elif key in "?hH":
            frame = msgspec.structs.replace(frame, help=not frame.help)
        self._frame = frame
        return True

    def _draw(self) -> None:
        silent = time.monotonic() - self._last
        overdue = silent > self._frame.interval_s + _OVERDUE_S
        width, height = os.get_terminal_size(sys.stdout.fileno())
        self._frame = msgspec.structs.replace(
            self._frame, width=width or 80, height=height or 24, silent_s=silent if overdue else None
        )
        try:
            paint(
                self._console, lambda: self._console.print(draw(self._view, self._frame), soft_wrap=True, end="")
            )
            sys.stdout.flush()
        except OSError:
            raise Ended(signal.SIGHUP) from None  # the terminal is gone
