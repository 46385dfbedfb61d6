"""Settling verdicts and counting what became of them, while the next batch may be judged already."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from dsmil.services.recent import RecentIds
from dsmil.services.retry import pause

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    import structlog

    from dsmil.events.streams import StreamName
    from dsmil.infrastructure.groups import Call, GroupReader
    from dsmil.infrastructure.settling import Settled, Verdict
    from dsmil.services.remembering import Memory

#: How long a refused settlement is tried when the process is to stop.
_DRAIN_S: Final = 5.0
#: How a verdict is counted; a drop by its own word.
_OUTCOMES: Final = {"P": "published", "X": "dead"}

_Work = list[tuple["StreamName", "Sequence[Verdict]"]]


class Tally(msgspec.Struct):
    """What has become of entries since the start."""

    #: (stream, outcome) -> entries.
    outcomes: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    #: (layer, severity) -> outputs.
    layers: Counter[tuple[int, str]] = msgspec.field(default_factory=Counter)
    #: Why the broker refuses to settle now, or empty.
    refused: str = ""


class Settler:
    """Settles for one runner. At most one batch is with the broker at a time."""

    def __init__(
        self,
        reader: GroupReader,
        stop: threading.Event,
        clock: Callable[[], float],
        log: structlog.stdlib.BoundLogger,
        tally: Tally,
        memory: Memory | None = None,
    ) -> None:
        """Bind to a reader; what becomes of entries is counted in ``tally``, and told to the handler's memory."""
        self._reader = reader
        self._stop = stop
        self._clock = clock
        self._log = log
        self._tally = tally
        self._memory = memory
        self._open: tuple[Call, _Work] | None = None
        #: Ids of events that are with the broker, not known to be settled.
        self.unsettled: frozenset[str] = frozenset()
        #: Ids of events settled last, among which producer duplicates are recognised.
        self.recent = RecentIds()

    def settle(self, verdicts: Sequence[Verdict]) -> None:
        """Settle, and return when the broker has answered."""
        self.begin(verdicts)
        self.finish()

    def begin(self, verdicts: Sequence[Verdict]) -> None:
        """Hand a batch to the broker, whose answer :meth:`finish` waits for; the one before is finished first."""
        self.finish()
        work: _Work = []
        for stream in self._reader.streams:
            mine = [verdict for verdict in verdicts if verdict.entry.stream is stream]
            if mine:
                work.append((stream, mine))
        if work:
            self._open = self._reader.begin(work), work
            self.unsettled = frozenset([verdict.event_id for verdict in verdicts])

    def finish(self) -> None:
        """Wait for the answer to what was begun; what is refused is tried again until the broker takes it."""
        if self._open is None:
            return
        (call, work), self._open = self._open, None
        for (stream, verdicts), settled in zip(work, self._reader.finish(call), strict=True):
            left = self._note(stream, verdicts, settled)
            if left:
                self._insist(stream, left, settled.error)
        self.unsettled = frozenset()

    def forget(self) -> None:
        """Let go of what was begun: the line is lost, and what was not settled is read again."""
        self._reader.forget()
        self._open, self.unsettled = None, frozenset()

    def _insist(self, stream: StreamName, verdicts: Sequence[Verdict], error: str) -> None:
        """Settle again and again while the broker refuses: nothing new is read until it takes this."""
        failures, give_up = 0, 0.0
        while error:
            failures += 1
            self._tally.refused = error
            self._log.warning("runner.settle_refused", stream=stream.value, cause=error)
            if self._stop.is_set():
                give_up = give_up or self._clock() + _DRAIN_S
                if self._clock() >= give_up:
                    return  # still pending: the next start reads them first
                time.sleep(pause(failures, 1.0))
            else:
                self._stop.wait(pause(failures))
            settled = self._reader.settle(stream, verdicts)
            verdicts = self._note(stream, verdicts, settled)
            error = settled.error
        self._tally.refused = ""

    def _note(self, stream: StreamName, verdicts: Sequence[Verdict], settled: Settled) -> list[Verdict]:
        """Count what was settled, and what another has taken; return what was refused."""
        missed = [v for v in verdicts if v.entry.entry_id in settled.missed] if settled.missed else []
        self._count(
            stream, [v for v in verdicts if v.entry.entry_id not in settled.missed] if missed else verdicts
        )
        if missed and not settled.error:
            self._tally.outcomes[stream.value, "fenced"] += len(missed)
        if self._memory:
            self._memory.settled(
                [v for v in verdicts if not (settled.error and v.entry.entry_id in settled.missed)]
            )
        return missed if settled.error else []

    def _count(self, stream: StreamName, settled: Sequence[Verdict]) -> None:
        outcomes = Counter([_OUTCOMES.get(v.kind, v.counter) for v in settled])
        layers = [layer for v in settled for layer in v.layers]
        if layers:
            outcomes["outputs"] = len(layers)
        for outcome, number in outcomes.items():
            self._tally.outcomes[stream.value, outcome] += number
        for (layer, severity), number in Counter(layers).items():
            self._tally.layers[layer, severity.value] += number
        self.recent.remember([v.event_id for v in settled if v.event_id and v.kind != "X"])
