"""A cheap look at a running fabric, made to be repeated: connections stay open, and nothing is counted anew.

One look is one round trip to the broker and a few index look-ups in the store, however much is in them.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil.errors import DsmilError, StoreUnavailable
from dsmil.events.streams import DEAD_LETTERS
from dsmil.infrastructure import store_place
from dsmil.infrastructure.address import broker_url, public_url
from dsmil.infrastructure.broker_picture import broker_picture
from dsmil.infrastructure.connection import connect, translated
from dsmil.infrastructure.instance import StateDir
from dsmil.infrastructure.retention import max_bytes
from dsmil.infrastructure.rows import decoded
from dsmil.infrastructure.status import broker_trouble, shrink_reading, with_life
from dsmil.infrastructure.store import Store
from dsmil.services.letters import Letter

if TYPE_CHECKING:
    import redis

    from dsmil.config import Settings
    from dsmil.infrastructure.instance import InstanceRecord

#: Which SOC events there are to be shown -> statement that finds them.
PICKS: Final = {"all": "arrived_soc", "high": "arrived_soc_grave", "escalated": "arrived_soc_escalated"}
#: Most events of each pick in one look.
MOST_EVENTS: Final = 100
#: How far back the first look goes, in rows: grave events may be rare, and a full store is large.
_FIRST_LOOK_ROWS: Final = 20_000
#: Longest wait for an answer of the broker, beside the client's own grace.
_POLL_MS: Final = 1


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """What one look saw."""

    #: Unix seconds.
    at: float
    #: Seconds of a clock that nobody sets, for differences.
    clock: float
    instance: InstanceRecord | None
    #: As ``dsmil status`` has it, without ledgers, and with ``letter``; or ``address`` and ``error``.
    broker: dict[str, Any]
    #: ``path``, ``place``, and ``rows``, bytes, ``devices`` and ``shrink``; or ``error``.
    store: dict[str, Any]
    #: Pick -> rows of SOC events that came in since the last look, newest first.
    arrived: dict[str, list[dict[str, Any]]]
    #: Whether the store is another than before, so that earlier events are gone.
    anew: bool


class Looker:
    """Looks at one fabric again and again. Not for two threads at once."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings; broker and store are opened when they are there."""
        self._settings = settings.replace(poll_timeout_ms=_POLL_MS)
        self._url = ""
        self._client: redis.Redis | None = None
        self._letters = -1
        self._letter: dict[str, Any] | None = None
        self._store: Store | None = None
        self._place: store_place.Place | None = None
        self._kept_at = ""
        self._tmpfs_bytes: int | None = None
        self._last_soc = 0
        self._anew = True

    def look(self) -> Glance:
        """Return what is there now; a part that does not answer is there with its ``error``."""
        now = time.time()
        instance = StateDir(self._settings.state_dir).running()
        arrived: dict[str, list[dict[str, Any]]] = {pick: [] for pick in PICKS}
        broker, store = self._broker(), self._hot_store(instance, now, arrived)
        anew, self._anew = self._anew, False
        return Glance(
            at=now,
            clock=time.monotonic(),
            instance=instance,
            broker=broker,
            store=store,
            arrived=arrived,
            anew=anew,
        )

    def close(self) -> None:
        """Give back both connections."""
        self._hang_up()
        self._shut()

    def _broker(self) -> dict[str, Any]:
        url = broker_url(self._settings)
        if url != self._url:  # started anew elsewhere
            self._hang_up()
            self._url = url
        try:
            if self._client is None:
                self._client = connect(url, self._settings)
            picture = broker_picture(self._client)
            picture["letter"] = self._newest_letter(self._client, picture["dead_letters"])
        except DsmilError as exc:
            self._hang_up()
            return {"address": public_url(url), "error": broker_trouble(self._settings, exc)}
        return {"address": public_url(url), **picture}

    def _newest_letter(self, client: redis.Redis, count: int) -> dict[str, Any] | None:
        """Return the newest dead letter; it may be large, so it is fetched only when their number has changed."""
        if count != self._letters:
            with translated("reading the newest dead letter"):
                rows: Any = client.xrevrange(DEAD_LETTERS, count=1)
            self._letter = None
            if rows:
                letter = Letter.parse(rows[0][0].decode(), rows[0][1])
                shown = ("id", "cause", "detail", "service", "stream", "source", "last_seen")
                self._letter = {name: getattr(letter, name) for name in shown}
            self._letters = count
        return self._letter

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        self._letters = -1

    def _hot_store(
        self, instance: InstanceRecord | None, now: float, arrived: dict[str, list[dict[str, Any]]]
    ) -> dict[str, Any]:
        kept_at = instance.hotpath_db if instance is not None else ""
        if self._place is None or kept_at != self._kept_at:
            self._shut()
            self._place, self._kept_at = store_place.choose(self._settings), kept_at
        path = self._place.path
        picture: dict[str, Any] = {"path": str(path), "place": self._place.reason}
        try:
            if self._store is not None and self._store.replaced():
                self._shut()
            if self._store is None:
                if not path.exists():
                    return picture | {"error": f"there is no store at {path} yet"}
                self._store = Store(path, read_only=True)
                self._tmpfs_bytes = store_place.tmpfs_bytes(path.parent)
            return picture | self._inside(self._store, now, arrived)
        except (DsmilError, UnicodeError) as exc:
            self._shut()
            return picture | {"error": str(exc)}

    def _inside(self, store: Store, now: float, arrived: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
        # Rows go from the oldest end only, so first and last id tell their number without counting them.
        soc, raw = store.named("soc_span")[0], store.named("raw_span")[0]
        self._events(store, soc["last"], arrived)
        shrink = [decoded(row) for row in store.named("recent_shrink", (1,))]
        return {
            "rows": {name: s["last"] - s["first"] + bool(s["last"]) for name, s in (("soc", soc), ("raw", raw))},
            "file_bytes": _bytes_on_disk(store),
            "used_bytes": store.used_bytes(),
            "limit_bytes": max_bytes(self._settings, store.path),
            "tmpfs_bytes": self._tmpfs_bytes,
            "devices": with_life([decoded(row) for row in store.named("device_statuses")], now),
            "shrink": shrink_reading(shrink, now),
        }

    def _events(self, store: Store, last: int, arrived: dict[str, list[dict[str, Any]]]) -> None:
        if last < self._last_soc:  # emptied under us
            self._last_soc, self._anew = 0, True
        after = max(self._last_soc, last - _FIRST_LOOK_ROWS)
        if last > after:
            for pick, name in PICKS.items():
                rows = store.named(name, {"after": after, "limit": MOST_EVENTS})
                # What came in since the span was read is left to the next look: it must not be there twice.
                arrived[pick] = [decoded(row) for row in rows if row["id"] <= last]
            self._last_soc = last

    def _shut(self) -> None:
        if self._store is not None:
            with contextlib.suppress(StoreUnavailable):
                self._store.close()
            self._store = None
        self._last_soc, self._anew = 0, True


def _bytes_on_disk(store: Store) -> int:
    total = 0
    for end in ("", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            total += store.path.with_name(store.path.name + end).stat().st_size
    return total
