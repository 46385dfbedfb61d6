"""Care of the hot store by hand: is it whole, copy it now, build it anew from snapshot and streams."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil.errors import BusUnavailable, DsmilError, StoreDamaged, StoreUnavailable, Unavailable
from dsmil.infrastructure import store_place
from dsmil.infrastructure.address import broker_url
from dsmil.infrastructure.connection import connect, translated
from dsmil.infrastructure.entries import id_order
from dsmil.infrastructure.event_counts import counted_by_triggers
from dsmil.infrastructure.snapshots import Snapshot, Snapshots, describe
from dsmil.infrastructure.status import broker_trouble
from dsmil.infrastructure.store import Store, writer_lock
from dsmil.infrastructure.trimming import SAVED_KEY
from dsmil.services.snapshot_keeper import SnapshotKeeper, positions
from dsmil.services.store_writer import COPIED, StoreWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dsmil.config import Settings

_TABLES: Final = ("raw_events_fast", "soc_events_cache", "model_outputs_fast", "shrink_metrics")
_LOOK_S: Final = 0.2
#: A rebuilt store that takes in nothing for so long is not going to.
_STUCK_S: Final = 60.0


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """How far one stream is copied."""

    stream: str
    position: str
    #: Newest entry of the stream; empty when the broker does not say.
    newest: str
    entries: int
    rows: int
    duplicates: int
    rejected: int

    @property
    def adds_up(self) -> bool:
        """Whether every entry up to the position is a row, a duplicate or a dead letter."""
        return self.entries == self.rows + self.duplicates + self.rejected


class StoreReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at the store has found."""

    path: str
    #: What is wrong with the file, line by line; empty when it is whole.
    damage: tuple[str, ...]
    schema_step: int
    rows: dict[str, int]
    streams: tuple[StreamState, ...]
    #: Newest first.
    snapshots: tuple[dict[str, Any], ...]
    #: Snapshots that cannot be read.
    unreadable: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damage and not self.unreadable and all(stream.adds_up for stream in self.streams)


def check(settings: Settings) -> StoreReport:
    """Look through the whole store and its snapshots; raises StoreUnavailable when there is no store."""
    path = _existing(settings)
    newest: dict[str, str] = {}
    with contextlib.suppress(Unavailable):
        newest = _newest_ids(settings)
    snapshots, unreadable = [], []
    for file in Snapshots(path, settings.state_dir).paths():
        try:
            snapshots.append(_shown(describe(file)))
        except StoreUnavailable as exc:
            unreadable.append(str(exc))
    damage, step, rows, streams = _inside(path, newest)
    return StoreReport(
        path=str(path),
        damage=damage,
        schema_step=step,
        rows=rows,
        streams=streams,
        snapshots=tuple(snapshots),
        unreadable=tuple(unreadable),
    )


def _inside(
    path: Path, newest: dict[str, str]
) -> tuple[tuple[str, ...], int, dict[str, int], tuple[StreamState, ...]]:
    try:
        with Store(path, read_only=True) as store:
            found = [text for row in store.rows("PRAGMA quick_check") for text in row.values()]
            damage = tuple(text for text in found if text != "ok")
            step = store.rows("SELECT max(step) AS n FROM schema_steps")[0]["n"] or 0
            rows = _counts(store)
            streams = tuple(
                StreamState(
                    stream=row["stream"],
                    position=row["last_id"],
                    newest=newest.get(row["stream"], ""),
                    **{name: row[name] for name in ("entries", "rows", "duplicates", "rejected")},
                )
                for row in store.named("positions")
            )
    except StoreUnavailable as exc:
        return (str(exc),), 0, {}, ()
    return damage, step, rows, streams


def snapshot_now(settings: Settings) -> Snapshot:
    """Take a snapshot, whoever writes meanwhile, and tell the broker; raises StoreUnavailable."""
    path = _existing(settings)
    taken = Snapshots(path, settings.state_dir).take()
    if taken is None:
        raise StoreUnavailable(f"no snapshot of {path} was taken")
    with connect(broker_url(settings), settings) as client:
        SnapshotKeeper(path, [stream.value for stream in COPIED], settings).announce(client)
    return taken


