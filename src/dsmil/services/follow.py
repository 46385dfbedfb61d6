"""A live file as a part of a process: followed through rotations, each line published once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from dsmil import log
from dsmil.errors import EventInvalid, NotAllowed, Unavailable
from dsmil.events import codec
from dsmil.events.streams import StreamName
from dsmil.infrastructure.connection import translated
from dsmil.infrastructure.positions import Positions
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.letters import append_letters, source_letter
from dsmil.services.part import STARTING, PlainPart, Vitals
from dsmil.services.retry import pause
from dsmil.sources._feed import REMEMBERED, Reader
from dsmil.sources._follow import Follower, Position

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from dsmil.config import Settings
    from dsmil.sources._feed import RawRecord, Source

    #: Encoded events, and letters of records that are none.
    _Batch = tuple[list[bytes], list[dict[str, bytes]]]

_BATCH: Final = 500
_IDLE_S: Final = 0.2
#: How long nothing must have come before a record that waits for more lines is taken as whole.
_WHOLE_AFTER_S: Final = 2.0


class FollowedFile(PlainPart):
    """Follows one file by one feed."""

    def __init__(self, source: Source, path: Path, settings: Settings, *, rate: float | None = None) -> None:
        """Name feed and file; ``rate`` is the most records a second, unlimited by default."""
        self._source = source
        self._path = path.absolute()
        self._settings = settings
        self._rate = rate
        self._log = log.get(self.name)
        self._outcomes: dict[tuple[str, str], int] = {}
        self._problems = {"broker": STARTING, "file": ""}
        #: Whether the broker has taken anything yet.
        self._allowed = False

    @property
    def name(self) -> str:
        """Feed and file."""
        return f"ingest {self._source.name} {self._path}"

    @property
    def device_id(self) -> int:
        """Device the feed publishes as."""
        return self._source.device_id

    def vitals(self) -> Vitals:
        """Return how reading goes."""
        return Vitals(
            name=self.name,
            device_id=self.device_id,
            outcomes=dict(self._outcomes),
            layers={},
            checks=dict(self._problems),
        )

    def run(self, stop: threading.Event) -> None:
        """Follow until ``stop`` is set. Nothing is read while the broker does not take what was read.

        Raises NotAllowed when the broker refuses user or right before it has taken anything: as with every
        service, whoever set them up must see it at the start.
        """
        positions = Positions(self._settings.state_dir, self.name, REMEMBERED)
        position = positions.load(Position)
        follower = Follower(self._path, position, trims=self._source.trims)
        reader = Reader(self._source, positions.seen(), position.held if position else ())
        try:
            with RedisStreamsClient(settings=self._settings) as bus:
                if self._insist(lambda: _greet(bus), bus, stop):
                    self._follow(reader, follower, positions, bus, stop)
        finally:
            follower.close()
            positions.close()

    def _follow(
        self,
        reader: Reader,
        follower: Follower,
        positions: Positions,
        bus: RedisStreamsClient,
        stop: threading.Event,
    ) -> None:
        generation, last = 0, time.monotonic()
        while not stop.is_set():
            started = time.monotonic()
            lines = follower.read(_BATCH if self._rate is None else max(1, min(_BATCH, int(self._rate))))
            self._look_at(follower)
            fresh = bool(lines) and follower.generation != generation
            batch: _Batch = ([], [])
            if fresh or (not lines and started - last > _WHOLE_AFTER_S):
                self._add(batch, reader, reader.rest())
            if not lines and not any(batch):
                stop.wait(_IDLE_S)
                continue
            if fresh:
                reader, generation = Reader(self._source, {}), follower.generation
            for line in lines:
                self._add(batch, reader, reader.records(line))
            if not self._hand_over(batch, bus, stop):
                break  # not saved: read again at the next start
            position = msgspec.structs.replace(follower.position, held=reader.held)
            positions.save(position, reader.take_changes(), fresh=fresh)
            last = time.monotonic()
            if self._rate is not None:
                stop.wait(max(len(lines) / self._rate - (time.monotonic() - started), 0))

    def _look_at(self, follower: Follower) -> None:
        for problem in follower.problems:
            self._log.error("follow.content_lost", cause=problem)
            self._count("lost_content", 1)
        follower.problems.clear()
        waiting = follower.obstacle or (f"{self._path} is not there" if follower.waiting else "")
        if waiting and waiting != self._problems["file"]:
            self._log.warning("follow.waiting_for_file", path=str(self._path), cause=waiting)
        self._problems["file"] = waiting

    def _add(self, batch: _Batch, reader: Reader, records: Iterable[RawRecord]) -> None:
        """Add the encoded events of the records to a batch, and the letters of those that are none."""
        bodies, letters = batch
        for record in records:
            now = time.time()
            try:
                bodies.append(codec.encode_bounded(reader.event(record, now)))
            except EventInvalid as exc:
                self._log.warning("follow.dead_letter", source=record.place, cause=exc.cause, detail=exc.detail)
                letters.append(source_letter(record, exc, self._source.name, now))

    def _hand_over(self, batch: _Batch, bus: RedisStreamsClient, stop: threading.Event) -> bool:
        """Give the broker a batch, for as long as it takes; False when the process is to stop before it has it."""
        bodies, letters = batch

        def hand_over() -> None:
            if letters:
                append_letters(bus, letters)
                self._count("dead", len(letters))
                letters.clear()
            if bodies:
                bus.append(StreamName.L3_IN, bodies)
                self._count("published", len(bodies))
            self._allowed = True

        return self._insist(hand_over, bus, stop)

    def _insist(self, action: Callable[[], None], bus: RedisStreamsClient, stop: threading.Event) -> bool:
        """Do something at the broker, for as long as it takes; False when the process is to stop before."""
        failures = 0
        while True:
            try:
                action()
            except Unavailable as exc:
                if isinstance(exc, NotAllowed) and not self._allowed:
                    raise
                failures += 1
                self._problems["broker"] = str(exc)
                self._log.warning("follow.waiting_for_broker", cause=str(exc))
                bus.disconnect()
                if stop.wait(pause(failures)):
                    return False
            else:
                self._problems["broker"] = ""
                return True

    def _count(self, outcome: str, number: int) -> None:
        key = (StreamName.L3_IN.value, outcome)
        self._outcomes[key] = self._outcomes.get(key, 0) + number


def _greet(bus: RedisStreamsClient) -> None:
    with translated("connecting"):
        bus.client.ping()
