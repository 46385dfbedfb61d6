"""Records that a sensor pushes into a Redis list, moved to ``L3_IN`` without loss.

The keys of its own lie beside the list, at the list's broker:

``dsmil:list:{LIST}:{CONSUMER}``        what was taken out of the list and is not known to be in ``L3_IN``
``dsmil:list:{LIST}:{CONSUMER}:batch``  the name of that batch

Taking is one transaction there: it names the batch and moves its records. They are published; then the name of the
batch and the counts of its identical records are kept in one transaction here; then the batch is removed there.
Whoever is killed in between finds at the next start either a batch of another name, which is published (again,
with the same ids), or one of the kept name, which is only removed.
"""

from __future__ import annotations

import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil import log
from dsmil.config import Secret
from dsmil.errors import EventInvalid
from dsmil.events import codec
from dsmil.infrastructure.address import broker_url, public_url
from dsmil.infrastructure.connection import connect, translated
from dsmil.infrastructure.positions import Positions
from dsmil.services import metric_names
from dsmil.services.letters import source_letter
from dsmil.services.listening.courier import Courier
from dsmil.services.listening.part import ListenerPart
from dsmil.sources._feed import REMEMBERED, RawRecord, Reader

if TYPE_CHECKING:
    import threading

    import redis

    from dsmil.config import Settings
    from dsmil.sources._feed import Source

#: Most records taken at once.
_BATCH: Final = 500
#: Pause when the list is empty, seconds.
_IDLE_S: Final = 0.2


class Moved(msgspec.Struct):
    """What is kept: the name of the newest batch that is in ``L3_IN``."""

    batch: str = ""


class RedisList(ListenerPart):
    """Empties one list, oldest record first."""

    def __init__(
        self, source: Source, settings: Settings, *, key: str, consumer: str, oldest: str = "right"
    ) -> None:
        """``oldest`` is the end that holds the oldest record: ``right`` when the sensor uses LPUSH.

        The list lies at the broker that ``settings.listen_from`` names, else at the fabric's own.
        """
        super().__init__(settings)
        self._source, self._key = source, key
        self._url = str(settings.listen_from) or broker_url(settings)
        # User and password of our broker are not for another one: its address says its own.
        elsewhere = settings.replace(redis_username="", redis_password=Secret(""))
        self._access = elsewhere if settings.listen_from else settings
        self._from, self._to = oldest.upper(), "LEFT" if oldest == "right" else "RIGHT"
        self._work = f"dsmil:list:{key}:{consumer}"
        self._token = f"{self._work}:batch"
        self._endpoint = f"{public_url(self._url)}#{key}"
        self._courier = Courier(self.name, settings, self.tallies)
        # The list's broker is asked like ours: no hidden retries, errors are ours.
        self._there = Courier(self.name, settings, self.tallies)
        self._client: redis.Redis | None = None
        self._log = log.get(self.name)

    @property
    def name(self) -> str:
        """Feed and list."""
        return f"listen redis-list {self._source.name} {self._key}"

    @property
    def device_id(self) -> int:
        """Device the feed publishes as."""
        return self._source.device_id

    @property
    def endpoints(self) -> list[str]:
        """The list: its broker and its key."""
        return [self._endpoint]

    def checks(self) -> dict[str, str]:
        """Return what is wrong: with our broker, and at the list."""
        return {"broker": self._courier.problem, "list": self._there.problem}

    def waiting_bytes(self) -> int:
        """Return nothing: what was taken lies at the list's broker until ours has it."""
        return 0

    def run(self, stop: threading.Event) -> None:
        """Move records until ``stop`` is set; none is taken while the broker does not take what was taken."""
        positions = Positions(self._settings.state_dir, f"{self.name} {self._endpoint}", REMEMBERED)
        try:
            if self._courier.greet(stop):
                self._move(positions, stop)
        finally:
            self._courier.bus.disconnect()
            self._hang_up()
            positions.close()
            self.fall_silent()

    def _move(self, positions: Positions, stop: threading.Event) -> None:
        reader = Reader(self._source, positions.seen())
        moved = positions.load(Moved) or Moved()
        while not stop.is_set():
            batch: list[Any] = []
            if not self._there.insist(partial(self._take, batch, moved), stop):
                return
            if not batch:
                stop.wait(_IDLE_S)
                continue
            name, records = batch
            if not self._courier.hand_over(*self._events(reader, records), stop):
                return  # still in the working list: published at the next start
            moved = Moved(batch=name)
            positions.save(moved, reader.take_changes(), fresh=False)
            if not self._there.insist(self._remove, stop):
                return

    def _at_the_list(self) -> Any:  # noqa: ANN401 - the driver's own types say bytes or str everywhere
        if self._client is None:
            self._client = connect(self._url, self._access)
        return self._client

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _take(self, batch: list[Any], moved: Moved) -> None:
        """Put name and records of the batch in hand into ``batch``, or of a new one; raises Unavailable."""
        try:
            with translated(f"reading the list {self._key}"):
                client = self._at_the_list()
                name, records = self._in_hand(client)
                if records and name == moved.batch:  # published before; only its removal is missing
                    client.delete(self._work)
                    records = []
                if not records:
                    name, records = self._new(client)
        except Exception:
            self._hang_up()
            raise
        if records:
            batch[:] = [name, records]

    def _in_hand(self, client: Any) -> tuple[str, list[bytes]]:  # noqa: ANN401 - as above
        pipeline = client.pipeline(transaction=True)
        pipeline.get(self._token)
        pipeline.lrange(self._work, 0, -1)
        token, records = pipeline.execute()
        return (token or b"").decode(errors="replace"), self._in_order(records)

    def _new(self, client: Any) -> tuple[str, list[bytes]]:  # noqa: ANN401 - as above
        waiting = min(int(client.llen(self._key)), _BATCH)
        if not waiting:
            return "", []
        name = uuid.uuid4().hex
        pipeline = client.pipeline(transaction=True)
        pipeline.set(self._token, name)
        for _ in range(waiting):
            pipeline.lmove(self._key, self._work, self._from, self._to)
        records = [record for record in pipeline.execute()[1:] if record is not None]
        self.tallies.add(metric_names.LISTEN_RECORDS, self._endpoint, number=len(records))
        self.tallies.add(metric_names.LISTEN_BYTES, self._endpoint, number=sum(map(len, records)))
        return name, records

    def _in_order(self, records: list[bytes]) -> list[bytes]:
        """Return what lies in the working list, oldest first: the newest was pushed at the end it is read from."""
        return records[::-1] if self._to == "LEFT" else records

    def _remove(self) -> None:
        try:
            with translated(f"removing what was read from {self._key}"):
                self._at_the_list().delete(self._work)
        except Exception:
            self._hang_up()
            raise

    def _events(self, reader: Reader, records: list[bytes]) -> tuple[list[bytes], list[dict[str, bytes]]]:
        bodies: list[bytes] = []
        letters: list[dict[str, bytes]] = []
        for raw in records:
            record, now = RawRecord(raw, self._endpoint), time.time()
            try:
                bodies.append(codec.encode_bounded(reader.event(record, now)))
            except EventInvalid as exc:
                self._log.warning("listen.dead_letter", source=record.place, cause=exc.cause, detail=exc.detail)
                letters.append(source_letter(record, exc, self._source.name, now))
        return bodies, letters
