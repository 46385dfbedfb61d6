"""The store writer: copies streams into the hot store.

Its place in each stream is kept in the store itself and moves in the transaction that adds the rows. A crash
anywhere therefore repeats or loses nothing, no acknowledgements are needed, and a wiped store fills itself
again from the streams.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import apsw
import redis

from dsmil import log
from dsmil.config import Secret
from dsmil.errors import NotAllowed, StoreDamaged, StoreTooNew, StoreUnavailable, Unavailable
from dsmil.events.streams import DEAD_LETTERS, StreamName
from dsmil.infrastructure import store_place
from dsmil.infrastructure.access import copying
from dsmil.infrastructure.address import broker_url
from dsmil.infrastructure.ballast import Ballast
from dsmil.infrastructure.connection import connect, translated
from dsmil.infrastructure.entries import id_order
from dsmil.infrastructure.event_counts import adding, mend
from dsmil.infrastructure.groups import broker_epoch
from dsmil.infrastructure.retention import LONGEST_S, expire, max_bytes, shrink_to
from dsmil.infrastructure.snapshots import DAMAGED, Snapshots, restore
from dsmil.infrastructure.sql import statement
from dsmil.infrastructure.steady_clock import SteadyClock
from dsmil.infrastructure.store import Store, writer_lock
from dsmil.infrastructure.store import translated as translated_store
from dsmil.services.intake import Intake
from dsmil.services.letters import dead_letter
from dsmil.services.metric_names import SNAPSHOT_TIME
from dsmil.services.part import STARTING, PlainPart, Vitals
from dsmil.services.retry import pause
from dsmil.services.snapshot_keeper import EVERY_S, SnapshotKeeper

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from dsmil.config import Settings
    from dsmil.events.handling import Dead
    from dsmil.infrastructure.access import Grant
    from dsmil.infrastructure.entries import Entry
    from dsmil.services.copying import Copy

#: Streams copied. Raw rows of findings come from their SOC entry, so L3_OUT and L4_OUT are not read again.
COPIED: Final = (StreamName.SOC_EVENTS, StreamName.L3_IN)
#: The table that a stream fills; SOC_EVENTS fills the raw table as well.
_TABLE: Final = {StreamName.SOC_EVENTS: "soc_events_cache", StreamName.L3_IN: "raw_events_fast"}
_START: Final = "0-0"
_MOST_PRODUCERS: Final = 10_000
#: How often rows are looked at for their age; bytes are looked at after every batch.
_RETENTION_EVERY_S: Final = 5.0
#: Chunks deleted between two reads, more rows than these can add: a store at its limit must not outgrow it.
_MOST_CHUNKS: Final = 4
_LOOK_EVERY_S: Final = 4.0
#: From this size of the store's log on, nothing is copied until it can be emptied: a reader that stays in one
#: transaction would let it grow without bound. A batch may add some more.
_MOST_LOG_BYTES: Final = 192 * 1024 * 1024
_HELD_S: Final = 0.5


class StoreWriter(PlainPart):
    """Reads streams from the store's own position and adds their rows."""

    name: ClassVar[str] = "store-writer"
    gives_way: ClassVar[bool] = True
    device_id: ClassVar[int] = 6
    reads: ClassVar[tuple[StreamName, ...]] = COPIED
    writes: ClassVar[tuple[StreamName, ...]] = ()

    def __init__(
        self, settings: Settings, *, clock: Callable[[], float] | None = None, snapshot_every_s: float = EVERY_S
    ) -> None:
        """Take the settings; store and broker are opened in :meth:`run`.

        Retention counts by ``clock``, Unix seconds; by default one that cannot be stepped ahead.
        """
        self._settings = settings
        self._clock = clock or SteadyClock(settings.state_dir / f"clock-{self.name}.json", LONGEST_S)
        self._place = store_place.choose(settings)
        self._max_bytes = max_bytes(settings, self._place.path)
        self._log = log.get(self.name)
        self._outcomes: dict[tuple[str, str], int] = {}
        self._durations: dict[tuple[str, str], tuple[int, float]] = {}
        self._problems = {"broker": STARTING, "store": STARTING}
        self._positions: dict[StreamName, str] = {}
        #: What the store says itself; differs from ours when we start over.
        self._stored: dict[str, str] = {}
        self._producers: set[tuple[str, int]] = set()
        self._epoch = ""
        self._failures = 0
        self._next_look = self._next_retention = 0.0
        self._damaged = self._place.path.with_name(f"{self._place.path.name}.damaged")
        self._ballast = Ballast(self._place.path)
        self._keeper = SnapshotKeeper(
            self._place.path, [stream.value for stream in COPIED], settings, every_s=snapshot_every_s
        )
        self._end_wait: Callable[[], None] = lambda: None
        self._client: redis.Redis
        self._intake: Intake
        self._store: Store

    @staticmethod
    def grants() -> tuple[Grant, ...]:
        """Return what it needs at the broker."""
        return copying(COPIED)

    def vitals(self) -> Vitals:
        """Return how the copy is going."""
        return Vitals(
            name=self.name,
            device_id=self.device_id,
            outcomes=dict(self._outcomes),
            layers={},
            durations=dict(self._durations),
            figures={SNAPSHOT_TIME.name: {("hotpath",): self._keeper.newest_ts}},
            checks=self._problems | {"snapshots": self._keeper.problem},
        )

    def wake(self) -> None:
        """Read no longer than it takes, once ``stop`` is set."""
        self._end_wait()

    def run(self, stop: threading.Event) -> None:
        """Copy until ``stop`` is set; trouble with broker or store is waited out, position unmoved."""
        url = broker_url(self._settings)
        self._client = connect(url, self._settings)
        # The very same broker for both: another may be found a minute later.
        self._intake = Intake(self._settings.replace(redis_url=Secret(url)), self._client)
        self._end_wait = self._intake.wake
        self._keeper.start()
        try:
            self._run(stop)
        finally:
            self._intake.close()
            self._keeper.stop()
            self._client.close()

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._open()
                try:
                    self._restore(stop)
                    self._follow(stop)
                finally:
                    self._store.close()
            except Unavailable as exc:
                if isinstance(exc, NotAllowed) and self._problems["broker"] == STARTING:
                    raise  # as the runner does: waiting gives no rights
                self._failures += 1
                wait = pause(self._failures)
                self._problems["store" if isinstance(exc, StoreUnavailable) else "broker"] = str(exc)
                self._log.warning("store.trouble", cause=str(exc), retry_in_s=round(wait, 2))
                self._client.connection_pool.disconnect()
                self._make_room(exc)
                if isinstance(exc, StoreDamaged):
                    self._set_aside()
                stop.wait(wait)

    def _open(self) -> None:
        self._store = Store(self._place.path)
        try:
            # Two writers would move one position over entries that only the other has copied.
            self._store.lock_for_writer()
            self._store.migrate()
            self._store.counts_in_bulk = True
            if mend(self._store):
                self._log.warning("store.counted_anew", path=str(self._place.path))
        except BaseException:
            self._store.close()
            raise
        if self._place.degraded:
            self._log.warning("store.on_disk", path=str(self._place.path), cause=self._place.reason)
        self._epoch = ""
        self._problems["store"] = ""
        self._next_look = 0.0

    def _restore(self, stop: threading.Event) -> None:
        """Copy the newest snapshot back into a store that knows no position: it is new, or was wiped."""
        if self._store.named("positions"):
            return
        for path in Snapshots(self._place.path, self._settings.state_dir).paths():
            if self._copied_back(path, stop):
                return

    def _copied_back(self, path: Path, stop: threading.Event) -> bool:
        """Copy one snapshot back; False when it cannot be used and the one before it is to be tried."""
        started = time.monotonic()
        self._log.info("store.restoring", snapshot=str(path))

        def progress(done: int, rows: int) -> None:
            self._problems["store"] = f"copying a snapshot back: {done:,} of {rows:,} rows"

        try:
            if restore(self._store, path, stop.is_set, progress):
                self._log.info("store.restored", seconds=round(time.monotonic() - started, 2))
        except StoreTooNew as exc:
            self._log.error("store.snapshot_refused", cause=str(exc))
            return False
        except StoreUnavailable as exc:
            if not isinstance(exc.__cause__, DAMAGED):
                raise
            self._log.error("store.snapshot_damaged", snapshot=str(path), cause=str(exc))
            return False
        finally:
            self._problems["store"] = ""
        return True

    def _set_aside(self) -> None:
        """Put a damaged file aside: the store is made again from snapshot and streams."""
        path = self._place.path
        with contextlib.suppress(OSError, StoreUnavailable), writer_lock(path):
            # The log first: whoever opens the path meanwhile must not find another file's log beside a new file.
            for end in ("-wal", "-shm"):
                path.with_name(path.name + end).unlink(missing_ok=True)
            path.replace(self._damaged)
            self._keeper.damage = ""
            self._log.error("store.damaged_file_set_aside", path=str(path), aside=str(self._damaged))

    def _make_room(self, exc: Unavailable) -> None:
        """On a full file system give the ballast away, so that retention can delete."""
        if not isinstance(exc.__cause__, apsw.FullError):
            return
        self._damaged.unlink(missing_ok=True)
        if self._ballast.give():
            self._log.warning("store.full", path=str(self._place.path), cause="the ballast was given away")
            try:
                with Store(self._place.path) as store:
                    while gone := expire(store, self._clock()):
                        self._log.info("store.expired", rows=gone)
            except StoreUnavailable as again:  # still no room; we are called again
                self._log.warning("store.still_full", cause=str(again))

    def _follow(self, stop: threading.Event) -> None:
        kept_up = False
        while not stop.is_set():
            now = time.monotonic()
            if now >= self._next_look:
                self._look_around()
                self._next_look = now + _LOOK_EVERY_S
            if self._keeper.damage:
                raise StoreDamaged(self._keeper.damage)
            if self._store.replaced():
                self._log.warning("store.replaced", path=str(self._place.path))
                return  # opened again, from the position that the new file has
            if self._log_is_held():
                stop.wait(_HELD_S)
                continue
            for batch in self._intake.take(self._positions, wait=kept_up):
                self._write(batch)
            kept_up = self._retain()
            self._failures = 0
            if kept_up:
                stop.wait(self._intake.rest_s())

    def _log_is_held(self) -> bool:
        """Return whether the log is too large and a reader keeps it from being emptied."""
        with translated_store(f"emptying the log of {self._place.path}"):
            log_file = self._place.path.with_name(f"{self._place.path.name}-wal")
            size = log_file.stat().st_size if log_file.exists() else 0
            if size < _MOST_LOG_BYTES:
                return False
            row: Any = self._store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        problem = f"a reader in one long transaction holds {size >> 20} MB of log; end it" if row[0] else ""
        if problem and not self._problems["store"]:
            self._log.warning("store.log_held", path=str(self._place.path), cause=problem)
        self._problems["store"] = problem
        return bool(row[0])

    def _look_around(self) -> None:
        """Start over where our position cannot be believed; rows that are there already absorb the overlap.

        That is so when the store was emptied, when the broker's data is another than the position speaks of
        (another broker, a flush), and when a stream's newest id lies before our position (a failover, restored
        files).
        """
        self._take_positions(broker_epoch(self._client))
        for stream, position in self._positions.items():
            with translated(f"looking at {stream}"):
                try:
                    info: Any = self._client.xinfo_stream(stream.value)
                except redis.ResponseError as exc:
                    if "no such key" not in str(exc):
                        raise
                    newest = _START
                else:
                    newest = info["last-generated-id"].decode()
            if id_order(newest) < id_order(position):
                self._log.warning("store.stream_reset", stream=stream.value, newest=newest, position=position)
                self._positions[stream] = _START
        self._problems["broker"] = ""
        if store_place.is_tmpfs(self._place.path.parent):
            self._ballast.take()

    def _take_positions(self, epoch: str) -> None:
        rows = self._store.named("positions")
        there = {row["stream"]: row["last_id"] for row in rows}
        if epoch == self._epoch:
            if there != self._stored:
                raise StoreUnavailable("the positions were changed by somebody else; starting over from them")
            return
        self._positions = dict.fromkeys(COPIED, _START)
        for row in rows:
            if row["stream"] in self._positions and row["epoch"] == epoch:
                self._positions[StreamName(row["stream"])] = row["last_id"]
        self._log.info("store.epoch", epoch=epoch, positions=self._positions)
        self._stored, self._epoch = there, epoch

    def _write(self, batch: Copy) -> None:
        stream = batch.stream
        for entry, dead in batch.rejected:
            self._log.warning("store.entry_rejected", source=entry.place, cause=dead.cause, detail=dead.detail)
            self._dead_letter(entry, dead)
        started = time.monotonic()
        with self._store.writing(f"copying {stream}") as connection:
            self._check_position(connection, stream)
            added = 0
            for name, table, rows in (
                ("insert_raw", "raw_events_fast", batch.raw),
                ("insert_soc", "soc_events_cache", batch.soc),
            ):
                if rows:
                    with adding(self._store, table):
                        before = connection.total_changes()
                        connection.executemany(statement(name), rows)
                        new = connection.total_changes() - before
                    added += new if table == _TABLE[stream] else 0
            rejected = len(batch.rejected)
            duplicates = batch.entries - added - rejected
            now = time.time()
            self._note_producers(connection, batch, now)
            place = (stream.value, batch.last_id, self._epoch)
            connection.execute(
                statement("move_position"), (*place, batch.entries, added, duplicates, rejected, now)
            )
        self._positions[stream] = self._stored[stream] = batch.last_id
        self._time("insert", _TABLE[stream], time.monotonic() - started)
        for outcome, count in (("stored", added), ("duplicate", duplicates), ("rejected", rejected)):
            if count:
                key = (stream.value, outcome)
                self._outcomes[key] = self._outcomes.get(key, 0) + count

    def _check_position(self, connection: apsw.Connection, stream: StreamName) -> None:
        """Refuse to write when the store's position is not the one we left: it was rebuilt under us."""
        row = connection.execute(statement("position_of"), (stream.value,)).fetchone()
        if (row[0] if row else None) != self._stored.get(stream.value):
            raise StoreUnavailable(f"the position of {stream} was changed by somebody else; starting over from it")

    def _note_producers(self, connection: apsw.Connection, batch: Copy, now: float) -> None:
        for (source, device, layer), events in batch.producers.items():
            if (source, device) not in self._producers:
                if len(self._producers) >= _MOST_PRODUCERS:
                    continue  # names out of events: somebody may make up a new one for each
                self._producers.add((source, device))
            values = {"source": source, "device_id": device, "layer": layer, "events": events, "now": now}
            connection.execute(statement("heard_producer"), values)

    def _time(self, operation: str, table: str, seconds: float) -> None:
        count, total = self._durations.get((operation, table), (0, 0.0))
        self._durations[operation, table] = (count + 1, total + seconds)

    def _dead_letter(self, entry: Entry, dead: Dead) -> None:
        letter = dead_letter(entry, dead, service=self.name, event_id="", attempts=1, now=time.time())
        with translated("writing a dead letter"):
            self._client.xadd(DEAD_LETTERS, cast("Any", dict(letter)))

    def _retain(self) -> bool:
        """Delete what is too old or too much, a few chunks of it; return whether nothing of it is left."""
        now = self._clock()
        for _ in range(_MOST_CHUNKS):
            started, gone = time.monotonic(), dict[str, int]()
            if started >= self._next_retention:
                gone = expire(self._store, now)
                if not gone:
                    self._next_retention = started + _RETENTION_EVERY_S
            gone = gone or shrink_to(self._store, self._max_bytes, now)
            if not gone:
                return True
            for table, count in gone.items():
                self._outcomes[table, "expired"] = self._outcomes.get((table, "expired"), 0) + count
                self._time("delete", table, time.monotonic() - started)
        return False


SERVICE = StoreWriter
