"""Takes snapshots of the hot store while it is written to, and tells the broker what they have."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

from dsmil import log
from dsmil.errors import StoreDamaged, StoreUnavailable, Unavailable
from dsmil.infrastructure.address import broker_url
from dsmil.infrastructure.connection import connect
from dsmil.infrastructure.groups import broker_epoch
from dsmil.infrastructure.pressure import Level, Pressure, heard
from dsmil.infrastructure.snapshots import Snapshot, Snapshots
from dsmil.infrastructure.store import Store
from dsmil.infrastructure.store_place import store_name
from dsmil.infrastructure.trimming import save_position
from dsmil.services.retry import pause

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import redis

    from dsmil.config import Settings

#: Seconds between two snapshots, when memory runs short, and when it nearly has run out.
EVERY_S: Final = 300.0
_HURRY_S: Final = 30.0
_RUSH_S: Final = 2.0
#: At the most one part in so many of the time goes into snapshots.
_REST: Final = 4
#: A store whose streams stand still is copied this often, for what comes by other ways.
_QUIET_S: Final = 3600.0
_LOOK_S: Final = 2.0
#: How long the last snapshot may take when the process is to stop.
LAST_S: Final = 6.0
#: Longest wait after one that could not be taken.
_AGAIN_S: Final = 30.0


class SnapshotKeeper:
    """The snapshots of one store writer, in a thread of its own."""

    def __init__(
        self, store: Path, streams: Sequence[str], settings: Settings, *, every_s: float = EVERY_S
    ) -> None:
        """Take the store and the streams that are copied into it; nothing runs yet."""
        self._store = store
        self._streams = tuple(streams)
        self._settings = settings
        self._every_s = every_s
        self._name = store_name(store)
        self._snapshots = Snapshots(store, settings.state_dir)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="snapshots", daemon=True)
        self._log = log.get("snapshots")
        self._next_try = 0.0
        #: How often in a row none could be taken.
        self._failures = 0
        #: When we took the last one, by a clock that nobody sets.
        self._taken: float | None = None
        self._took_s = 0.0
        #: Why the last one failed; empty when it did not.
        self.problem = ""
        #: When the newest one was taken, Unix seconds; 0 when there is none.
        self.newest_ts = 0.0
        #: What a look through the copied pages has found wrong with the store; for the store writer to mend.
        self.damage = ""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and take a last snapshot if that takes no more than a few seconds."""
        self._stop.set()
        self._thread.join()
        give_up = time.monotonic() + LAST_S
        with connect(broker_url(self._settings), self._settings) as client:
            try:
                newest = self._snapshots.newest()
                if positions(self._store) and (newest is None or self._moved(newest)):
                    self._snapshots.take(lambda: time.monotonic() > give_up)
                self.announce(client)
            except Unavailable as exc:
                self._log.warning("snapshots.none_at_the_end", cause=str(exc))

    def _run(self) -> None:
        with connect(broker_url(self._settings), self._settings) as client:
            while not self._stop.is_set():
                try:
                    self._round(client)
                except Unavailable as exc:
                    if isinstance(exc, StoreDamaged):
                        self.damage = str(exc)
                    wait = _LOOK_S
                    if isinstance(exc, StoreUnavailable):
                        self.problem = str(exc)
                        # Soon at first: a store that was wiped is made anew within a second.
                        self._failures += 1
                        wait = pause(self._failures, _AGAIN_S)
                        self._next_try = time.monotonic() + wait
                    self._log.warning("snapshots.trouble", cause=str(exc), retry_in_s=round(wait, 2))
                    client.connection_pool.disconnect()
                self._stop.wait(_LOOK_S)

    def _round(self, client: redis.Redis) -> None:
        newest = self._snapshots.newest()
        if time.monotonic() >= self._next_try and self._due(newest, client):
            started = time.monotonic()
            taken = self._snapshots.take(self._stop.is_set)
            self.problem, self._failures = "", 0
            if taken is not None:
                self._taken = time.monotonic()
                self._took_s = self._taken - started
                self._log.info(
                    "snapshots.taken",
                    path=str(taken.path),
                    megabytes=taken.size_bytes >> 20,
                    seconds=round(time.monotonic() - started, 2),
                )
        self.announce(client)

    def _due(self, newest: Snapshot | None, client: redis.Redis) -> bool:
        age = _QUIET_S if newest is None else self._age(newest)
        if age < self._every_s and age < self._pause(heard(client)):
            return False
        there = positions(self._store)
        if not there:
            return False  # new, wiped, or being restored: a copy of it would push out a whole one
        return newest is None or age >= _QUIET_S or there != newest.positions

    def _pause(self, pressure: Pressure) -> float:
        """Return how long to wait after a snapshot: what the streams may give back waits for the next."""
        if not pressure.tidy:
            return self._every_s
        shortest = _RUSH_S if pressure.level >= Level.WARN else _HURRY_S
        return max(min(shortest, _HURRY_S), _REST * self._took_s)

    def _age(self, newest: Snapshot) -> float:
        """Return its seconds; a clock that was set back must not end all snapshots."""
        if self._taken is not None:
            return time.monotonic() - self._taken
        age = time.time() - newest.made
        return age if age >= 0 else _QUIET_S

    def _moved(self, newest: Snapshot) -> bool:
        return positions(self._store) != newest.positions

    def announce(self, client: redis.Redis) -> None:
        """Tell the janitor up to where the newest snapshot has everything: what is older may go.

        The snapshot is looked at anew each time: when somebody has removed it, nothing of it may go any more.
        """
        newest = self._snapshots.newest()
        self.newest_ts = newest.made if newest else 0.0
        epoch = broker_epoch(client)
        saved = {}
        if newest is not None:
            saved = {s: last_id for s, last_id in newest.positions.items() if newest.epochs[s] == epoch}
        for stream in self._streams:
            save_position(client, self._name, stream, saved.get(stream))


def positions(store: Path) -> dict[str, str]:
    """Return up to where each stream is in the store; nothing when there is no store yet."""
    if not store.exists():
        return {}
    opened = Store(store, read_only=True)
    try:
        found: list[dict[str, Any]] = opened.named("positions")
    except StoreUnavailable:  # no schema yet
        return {}
    finally:
        opened.close()
    return {row["stream"]: row["last_id"] for row in found}
