"""A live file as a part of a process: followed through rotations, each line published once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

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
    from collections.abc import Callable
    from pathlib import Path

    from dsmil.config import Settings
    from dsmil.sources._feed import RawRecord, Source

_BATCH: Final = 500
_IDLE_S: Final = 0.2


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
        follower = Follower(self._path, positions.load(Position))
        try:
            with RedisStreamsClient(settings=self._settings) as bus:
                if self._insist(lambda: _greet(bus), bus, stop):
                    self._follow(follower, positions, bus, stop)
        finally:
            follower.close()
            positions.close()

    def _follow(
        self, follower: Follower, positions: Positions, bus: RedisStreamsClient, stop: threading.Event
    ) -> None:
        reader, generation = Reader(self._source, positions.seen()), 0
        while not stop.is_set():
            started = time.monotonic()
            records = follower.read(_BATCH if self._rate is None else max(1, min(_BATCH, int(self._rate))))
            self._look_at(follower)
            if not records:
                stop.wait(_IDLE_S)
                continue
            fresh = follower.generation != generation
            if fresh:
                reader, generation = Reader(self._source, {}), follower.generation
            if not self._hand_over(self._events(reader, records), bus, stop):
                break  # not saved: read again at the next start
            positions.save(follower.position, reader.take_changes(), fresh=fresh)
            if self._rate is not None:
                stop.wait(max(len(records) / self._rate - (time.monotonic() - started), 0))

    def _look_at(self, follower: Follower) -> None:
        for problem in follower.problems:
            self._log.error("follow.content_lost", cause=problem)
            self._count("lost_content", 1)
        follower.problems.clear()
        waiting = follower.obstacle or (f"{self._path} is not there" if follower.waiting else "")
        if waiting and waiting != self._problems["file"]:
            self._log.warning("follow.waiting_for_file", path=str(self._path), cause=waiting)
        self._problems["file"] = waiting

    def _events(self, reader: Reader, records: list[RawRecord]) -> tuple[list[bytes], list[dict[str, bytes]]]:
        """Return the encoded events of the records, and the letters of those that are none."""
        bodies, letters = [], []
        for record in records:
            now = time.time()
            try:
                bodies.append(codec.encode_bounded(reader.event(record, now)))
            except EventInvalid as exc:
                self._log.warning("follow.dead_letter", source=record.place, cause=exc.cause, detail=exc.detail)
                letters.append(source_letter(record, exc, self._source.name, now))
        return bodies, letters

    def _hand_over(
        self, batch: tuple[list[bytes], list[dict[str, bytes]]], bus: RedisStreamsClient, stop: threading.Event
    ) -> bool:
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
