"""The runner: everything a service needs around its ``handle``, written once.

Reading goes in this order: what this consumer already holds, what dead consumers left, what is new. An
entry that was in hand when the process died is handled alone from then on, and only handling alone counts
against it, so that one poison entry is found without blaming its neighbours.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from dsmil import log
from dsmil.errors import DsmilError, EventInvalid, NotAllowed, Unavailable
from dsmil.events import codec
from dsmil.events.handling import Dead, Delivery, Drop, Handler, Outcome, Publish, PublishWire, Retry, Telling
from dsmil.events.streams import StreamName
from dsmil.infrastructure.address import broker_url
from dsmil.infrastructure.connection import connect
from dsmil.infrastructure.consumer import ConsumerName
from dsmil.infrastructure.entries import Entry
from dsmil.infrastructure.groups import GroupReader
from dsmil.infrastructure.settling import Verdict
from dsmil.services.letters import dead_letter
from dsmil.services.pace import Pace
from dsmil.services.part import STARTING, PlainPart, Vitals
from dsmil.services.remembering import Memory
from dsmil.services.retry import Waiting, pause
from dsmil.services.settler import Settler, Tally

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from dsmil.config import Settings
    from dsmil.services.deliveries import Deliveries

#: Entries of a stream taken at once when that many are waiting; BATCH_SIZE may ask for more. What the broker can
#: write at once is there when the batch before is handled; the rest of a longer answer waits for a settlement.
NATURAL_BATCH: Final = 80
#: The same for a handler with a memory, which is kept between two batches: nothing is read ahead for it.
_MEMORY_BATCH: Final = 200
#: How often an entry is handled alone before it becomes a dead letter.
MAX_ATTEMPTS: Final = 5
#: An entry held this long without being settled is taken from its holder.
CLAIM_IDLE_MS: Final = 60_000
_CLAIM_EVERY_S: Final = 10.0
#: Longest pause between tries of a service that cannot answer now; shorter than CLAIM_IDLE_MS.
_RETRY_LONGEST_S: Final = 30.0
#: Entries that may wait for a retry before no new ones are read.
_MAX_WAITING: Final = 10_000
#: Rests between two batches at a small load and above it. What a handler with a memory finds takes several events
#: anyway; the others, the router among them, are waited for.
_RESTS_S: Final = (0.02, 0.0)
_LONG_RESTS_S: Final = (0.08, 0.002)


class Runner(PlainPart):
    """Runs one handler as one consumer of its group."""

    def __init__(
        self,
        handler: Handler,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        deliveries: Deliveries | None = None,
    ) -> None:
        """Bind handler and settings; the broker is reached in :meth:`run`.

        ``deliveries`` is shared by runners of one process that read the same streams.
        """
        self._handler = handler
        self._delivery = Entry.delivery if deliveries is None else deliveries.of
        self._settings = settings
        self._clock = clock
        #: Stream that may be written -> its name, and the most bytes of one event in it.
        self._writes = {stream: (stream.value, _most_bytes(stream)) for stream in handler.writes}
        self._memory = Memory.of(handler, settings, clock)
        self._waiting = Waiting()
        self._pace = Pace(*(_RESTS_S if self._memory is None else _LONG_RESTS_S))
        self._next_claim = 0.0
        self._problem = STARTING
        self._log = log.get(handler.name)
        self._tally = Tally()
        self._end_wait: Callable[[], None] = lambda: None
        self._reader: GroupReader
        self._settler: Settler
        self._stop: threading.Event

    @property
    def name(self) -> str:
        """The handler's name, which is also its consumer group."""
        return self._handler.name

    @property
    def device_id(self) -> int:
        """Device the handler speaks as."""
        return self._handler.device_id

    @property
    def outcomes(self) -> Counter[tuple[str, str]]:
        """(stream, outcome) -> entries since start."""
        return self._tally.outcomes

    def vitals(self) -> Vitals:
        """Return how the service is doing."""
        telling = self._handler if isinstance(self._handler, Telling) else None
        return Vitals(
            name=self.name,
            device_id=self.device_id,
            outcomes=dict(self._tally.outcomes),
            layers=dict(self._tally.layers),
            notes=telling.notes() if telling else {},
            checks={"broker": self._problem or self._tally.refused}
            | ({"memory": self._memory.problem} if self._memory else {})
            | (telling.checks() if telling else {}),
        )

    def wake(self) -> None:
        """Read no longer than it takes, once ``stop`` is set."""
        self._end_wait()

    def run(self, stop: threading.Event) -> None:
        """Serve until ``stop`` is set; trouble with the broker is waited out, never fatal."""
        self._stop = stop
        url = broker_url(self._settings)
        consumer = ConsumerName(url, self.name)
        client = connect(url, self._settings)
        self._reader = GroupReader(
            client, self._handler.reads, self.name, consumer.name, writes=self._handler.writes
        )
        self._end_wait = self._reader.wake
        self._settler = Settler(self._reader, stop, self._clock, self._log, self._tally, self._memory)
        failures, suspect = 0, True
        try:
            while not stop.is_set():
                try:
                    if self._memory:
                        self._memory.bind(client, self._reader)
                    self._reader.prepare()
                    self._recover(alone=suspect)
                    suspect = False
                    self._problem, failures = "", 0
                    self._serve()
                except Unavailable as exc:
                    if suspect and isinstance(exc, NotAllowed):
                        raise  # not a matter of waiting: whoever set up user or rights must see it at the start
                    failures += 1
                    wait = pause(failures)
                    self._problem = str(exc)
                    self._log.warning("runner.trouble", cause=str(exc), retry_in_s=round(wait, 2))
                    self._settler.forget()
                    client.connection_pool.disconnect()
                    stop.wait(wait)
        finally:
            self._reader.forget()
            if self._memory:
                self._memory.close()
            client.close()
            consumer.release()

    def _serve(self) -> None:
        count = max(self._settings.batch_size, _MEMORY_BATCH if self._memory else NATURAL_BATCH)
        ahead: list[Entry] = []
        read_new = self._memory.read_new if self._memory else self._reader.read_new
        while not self._stop.is_set():
            now = self._clock()
            if now >= self._next_claim:
                self._claim()
                self._next_claim = now + _CLAIM_EVERY_S
            for entry, tries, failed in self._waiting.pop_due(now):
                self._alone(entry, tries=tries, counted=failed)
            if self._memory:
                self._memory.keep()
            block_ms = self._block_ms(now)
            if not ahead and len(self._waiting) >= _MAX_WAITING:
                self._stop.wait(block_ms / 1000)
                continue
            entries = ahead or read_new(count, block_ms)
            ahead = self._batch(entries, count) if entries else []
        if ahead:
            self._settler.settle(self._judge(ahead))
        if self._reader.cut and self._memory is None:  # a memory takes such entries up at the next start
            self._take_up_own(alone=False)

    def _batch(self, entries: Sequence[Entry], count: int) -> list[Entry]:
        """Handle entries and settle them; where more is waiting, return it, and the broker settles meanwhile."""
        # Not for a handler that remembers: its memory is kept between two batches, when all is settled.
        more = len(entries) >= count and self._memory is None
        if more:  # the broker settles the batch before and reads the next one while this one is handled
            self._reader.begin_read(count)
        verdicts = self._judge(entries)
        self._settler.finish()
        self._settler.begin(verdicts)
        ahead = self._reader.finish_read() if more else []
        # Asked after every batch: what did not lead to a rest is part of the rate as well.
        rest_s = self._pace.rest_s(len(entries), count, self._clock())
        if not ahead:
            self._settler.finish()
            if rest_s:
                time.sleep(rest_s)
        return ahead

    def _block_ms(self, now: float) -> int:
        due = self._waiting.next_due()
        keep = self._memory.next_keep if self._memory else None
        until = min(at for at in (self._next_claim, due, keep) if at is not None)
        return max(1, min(self._settings.poll_timeout_ms, int((until - now) * 1000)))

    # Where entries come from

    def _recover(self, *, alone: bool) -> None:
        """Handle what this consumer already holds: after a death one by one, after a lost line in batches."""
        self._waiting.clear()
        if self._memory:
            self._memory.recall(self._settler.recent, lambda entry: self._alone(entry, counted=alone), self._stop)
            if self._stop.is_set():
                return  # it may have been left in the middle, and answers of half a memory would be wrong
        self._take_up_own(alone=alone)

    def _take_up_own(self, *, alone: bool) -> None:
        """Handle what this consumer holds and nobody here has in hand."""
        for stream in self._handler.reads:
            after = "0"
            while entries := self._reader.read_own(stream, after, NATURAL_BATCH):
                after = entries[-1].entry_id
                entries = [entry for entry in entries if entry.place not in self._waiting]
                if self._memory:
                    entries = [entry for entry in entries if not self._memory.holds(entry)]
                if alone:
                    for entry in entries:
                        if self._stop.is_set():
                            return
                        self._alone(entry)
                else:
                    self._settler.settle(self._judge(entries))

    def _claim(self) -> None:
        """Take over what other consumers hold and do not settle."""
        for stream in self._handler.reads:
            entries, lost = self._reader.claim_idle(stream, CLAIM_IDLE_MS)
            if lost:
                self._log.error("runner.entries_lost", stream=stream.value, entries=lost[:10], count=len(lost))
                self._reader.count_lost(stream, len(lost))
                self._tally.outcomes[stream.value, "lost"] += len(lost)
            for entry in entries:
                if entry.place not in self._waiting and not (self._memory and self._memory.holds(entry)):
                    self._alone(entry)

    # What happens to them

    def _judge(self, entries: Sequence[Entry]) -> list[Verdict]:
        """Handle entries together and return what is to become of them; when that fails, settle one by one."""
        verdicts: list[Verdict] = []
        ready: list[Entry] = []
        deliveries: list[Delivery] = []
        again: list[Entry] = []
        ids: set[str] = set()
        for entry in entries:
            screened = self._screen(entry)
            if isinstance(screened, Verdict):
                verdicts.append(screened)
            elif screened.event.event_id in ids or screened.event.event_id in self._settler.unsettled:
                again.append(entry)  # decided once its twin is settled: the twin may yet be refused
            else:
                ids.add(screened.event.event_id)
                ready.append(entry)
                deliveries.append(screened)
        if ready:
            try:
                outcomes = self._handle(deliveries)
            except Exception as exc:  # noqa: BLE001 - a bug in a service must not stop the stream
                self._log.warning("runner.batch_failed", entries=len(ready), cause=_words(exc), exc_info=True)
                outcomes = []
                for entry in ready:
                    self._alone(entry)
            for entry, delivery, outcome in zip(ready, deliveries, outcomes, strict=False):
                if isinstance(outcome, Retry):
                    self._wait(entry, outcome, tries=1)
                else:
                    verdicts.append(self._verdict(entry, delivery, outcome, attempts=1))
        if not again:
            return verdicts
        self._settler.settle(verdicts)
        return self._judge(again)

    def _alone(self, entry: Entry, *, tries: int = 0, counted: bool = True) -> None:
        """Handle one entry by itself. ``counted`` is False when it only asked to wait."""
        screened = self._screen(entry)
        if isinstance(screened, Verdict):
            self._settler.settle([screened])
            return
        # Counted before it is handled: a handler that takes the process down counts too.
        attempts = self._reader.count_attempt(entry) if counted else tries
        if counted and attempts > MAX_ATTEMPTS:
            dead = Dead("handler_died", f"the process died while handling it alone, {MAX_ATTEMPTS} times")
            if self._memory:
                self._memory.skip(entry)
            self._settler.settle([self._verdict(entry, screened, dead, attempts=MAX_ATTEMPTS)])
            return
        try:
            outcome = self._handle([screened])[0]
        except Exception as exc:  # noqa: BLE001 - counted, retried, and at last a dead letter
            self._log.warning(
                "runner.entry_failed", source=entry.place, attempt=attempts, cause=_words(exc), exc_info=True
            )
            if attempts >= MAX_ATTEMPTS:
                dead = Dead("handler_failed", _words(exc))
                self._settler.settle([self._verdict(entry, screened, dead, attempts=attempts)])
            else:
                self._waiting.add(self._clock() + pause(attempts), entry, attempts, failed=True)
            return
        if isinstance(outcome, Retry):
            self._wait(entry, outcome, tries=tries + 1)
        else:
            self._settler.settle([self._verdict(entry, screened, outcome, attempts=max(attempts, 1))])

    def _handle(self, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        outcomes = (self._memory or self._handler).handle(deliveries)
        if len(outcomes) != len(deliveries):
            msg = f"{self.name} gave {len(outcomes)} outcomes for {len(deliveries)} events"
            raise DsmilError(msg)
        for outcome in outcomes:
            if not isinstance(outcome, Outcome):
                msg = f"{self.name} answered with {type(outcome).__name__}, not an outcome"
                raise DsmilError(msg)
        return outcomes

    def _wait(self, entry: Entry, retry: Retry, *, tries: int) -> None:
        self._tally.outcomes[entry.stream.value, "retried"] += 1
        self._log.info("runner.retry", source=entry.place, reason=retry.reason, tries=tries)
        self._waiting.add(self._clock() + pause(tries, _RETRY_LONGEST_S), entry, tries, failed=False)

    def _screen(self, entry: Entry) -> Delivery | Verdict:
        """Return the entry as an event, or the verdict on one that is none or was handled already."""
        if entry.fields is None:
            self._log.error("runner.entry_lost", source=entry.place)
            return Verdict(entry, "D", counter="lost")
        try:
            delivery = self._delivery(entry)
        except EventInvalid as exc:
            return self._dead(entry, Dead(exc.cause, exc.detail), event_id="", attempts=1)
        if delivery.event.event_id in self._settler.recent:
            return Verdict(entry, "D", counter="duplicate")
        return delivery

    def _verdict(
        self, entry: Entry, delivery: Delivery, outcome: Publish | PublishWire | Drop | Dead, *, attempts: int
    ) -> Verdict:
        """Turn a handler's outcome into what the server is to do, encoding the outputs."""
        event_id = delivery.event.event_id
        if isinstance(outcome, Drop):
            return Verdict(entry, "D", counter=f"dropped:{outcome.reason}", event_id=event_id)
        if isinstance(outcome, Dead):
            return self._dead(entry, outcome, event_id=event_id, attempts=attempts)
        try:
            if isinstance(outcome, PublishWire):
                outputs = [self._output(outcome.stream, outcome.wire)]
                layers = [(outcome.source_layer, outcome.severity)]
            else:
                outputs = [self._output(stream, codec.encode(event)) for stream, event in outcome.outputs]
                layers = [(event.source_layer, event.severity) for _, event in outcome.outputs]
        except EventInvalid as exc:
            dead = Dead(f"output_{exc.cause.removeprefix('output_')}", exc.detail)
            return self._dead(entry, dead, event_id=event_id, attempts=attempts)
        return Verdict(entry, "P", outputs=outputs, event_id=event_id, layers=layers)

    def _output(self, stream: StreamName, wire: bytes) -> tuple[str, bytes]:
        """Return an output as the server is told; EventInvalid when it may not go there."""
        name, most_bytes = self._writes.get(stream, ("", 0))
        if not name:
            raise EventInvalid("output_not_declared", f"published to {stream}, which `writes` does not name")
        codec.check_size(wire, most_bytes)
        return name, wire

    def _dead(self, entry: Entry, dead: Dead, *, event_id: str, attempts: int) -> Verdict:
        self._log.warning("runner.dead_letter", source=entry.place, cause=dead.cause, detail=dead.detail)
        letter = dead_letter(entry, dead, service=self.name, event_id=event_id, attempts=attempts, now=time.time())
        return Verdict(entry, "X", letter=letter)


def _most_bytes(stream: StreamName) -> int:
    return codec.MAX_FUSED_BYTES if stream is StreamName.SOC_EVENTS else codec.MAX_EVENT_BYTES


def _words(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}"[:500]
