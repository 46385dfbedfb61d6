"""What the store writer writes next: read by itself, or far behind, by a process of its own meanwhile."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from dsmil import log
from dsmil.infrastructure.entries import id_order
from dsmil.services.reading_ahead import ReadingAhead
from dsmil.services.row_reader import Places, RowReader, full

if TYPE_CHECKING:
    import redis

    from dsmil.config import Settings
    from dsmil.services.copying import Copy

#: So many full batches one after the other, of entries that have been waiting for so long, are a queue for which a
#: process is worth it. A burst is soon over, and it would only take processor time from the router.
_FULL_BATCHES: Final = 5
_WAITING_S: Final = 0.5
_TAKE_S: Final = 1.0
#: Exit codes of a process that caught up, or was ended together with this one.
_ENDED_WELL: Final = (0, -signal.SIGTERM)
#: A process that failed is not tried again before.
_AGAIN_S: Final = 60.0


class Intake:
    """Rows behind given places."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        """Read by ``client``; nothing is read yet."""
        self._settings = settings
        self._reader = RowReader(client, settings.poll_timeout_ms)
        self._ahead: ReadingAhead | None = None
        #: Full batches of old entries in a row.
        self._full = 0
        self._not_before = 0.0 if _has_cores() else float("inf")
        self._log = log.get("store-writer")

    def take(self, places: Places, *, wait: bool) -> list[Copy]:
        """Return the rows of what comes next behind ``places``, for each stream that has something.

        ``wait`` is for the first entry, for some seconds at most. Raises Unavailable.
        """
        ahead = self._ahead_of(places)
        if ahead is not None:
            made = ahead.take(_TAKE_S if wait else 0.0)
            if made is not None:
                return made
            self._end(ahead)
        copies = self._reader.read(places, wait=wait)
        self._full = self._full + 1 if _waited_s(full(copies)) > _WAITING_S else 0
        return copies

    def rest_s(self) -> float:
        """Return for how many seconds yet entries are better left to come together."""
        return self._reader.rest_s()

    def wake(self) -> None:
        """End the wait for entries, now and from now on; called from another thread."""
        self._reader.wake()

    def close(self) -> None:
        """Give up the connection, and end the process if there is one."""
        self._reader.forget()
        self._close_ahead()

    def _close_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def _ahead_of(self, places: Places) -> ReadingAhead | None:
        """Return the process when it goes on behind ``places``; see to it that there is one far behind."""
        if self._ahead is None:
            if self._full >= _FULL_BATCHES and time.monotonic() >= self._not_before:
                self._start()
            return None
        if self._ahead.places is None:
            if not self._ahead.ready():
                return None
            self._ahead.begin(places)
        if self._ahead.places != places:
            self._close_ahead()  # what it made was not written, or the streams are read again from elsewhere
        return self._ahead

    def _start(self) -> None:
        try:
            self._ahead = ReadingAhead(self._settings)
        except OSError as exc:
            self._log.warning("store.no_reading_ahead", cause=str(exc))
            self._not_before = time.monotonic() + _AGAIN_S
        else:
            self._log.info("store.reading_ahead", pid=self._ahead.pid)

    def _end(self, ahead: ReadingAhead) -> None:
        """See to a process that has ended: it caught up, or it failed and is not missed for a while."""
        self._ahead, self._full = None, 0
        if (code := ahead.ended()) not in _ENDED_WELL:
            self._log.warning("store.reading_ahead_failed", pid=ahead.pid, code=code)
            self._not_before = time.monotonic() + _AGAIN_S
        else:
            self._log.info("store.caught_up", pid=ahead.pid)


def _waited_s(copies: list[Copy]) -> float:
    """Return how long the last entries have been waiting, seconds, by the clocks of broker and this host."""
    return max((time.time() - id_order(made.last_id)[0] / 1000 for made in copies), default=0.0)


def _has_cores() -> bool:
    """Return whether a second process could work at the same time."""
    return sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1
