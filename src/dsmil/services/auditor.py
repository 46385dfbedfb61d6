"""The auditor: raises the fabric's own alarms as findings, which go the way of all findings.

Device 21 speaks of books that do not balance, of readers that stand still and of memory that runs short, device 22
of a producer that used to speak and has fallen silent.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from dsmil import log
from dsmil.errors import NotAllowed, StoreUnavailable, Unavailable
from dsmil.events import codec, ids
from dsmil.events.model import EventCategory, Severity, create_event
from dsmil.events.streams import EVENT_FIELD, StreamName
from dsmil.infrastructure import store_place
from dsmil.infrastructure.access import alarming
from dsmil.infrastructure.address import broker_url
from dsmil.infrastructure.books import Book, read_books
from dsmil.infrastructure.connection import connect, translated
from dsmil.infrastructure.entries import id_order
from dsmil.infrastructure.pressure import Level, heard
from dsmil.infrastructure.store import Store
from dsmil.services.metric_names import IMBALANCE, LEDGER, PENDING, SILENT
from dsmil.services.part import STARTING, PlainPart, Vitals
from dsmil.services.preparation import copied_streams, service_groups
from dsmil.services.retry import pause

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    import redis

    from dsmil.config import Settings
    from dsmil.infrastructure.access import Grant

MAINT: Final = 21
EMERGENCY: Final = 22
_LAYER: Final = 3
_ROUND_S: Final = 5.0
#: Books may be out of balance for so long, while somebody repairs or flushes.
PATIENCE_S: Final = 60.0
#: A reader with work that settles nothing in so many looks in a row stands still: 45 s. Looks and not seconds, for
#: a clock that is set must raise no alarm.
STILL_ROUNDS: Final = 9
#: Who was heard in so many different minutes is a living source, and not a file that was read once.
LIVING_MINUTES: Final = 10
#: The least silence that counts, seconds; a source that often pauses gets three times its longest pause.
SILENCE_S: Final = 300.0
#: A store that is not further behind than this, seconds by the ids of entries, is up to date.
LATE_S: Final = 30.0
#: After the longest outage a source is missed within a day.
MOST_SILENCE_S: Final = 86_400.0
#: Bounds of the statement that finds who is silent.
SILENCE: Final = {"least": SILENCE_S, "most": MOST_SILENCE_S, "minutes": LIVING_MINUTES}
#: One subject raises the same alarm once in this time, however often it comes and goes.
_ONCE_IN_S: Final = 3600.0


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong."""

    device_id: int
    #: ``books_do_not_balance``, ``entries_lost``, ``reader_stalled``, ``memory_short``, ``new_events_refused`` or
    #: ``producer_silent``.
    kind: str
    #: What it is about: stream and group, memory, or source.
    subject: str
    severity: Severity
    #: What is wrong, for people.
    text: str
    remedy: str
    figures: dict[str, Any]


