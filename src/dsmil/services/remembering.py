"""Memory across restarts: what a handler remembers is kept with its place in the streams, and caught up from them.

The streams are the truth. At a start the kept memory is taken up, and every entry that the group was given since
then is handled once more, in the same order: those that were settled without their outputs, those still pending
with them. So it makes no difference when the process died. What a handler has answered and was not yet settled is
answered the same when it comes again, without asking the handler, whose memory contains it already.

When only the line to the broker was lost, what the handler remembers is still right, and only what it was given
since its last answer is read again: a broker that stops for seconds again and again must not cost a catching up
each time.
"""

from __future__ import annotations

import time
from heapq import merge
from typing import TYPE_CHECKING, Any, Final, cast

from dsmil import log
from dsmil.errors import EventInvalid, Unavailable
from dsmil.events.handling import Delivery, Outcome, Remembering, Retry
from dsmil.infrastructure.entries import id_order
from dsmil.infrastructure.groups import broker_epoch
from dsmil.infrastructure.history import START, History, Reach
from dsmil.infrastructure.memory_file import Kept, MemoryFile, Place
from dsmil.services.in_order import InOrder

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    import redis

    from dsmil.config import Settings
    from dsmil.events.handling import Handler
    from dsmil.events.streams import StreamName
    from dsmil.infrastructure.entries import Entry
    from dsmil.infrastructure.groups import GroupReader
    from dsmil.infrastructure.settling import Verdict
    from dsmil.services.recent import RecentIds

#: How often a changed memory is kept, seconds; a large one more seldom, so that it takes a twentieth of the time.
KEEP_EVERY_S: Final = 5.0
_SHARE: Final = 20
#: Wait of a read while entries are held back; the broker's clock has gone on by then.
_TURN_MS: Final = 2


