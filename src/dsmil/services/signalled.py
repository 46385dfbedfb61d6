"""An event that a signal handler may set."""

from __future__ import annotations

import threading


class SignalEvent(threading.Event):
    """As its base class, whose lock stops the main thread for good when a signal comes while that thread holds it.

    A handler runs between any two steps of the main thread, also between those of ``wait`` and ``clear``. With a
    lock that the same thread may take twice, such a signal is noticed one wait late at worst.
    """

    def __init__(self) -> None:
        """Begin as not set."""
        super().__init__()
        self._cond = threading.Condition(threading.RLock())
