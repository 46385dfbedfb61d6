"""Whether a part still moves: every part asks its stop event in its loop, and that is its pulse."""

from __future__ import annotations

import threading
import time


class Pulse(threading.Event):
    """The host's stop event as one part sees it; remembers when the part asked last."""

    def __init__(self, stop: threading.Event) -> None:
        """Follow ``stop``."""
        super().__init__()
        self._stop = stop
        self._seen = time.monotonic()

    def is_set(self) -> bool:
        """Return whether the process is to stop."""
        self._seen = time.monotonic()
        return self._stop.is_set()

    def set(self) -> None:
        """Stop the process, not just the part."""
        self._stop.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the stop; a wait that was asked for is no silence."""
        self._seen = time.monotonic() + (threading.TIMEOUT_MAX if timeout is None else timeout)
        done = self._stop.wait(timeout)
        self._seen = time.monotonic()
        return done

    def silent_s(self) -> float:
        """Return for how long the part has not asked, seconds."""
        return max(time.monotonic() - self._seen, 0.0)