class Memory:
    """Reads and answers for a handler that remembers, between the runner and it."""

    @classmethod
    def of(cls, handler: Handler, settings: Settings, clock: Callable[[], float]) -> Memory | None:
        """Return the memory of a handler, None when it has none."""
        return cls(handler, settings, clock=clock) if isinstance(handler, Remembering) else None

    def __init__(
        self, handler: Handler, settings: Settings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take a handler that is :class:`Remembering` and has handled nothing yet."""
        self._handler = handler
        self._remembering = cast("Remembering", handler)
        self._settings = settings
        self._clock = clock
        self._blank = self._remembering.memory()
        self._file: MemoryFile | None = None
        self._log = log.get(handler.name)
        #: Why memory is not kept or may be wrong; empty when all is well.
        self.problem = ""
        self._forget()

    def _forget(self) -> None:
        self._order = InOrder(self._handler.reads)
        self._places: dict[StreamName, str] = dict.fromkeys(self._handler.reads, START)
        #: What was answered and is not known to be settled, with the id of the event.
        self._answers: dict[tuple[StreamName, str], tuple[Outcome, str]] = {}
        #: Last entry that the handler has answered, by stream; those before it are in its memory, or held.
        self._answered: dict[StreamName, str] = dict.fromkeys(self._handler.reads, START)
        self._epoch = ""
        #: Whether the handler's memory is that of ``_answered``, and whether it has caught up with the streams.
        self._begun = self._ready = self._changed = False
        self._next_keep = 0.0

    def bind(self, client: redis.Redis, reader: GroupReader) -> None:
        """Take the connection of the runner, and the file's lock; MemoryUnavailable when another has it."""
        self._client, self._reader = client, reader
        self._history = History(client, self._handler.name)
        if self._file is None:
            self._file = MemoryFile(self._settings.state_dir, self._handler.name)

    def close(self) -> None:
        """Keep what has changed, and give the file back."""
        if self._file is not None:
            try:
                self.keep(at_once=True)
            except Unavailable as exc:
                self._log.warning("memory.not_kept", cause=str(exc))
            self._file.close()
            self._file = None

    # Reading and answering

    def read_new(self, count: int, block_ms: int) -> list[Entry]:
        """Return entries that no consumer has had, of all streams in the order of their ids."""
        wait = _TURN_MS if self._order.waits else block_ms
        found, now_ms = self._reader.read_new_dated(count, wait, self._order.wanted())
        if self._reader.cut:
            return []  # which does not mean that there was nothing
        entries = self._order.release(found, count, now_ms)
        for entry in entries:
            self._places[entry.stream] = entry.entry_id
        self._changed = self._changed or bool(entries)
        return entries

    def holds(self, entry: Entry) -> bool:
        """Return whether an entry waits here for its turn."""
        return self._order.holds(entry)

    def handle(self, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        """Ask the handler for each event by itself, so that one that fails leaves the others answered."""
        return [self._answer(delivery) for delivery in deliveries]

    def _answer(self, delivery: Delivery) -> Outcome:
        place = delivery.stream, delivery.entry_id
        known = self._answers.get(place)
        if known is not None:
            return known[0]
        outcomes = self._handler.handle([delivery])
        if len(outcomes) == 1 and not isinstance(outcomes[0], Retry):
            self._answers[place] = outcomes[0], delivery.event.event_id
            self._answered[delivery.stream] = delivery.entry_id
            self._changed = True
        return outcomes[0] if len(outcomes) == 1 else cast("Any", outcomes)

    def settled(self, verdicts: Sequence[Verdict]) -> None:
        """Hear that these entries will not come again."""
        for verdict in verdicts:
            self._answers.pop((verdict.entry.stream, verdict.entry.entry_id), None)

    def skip(self, entry: Entry) -> None:
        """Hear that an entry kills the process: it must not be handled again at the next start either."""
        if self._file is not None:
            self._file.skip(entry.place)

    # Keeping

    def keep(self, *, at_once: bool = False) -> None:
        """Keep the memory if it has changed and it is time; between two batches only."""
        now = self._clock()
        if not self._changed or not self._ready or self._answers or (now < self._next_keep and not at_once):
            return  # an answer that is not settled is not in the stream yet, and must be given again
        if self._file is None:
            return
        places = {}
        for stream, last in self._places.items():
            reach = self._history.reach(stream)
            if self._reader.cut and reach.last_id not in {self._order.newest(stream) or last, START}:
                return  # given to us in the last moment: as after a death, it is taken up at the next start
            read = reach.read - self._order.held(stream) if reach.read >= 0 else -1
            places[stream.value] = Place(last, read)
            self._look_for_others(stream, last, reach)
        self._file.save(Kept(epoch=self._epoch, places=places, memory=self._remembering.memory()))
        self._changed = False
        self._next_keep = now + max(KEEP_EVERY_S, _SHARE * (self._clock() - now))

    @property
    def next_keep(self) -> float | None:
        """When what has changed is to be kept, by the clock; None when nothing is waiting for that."""
        return self._next_keep if self._changed and self._ready and not self._answers else None

    def _look_for_others(self, stream: StreamName, last: str, reach: Reach) -> None:
        if self._order.held(stream) or reach.last_id in {last, START}:
            return
        msg = (
            f"another process reads {stream} as {self._handler.name}, and each knows only a part: end one of them"
        )
        if msg != self.problem:
            self._log.error("memory.shared", stream=stream.value, ours=last, given_out=reach.last_id, cause=msg)
        self.problem = msg

    # Recalling

    def recall(self, recent: RecentIds, alone: Callable[[Entry], None], stop: threading.Event) -> None:
        """Take up what was kept and catch up with the group; done again after every trouble with the broker.

        ``recent`` learns which events were handled; ``alone`` handles and settles an entry that this consumer
        holds.
        """
        epoch = broker_epoch(self._client)
        reaches = {stream: self._history.reach(stream) for stream in self._handler.reads}
        self._ready = False
        if self._is_right(epoch):
            self._order = InOrder(self._handler.reads)
            kept = {stream: Place(last, -1) for stream, last in self._answered.items()}
        else:
            self._forget()
            recent.forget()
            self._epoch = epoch
            kept = self._take_up(reaches)
            self._answered = {stream: place.entry_id for stream, place in kept.items()}
            self._begun = True
        self.problem = "catching up with the streams"
        held = {stream: self._history.pending(stream) for stream in self._handler.reads}
        self._let_go(held, recent)
        counts = dict.fromkeys(self._handler.reads, 0)
        deadly = self._file.skipped() if self._file is not None else []
        self._places = {stream: place.entry_id for stream, place in kept.items()}
        # Behind an entry that was not given out yet nothing was handled: it was only read ahead.
        unread = [self._history.following(stream, reach.last_id) for stream, reach in reaches.items()]
        frontier = min(self._order.key(entry) for entry in unread if entry) if any(unread) else None
        pages = [
            self._history.entries(stream, kept[stream].entry_id, reaches[stream].last_id) for stream in reaches
        ]
        for entry in merge(*pages, key=self._order.key):
            if stop.is_set():
                return  # what was kept is still right
            counts[entry.stream] += 1
            holder = held[entry.stream].get(entry.entry_id)
            if holder == self._reader.consumer and frontier is not None and self._order.key(entry) > frontier:
                self._order.hold(entry)
                continue
            if holder == self._reader.consumer:
                alone(entry)
            elif entry.place not in deadly:
                self._once_more(entry, recent, settled=holder is None)
            self._places[entry.stream] = entry.entry_id
        for stream, reach in reaches.items():
            if not self._order.held(stream):
                self._places[stream] = reach.last_id
            self._tell_gap(stream, kept[stream], reach, counts[stream])
        self.problem = ""
        self._ready = True
        self._changed = True
        if any(counts.values()):
            self._log.info("memory.caught_up", entries={stream.value: n for stream, n in counts.items()})

    def _is_right(self, epoch: str) -> bool:
        """Return whether what the handler remembers is of the data that the broker has now.

        A broker that came back without its newest data has lost the entry that was answered last.
        """
        if not self._begun or epoch != self._epoch:
            return False
        answered = [(stream, last) for stream, last in self._answered.items() if last != START]
        return all(self._history.has(stream, last) for stream, last in answered)

    def _let_go(self, held: dict[StreamName, dict[str, str]], recent: RecentIds) -> None:
        """Forget answers of entries that nobody holds: they were settled, and only the word of it was lost."""
        for stream, entry_id in [place for place in self._answers if place[1] not in held[place[0]]]:
            _, event_id = self._answers.pop((stream, entry_id))
            recent.remember([event_id])

    def _take_up(self, reaches: dict[StreamName, Reach]) -> dict[StreamName, Place]:
        """Give the handler what was kept, or a blank memory; return the places it is of."""
        begin = {stream: Place(START, 0) for stream in reaches}
        self._remembering.recall(self._blank)
        kept, why = self._file.load() if self._file is not None else (None, "")
        if kept is None:
            if why:
                self._log.error("memory.refused", cause=why, remedy="it is made again from the streams")
            return begin
        if kept.epoch != self._epoch:
            self._log.warning("memory.of_other_data", kept_for=kept.epoch, broker_has=self._epoch)
            return begin
        places = {stream: kept.places.get(stream.value, Place(START, 0)) for stream in reaches}
        ahead = [s.value for s, place in places.items() if id_order(place.entry_id) > id_order(reaches[s].last_id)]
        if ahead:  # the broker has lost its newest data: what we remember of it is going to come again
            self._log.warning("memory.ahead_of_streams", streams=ahead)
            return begin
        try:
            self._remembering.recall(kept.memory)
        except ValueError as exc:
            self._log.error("memory.refused", cause=str(exc), remedy="it is made again from the streams")
            return begin
        return places

    def _once_more(self, entry: Entry, recent: RecentIds, *, settled: bool) -> None:
        try:
            delivery = entry.delivery()
        except EventInvalid:
            return  # a dead letter by now, or when its turn comes
        if delivery.event.event_id in recent:
            return
        try:
            outcome = self._answer(delivery)
        except Exception as exc:  # noqa: BLE001 - it failed then, too, and became a dead letter
            self._log.warning(
                "memory.entry_failed", source=entry.place, cause=f"{type(exc).__name__}: {exc}"[:500]
            )
            return
        if settled or isinstance(outcome, Retry):
            # Else its holder is gone, and we shall have to answer for it.
            self._answers.pop((entry.stream, entry.entry_id), None)
            recent.remember([delivery.event.event_id])

    def _tell_gap(self, stream: StreamName, place: Place, reach: Reach, found: int) -> None:
        if min(place.read, reach.read) < 0:
            return
        missing = reach.read - place.read - found
        if missing > 0:
            self._log.warning(
                "memory.gap",
                stream=stream.value,
                entries=missing,
                cause="they were trimmed before they could be remembered"
                if place.read
                else "older than the stream",
            )