def forget(settings: Settings, name: str) -> bool:
    """Let the streams go on without a store that is gone for good; return whether the broker knew it.

    The janitor keeps every entry that some store has no snapshot of, and a store that never comes back (a host
    that is gone, a container under a new name) would keep them for ever.
    """
    with connect(broker_url(settings), settings) as client, translated("forgetting a store"):
        fields = [field for field in client.hkeys(SAVED_KEY) if field.decode().rpartition("|")[0] == name]
        return bool(fields and client.hdel(SAVED_KEY, *fields))


def rebuild(settings: Settings, progress: Callable[[int], None] = lambda _: None) -> dict[str, int]:
    """Empty the store and wait until it is filled again from snapshot and streams; return its rows by table.

    A store writer that runs notices and does the work; without one it is done here. ``progress`` is told the
    rows that are there. Raises Unavailable when the broker is away (then nothing is emptied), or when nothing
    comes for a minute.
    """
    path = store_place.choose(settings).path
    wanted = _newest_ids(settings)
    running = _empty(path)
    stop = threading.Event()
    thread = threading.Thread(target=StoreWriter(settings).run, args=(stop,), daemon=True)
    if not running:
        thread.start()
    try:
        return _wait_filled(path, wanted, progress)
    finally:
        stop.set()
        if not running:
            thread.join()


def _empty(path: Path) -> bool:
    """Take everything out of the store; return whether a store writer runs that will fill it."""
    if not path.exists():
        return False
    running = _in_use(path)
    try:
        with Store(path) as store:
            store.migrate()
            store.counts_in_bulk = True
            with store.writing("emptying the store"):
                counted_by_triggers(
                    store
                )  # off, unless a user has his own: with them a table is emptied row by row
                # The positions tell a running writer; they go in the same transaction as the rows.
                for name in (*_TABLES, "event_counts", "producers", "stream_positions"):
                    store.connection.execute(f"DELETE FROM {name}")  # noqa: S608 - fixed names
    except StoreDamaged:
        pass  # a store writer, running or started now, removes such a file by itself
    return running


def _in_use(path: Path) -> bool:
    """Return whether a store writer copies into the file."""
    try:
        with writer_lock(path):
            return False
    except StoreUnavailable:
        return True


def _wait_filled(path: Path, wanted: dict[str, str], progress: Callable[[int], None]) -> dict[str, int]:
    """Wait until each stream is copied up to the entry that was its newest when the work began."""
    seen, since = -1, time.monotonic()
    while True:
        rows: dict[str, int] = {}
        if path.exists():
            with contextlib.suppress(StoreUnavailable), Store(path, read_only=True) as store:
                rows = _counts(store)
        total = sum(rows.values())
        progress(total)
        there = positions(path)
        if rows and all(id_order(there.get(stream, "0-0")) >= id_order(last) for stream, last in wanted.items()):
            return rows
        if total != seen:
            seen, since = total, time.monotonic()
        elif time.monotonic() - since > _STUCK_S:
            msg = f"{path} has {total} rows, and nothing has come for a minute; see the store writer's log"
            raise StoreUnavailable(msg)
        time.sleep(_LOOK_S)


def _counts(store: Store) -> dict[str, int]:
    return {name: store.rows(f"SELECT count(*) AS n FROM {name}")[0]["n"] for name in _TABLES}  # noqa: S608 - fixed names


def _existing(settings: Settings) -> Path:
    path = store_place.choose(settings).path
    if not path.exists():
        raise StoreUnavailable(f"there is no store at {path}; `dsmil up` makes it, `dsmil store rebuild` fills it")
    return path


def _newest_ids(settings: Settings) -> dict[str, str]:
    """Return the newest entry id of each copied stream that has ever had one; raises BusUnavailable."""
    found = {}
    with connect(broker_url(settings), settings) as client:
        try:
            for stream in COPIED:
                with translated(f"looking at {stream}"):
                    if client.exists(stream.value):
                        info: Any = client.xinfo_stream(stream.value)
                        if info["entries-added"]:
                            found[stream.value] = info["last-generated-id"].decode()
        except DsmilError as exc:
            raise BusUnavailable(broker_trouble(settings, exc)) from exc
    return found


def _shown(snapshot: Snapshot) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(snapshot, enc_hook=str)
    return shown