class Auditor(PlainPart):
    """Checks books, memory and producers every few seconds, and raises a finding for what stays wrong."""

    name: ClassVar[str] = "auditor"
    gives_way: ClassVar[bool] = True
    device_id: ClassVar[int] = MAINT
    reads: ClassVar[tuple[StreamName, ...]] = ()
    writes: ClassVar[tuple[StreamName, ...]] = (StreamName.L3_OUT,)
    #: Commands without keys that it uses.
    keyless: ClassVar[tuple[str, ...]] = ("multi", "exec")

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        """Take the settings; broker and store are asked in :meth:`run`. ``clock`` gives Unix seconds."""
        self._settings = settings
        self._clock = clock
        self._place = store_place.choose(settings)
        self._places = [(stream.value, group) for stream, group in service_groups()]
        #: (stream, group) -> since when its books do not balance, by our clock.
        self._unbalanced: dict[tuple[str, str], float] = {}
        #: (stream, group) -> what it had settled at the last look, and in how many looks that has not moved.
        self._still: dict[tuple[str, str], tuple[int, int]] = {}
        #: (stream, group) -> entries that were lost before we looked first.
        self._lost: dict[tuple[str, str], int] = {}
        #: Producers are not judged before this time, by our clock: after a start they must have had time to speak.
        self._judge_from = 0.0
        #: (kind, subject) of what is wrong now and was told.
        self._told: set[tuple[str, str]] = set()
        self._read: list[Book] = []
        self._silent = 0
        self._outcomes: dict[tuple[str, str], int] = {}
        self._problems = {"broker": STARTING}
        self._log = log.get(self.name)

    @staticmethod
    def grants() -> tuple[Grant, ...]:
        """Return what it needs at the broker."""
        return alarming()

    def vitals(self) -> Vitals:
        """Return how it is doing."""
        return Vitals(
            name=self.name,
            device_id=self.device_id,
            outcomes=dict(self._outcomes),
            layers={},
            figures=self._figures(),
            checks=dict(self._problems),
        )

    def _figures(self) -> dict[str, dict[tuple[str, ...], float]]:
        books = [(book, (book.stream, book.group)) for book in self._read]
        return {
            LEDGER.name: {(*place, what): float(n) for book, place in books for what, n in book.ledger.items()},
            PENDING.name: {place: float(book.pending) for book, place in books},
            IMBALANCE.name: {place: float(b.imbalance) for b, place in books if b.imbalance is not None},
            SILENT.name: {(): float(self._silent)},
        }

    def run(self, stop: threading.Event) -> None:
        """Check until ``stop`` is set; trouble with broker or store is waited out."""
        client = connect(broker_url(self._settings), self._settings)
        failures = 0
        self._judge_from = self._clock() + SILENCE_S
        while not stop.is_set():
            try:
                self.check(client)
                self._problems["broker"], failures = "", 0
                stop.wait(_ROUND_S)
            except Unavailable as exc:
                if isinstance(exc, NotAllowed) and self._problems["broker"] == STARTING:
                    raise  # as the runner does: waiting gives no rights
                failures += 1
                self._problems["broker"] = str(exc)
                self._log.warning("auditor.trouble", cause=str(exc))
                client.connection_pool.disconnect()
                stop.wait(pause(failures))
        client.close()

    def check(self, client: redis.Redis) -> list[Alarm]:
        """Look once; raise a finding for each alarm that was not told yet, and return these."""
        now = self._clock()
        alarms = [*self._books(client, now), *_memory(client), *self._silence(client, now)]
        self._silent = sum(alarm.device_id == EMERGENCY for alarm in alarms)
        current = {(alarm.kind, alarm.subject) for alarm in alarms}
        for kind, subject in self._told - current:
            self._log.info("auditor.over", alarm=kind, subject=subject)
        self._told &= current
        fresh = [alarm for alarm in alarms if (alarm.kind, alarm.subject) not in self._told]
        for alarm in fresh:
            self._raise(client, alarm, now)
            self._told.add((alarm.kind, alarm.subject))
        return fresh

    def _books(self, client: redis.Redis, now: float) -> Iterator[Alarm]:
        self._read = read_books(client, self._places)
        yield from self._lost_entries()
        yield from self._stalled()
        wrong = {(b.stream, b.group): b for b in self._read if b.imbalance}
        self._unbalanced = {place: self._unbalanced.get(place, now) for place in wrong}
        for place, book in wrong.items():
            if now - self._unbalanced[place] >= PATIENCE_S:
                yield Alarm(
                    device_id=MAINT,
                    kind="books_do_not_balance",
                    subject=f"{book.group} on {book.stream}",
                    severity=Severity.HIGH,
                    text=f"{book.group} on {book.stream}: {book.imbalance:+d} entries are not accounted for",
                    remedy="look for entries that another program has acknowledged, deleted or trimmed",
                    figures={"added": book.added, "pending": book.pending, "unread": book.unread} | book.ledger,
                )

    def _lost_entries(self) -> Iterator[Alarm]:
        """Yield an alarm for entries that were deleted or trimmed by a foreign hand while they were in work."""
        for book in self._read:
            place, lost = (book.stream, book.group), book.ledger.get("lost", 0)
            new = lost - self._lost.setdefault(place, lost)
            if new > 0:
                yield Alarm(
                    device_id=MAINT,
                    kind="entries_lost",
                    subject=f"{book.group} on {book.stream}",
                    severity=Severity.CRITICAL,
                    text=f"{book.group} on {book.stream}: {new} entries were deleted while in work",
                    remedy="find the program that deletes or trims: nothing but the janitor may",
                    figures={"lost": lost},
                )

    def _stalled(self) -> Iterator[Alarm]:
        """Yield an alarm for each reader that has work and does none of it: it is off, or hangs."""
        for book in self._read:
            place, waiting = (book.stream, book.group), book.pending + (book.unread or 0)
            settled, rounds = self._still.get(place, (-1, 0))
            rounds = rounds + 1 if waiting and settled == book.settled else 0
            self._still[place] = (book.settled, rounds)
            if rounds >= STILL_ROUNDS:
                yield Alarm(
                    device_id=MAINT,
                    kind="reader_stalled",
                    subject=f"{book.group} on {book.stream}",
                    severity=Severity.HIGH,
                    text=f"{book.group} has settled nothing of {book.stream} for {rounds * _ROUND_S:.0f} s,"
                    f" {waiting} entries wait",
                    remedy=f"see that it runs (`dsmil status`), or start it: `dsmil run {book.group}`",
                    figures={"pending": book.pending, "unread": book.unread, "settled": book.settled},
                )

    def _silence(self, client: redis.Redis, now: float) -> Iterator[Alarm]:
        if now < self._judge_from or not self._place.path.exists():
            return
        try:
            with Store(self._place.path, read_only=True) as store:
                if not _caught_up(client, store):
                    return  # the store is late, not the producers
                silent = store.named("silent_producers", {"now": now, **SILENCE})
        except StoreUnavailable:
            return  # its own part says so
        for row in silent:
            subject = f"{row['source'] or 'nameless'} (device {row['device_id']})"
            yield Alarm(
                device_id=EMERGENCY,
                kind="producer_silent",
                subject=subject,
                severity=Severity.MEDIUM,
                text=f"{subject} was last heard {(now - row['last_seen']) / 60:.0f} min ago",
                remedy="see that it runs and that its log is followed",
                figures=row,
            )

    def _raise(self, client: redis.Redis, alarm: Alarm, now: float) -> None:
        self._log.error("auditor.alarm", alarm=alarm.kind, subject=alarm.subject, text=alarm.text)
        hour = now // _ONCE_IN_S * _ONCE_IN_S
        event = create_event(
            alarm.device_id,
            _LAYER,
            EventCategory.SYSTEM,
            alarm.severity,
            {"alert": alarm.text, "alarm": alarm.kind, "remedy": alarm.remedy, "figures": alarm.figures},
            # The same alarm of the same hour has the same id: a restart, or coming and going, tells it once.
            event_id=ids.derived_id(hour, "alarm", alarm.kind, alarm.subject),
            ts=now,
            source=self.name,
        )
        with translated("raising an alarm"):
            # Not by way of the producers' door: it must come through when that is shut.
            client.xadd(StreamName.L3_OUT.value, {EVENT_FIELD: codec.encode_bounded(event)})
        key = (StreamName.L3_OUT.value, "published")
        self._outcomes[key] = self._outcomes.get(key, 0) + 1


