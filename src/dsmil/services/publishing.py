"""Making events of records and putting them into ``L3_IN``, a batch at a time, each until the broker has it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from dsmil import log
from dsmil.errors import BusRefused, BusUnavailable, EventInvalid, NotAllowed
from dsmil.events import codec
from dsmil.events.streams import StreamName
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.letters import append_letters, source_letter
from dsmil.services.retry import pause
from dsmil.services.shipping import Shipping
from dsmil.sources._feed import RawRecord, Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dsmil.config import Settings
    from dsmil.sources._feed import Source

#: How long the broker may be away before reading is given up: nothing is lost, the file can be read again.
_PATIENCE_S: Final = 30.0
#: Problems told: the first few tell the kind, the letters all.
MOST_PROBLEMS: Final = 10
_MOST_SAID: Final = 1000


class Task(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record, and what only who read it can know."""

    record: RawRecord
    #: How many records were read before it.
    number: int
    #: Its ordinal among identical records of the file.
    ordinal: int
    #: Whether it was still being written.
    open: bool


class Made(msgspec.Struct):
    """What became of records so far."""

    published: int = 0
    dead: int = 0
    #: Last lines that were still being written.
    partial: int = 0
    #: The first that were no events: number of the record, place and cause.
    problems: list[tuple[int, str]] = []

    def and_then(self, more: Made) -> Made:
        """Return both together."""
        return Made(
            self.published + more.published,
            self.dead + more.dead,
            self.partial + more.partial,
            sorted(self.problems + more.problems)[:MOST_PROBLEMS],
        )


class Publishing:
    """Makes and publishes; raises BusUnavailable or BusRefused when the broker takes nothing for half a minute."""

    def __init__(self, source: Source, settings: Settings) -> None:
        """Take feed and settings; the broker is reached with the first batch."""
        self._source = source
        self._reader = Reader(source)
        self._bus = RedisStreamsClient(settings=settings)
        self._bodies: list[bytes] = []
        self._letters: list[dict[str, bytes]] = []
        self._shipping = Shipping(self._bus, StreamName.L3_IN)
        self._log = log.get("ingest")
        self.made = Made()

    def take(self, tasks: Sequence[Task]) -> None:
        """Make events and hand them to the broker, which takes them while the next are made."""
        self.make(tasks)
        self._insist(self._hand_over)

    def make(self, tasks: Sequence[Task]) -> None:
        """Make events, and publish nothing yet."""
        now = time.time()
        for task in tasks:
            try:
                event = self._reader.make(task.record, task.ordinal, now)
                self._bodies.append(codec.encode_bounded(event))
            except EventInvalid as exc:
                self._refuse(task, exc)

    def flush(self) -> None:
        """Hand over what was made, and wait until the broker has all of it."""
        self._insist(self._hand_over)
        self._insist(self._settle)

    def finish(self) -> Made:
        """Flush, and return what became of all records."""
        self.flush()
        return self.made

    def close(self) -> None:
        """Close the connection; what was not flushed is not waited for."""
        self._bus.disconnect()

    def _refuse(self, task: Task, cause: EventInvalid) -> None:
        if task.open:
            self.made.partial += 1
            return
        self.made.dead += 1
        if len(self.made.problems) < MOST_PROBLEMS:
            self.made.problems.append((task.number, f"{task.record.place}: {cause}"[:_MOST_SAID]))
        self._letters.append(source_letter(task.record, cause, self._source.name, time.time()))

    def _insist(self, action: Callable[[], None]) -> None:
        """Do something at the broker, for as long as it is worth waiting."""
        failures, give_up = 0, time.monotonic() + _PATIENCE_S
        while True:
            try:
                action()
            except NotAllowed:
                raise  # waiting gives no rights
            except (BusUnavailable, BusRefused) as exc:
                failures += 1
                if time.monotonic() > give_up:
                    raise
                self._log.warning("ingest.waiting", cause=str(exc))
                time.sleep(pause(failures))
            else:
                return

    def _hand_over(self) -> None:
        self._settle()
        if self._letters:
            append_letters(self._bus, self._letters)
            self._letters.clear()
        if self._bodies:
            self._shipping.send(self._bodies)
            self._bodies = []

    def _settle(self) -> None:
        self.made.published += self._shipping.settle()