def _memory(client: redis.Redis) -> Iterator[Alarm]:
    pressure = heard(client)
    if pressure.level >= Level.WARN:
        refused = pressure.level >= Level.REFUSE
        shut = "; new events are refused, producers keep them" if refused else ""
        yield Alarm(
            device_id=MAINT,
            kind="new_events_refused" if refused else "memory_short",
            subject="memory",
            severity=Severity.HIGH if refused else Severity.MEDIUM,
            text=f"{pressure.reason}{shut}",
            remedy="`dsmil status` says who holds entries back; give the broker or the store more memory",
            figures=dict(pressure.shares),
        )


def _caught_up(client: redis.Redis, store: Store) -> bool:
    """Return whether the store has what was added to the streams it copies, but for the last few seconds."""
    places = {row["stream"]: row["last_id"] for row in store.named("positions")}
    for stream in sorted(copied_streams()):
        with translated(f"looking at {stream}"):
            if not client.exists(stream.value):
                continue
            info: Any = client.xinfo_stream(stream.value)
        newest = id_order(info["last-generated-id"].decode())
        # On a busy stream it is always some entries behind.
        if newest[0] - id_order(places.get(stream.value, "0-0"))[0] > LATE_S * 1000:
            return False
    return bool(places)


SERVICE = Auditor
