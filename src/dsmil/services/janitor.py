"""The janitor: keeps streams within their time and memory, and closes the door before memory runs out.

It removes what every reader has settled and every store has saved: by age as a rule, at once when memory runs
short. Nothing is removed that somebody still needs; when that is too much, producers are refused and keep theirs.
"""

from __future__ import annotations

import re
import shutil
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

from dsmil import log
from dsmil.errors import BusRefused, NotAllowed, Unavailable
from dsmil.events.streams import StreamName
from dsmil.infrastructure import store_place
from dsmil.infrastructure.access import keeping
from dsmil.infrastructure.address import broker_url
from dsmil.infrastructure.connection import connect, translated
from dsmil.infrastructure.pressure import LIFETIME_S, Level, Pressure, announce, judge
from dsmil.infrastructure.steady_clock import SteadyClock
from dsmil.infrastructure.trimming import ALL, Trimmer
from dsmil.services.metric_names import MEMORY_SHARE
from dsmil.services.part import STARTING, PlainPart, Vitals
from dsmil.services.preparation import copied_streams, service_groups
from dsmil.services.retry import pause

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    import redis

    from dsmil.config import Settings
    from dsmil.infrastructure.access import Grant

_HOUR_S: Final = 3600.0
#: How long entries that nobody needs are kept for people, as the rows of their table are.
KEEP_S: Final = dict.fromkeys(StreamName, 24 * _HOUR_S) | {StreamName.SOC_EVENTS: 7 * 24 * _HOUR_S}
#: How long dead letters are kept; memory that runs short does not shorten it.
KEEP_LETTERS_S: Final = 30 * 24 * _HOUR_S
_ROUND_S: Final = 1.0
#: A round may be so much longer as long as there is more room in the broker's memory than all can fill meanwhile.
_LONG_ROUND: Final = 4
_FASTEST_BYTES_S: Final = 500e6
_MEMORY: Final = re.compile(rb"^(used_memory|maxmemory|total_system_memory):(\d+)", re.MULTILINE)
#: How often what is old is removed; when memory runs short, every round.
_TRIM_EVERY_S: Final = 10.0
#: Calls of one round for one stream: others have their turn.
_MOST_CALLS: Final = 20
_REAP_EVERY_S: Final = 60.0
#: A consumer that holds nothing and was silent for so long will not come back under its name.
_REAP_IDLE_S: Final = _HOUR_S


class Janitor(PlainPart):
    """Trims streams, removes consumers that are gone, and watches memory."""

    name: ClassVar[str] = "janitor"
    gives_way: ClassVar[bool] = True
    device_id: ClassVar[int] = 0
    reads: ClassVar[tuple[StreamName, ...]] = ()
    writes: ClassVar[tuple[StreamName, ...]] = ()
    #: Commands without keys that it uses.
    keyless: ClassVar[tuple[str, ...]] = ("info",)

    def __init__(self, settings: Settings, *, clock: Callable[[], float] | None = None) -> None:
        """Take the settings; the broker is reached in :meth:`run`.

        Age counts by ``clock``, Unix seconds; by default one that cannot be stepped ahead.
        """
        self._settings = settings
        self._clock = clock or SteadyClock(settings.state_dir / f"clock-{self.name}.json", KEEP_LETTERS_S)
        self._place = store_place.choose(settings)
        self._groups = {stream: [g for s, g in service_groups() if s is stream] for stream in StreamName}
        self._copied = copied_streams()
        self._outcomes: dict[tuple[str, str], int] = {}
        self._problems = {"broker": STARTING}
        self._pressure = Pressure()
        #: Bytes that the broker may still take until it asks to be tidied.
        self._room = 0.0
        #: Who keeps entries of a stream from being removed now.
        self._holders: dict[str, str] = {}
        self._announced = self._next_trim = self._next_reap = 0.0
        self._log = log.get(self.name)

    @staticmethod
    def grants() -> tuple[Grant, ...]:
        """Return what it needs at the broker."""
        return keeping()

    def vitals(self) -> Vitals:
        """Return how it is doing; memory that runs short is a problem of its own."""
        memory = self._pressure.reason if self._pressure.level >= Level.WARN else ""
        return Vitals(
            name=self.name,
            device_id=self.device_id,
            outcomes=dict(self._outcomes),
            layers={},
            figures={MEMORY_SHARE.name: {(name,): share for name, share in self._pressure.shares.items()}},
            notes={"holders": self._holders} if self._pressure.tidy else {},
            checks=self._problems | {"memory": memory},
        )

    def run(self, stop: threading.Event) -> None:
        """Keep house until ``stop`` is set; trouble with the broker is waited out."""
        client = connect(broker_url(self._settings), self._settings)
        trimmer = Trimmer(client)
        failures = 0
        while not stop.is_set():
            try:
                trimmer.prepare()
                self._problems["broker"], failures = "", 0
                while not stop.is_set():
                    self._round(client, trimmer)
                    stop.wait(_rest_s(self._room, self._pressure.level))
            except Unavailable as exc:
                if isinstance(exc, NotAllowed) and self._problems["broker"] == STARTING:
                    raise  # as the runner does: waiting gives no rights
                failures += 1
                wait = pause(failures)
                self._problems["broker"] = str(exc)
                self._log.warning("janitor.trouble", cause=str(exc), retry_in_s=round(wait, 2))
                client.connection_pool.disconnect()
                stop.wait(wait)
        client.close()

    def _round(self, client: redis.Redis, trimmer: Trimmer) -> None:
        self._watch(client)
        if self._pressure.tidy or time.monotonic() >= self._next_trim:
            self._next_trim = time.monotonic() + _TRIM_EVERY_S
            for stream in StreamName:
                self._trim(trimmer, stream)
            letters = trimmer.trim_letters(self._oldest(KEEP_LETTERS_S))
            self._count("DEAD_LETTERS", "trimmed", letters)
        if time.monotonic() >= self._next_reap:
            self._next_reap = time.monotonic() + _REAP_EVERY_S
            for stream, groups in self._groups.items():
                for group in groups:
                    self._reap(trimmer, stream, group)

    def _watch(self, client: redis.Redis) -> None:
        """Measure, and tell everybody when the level has changed or the last word is getting old."""
        used, limit = _broker_memory(client)
        shares = {"broker": used / limit if limit else 0.0}
        self._room = limit * Level.TIDY / 100 - used if limit else 0.0
        if store_place.is_tmpfs(self._place.path.parent):
            total, _, free = shutil.disk_usage(self._place.path.parent)
            shares["store"] = 1 - free / total
        found = judge(shares, self._pressure.level)
        changed = found.level != self._pressure.level
        if changed:
            level = Level(found.level).name.lower()
            say = self._log.warning if found.level >= Level.WARN else self._log.info
            say("janitor.memory", level=level, reason=found.reason)
        self._pressure = found
        if changed or time.monotonic() - self._announced > LIFETIME_S / 3:
            try:
                announce(client, found)
                self._announced = time.monotonic()
            except NotAllowed:
                raise
            except BusRefused as exc:
                # No memory for one key more: what follows frees some.
                if self._announced:
                    self._log.warning("janitor.not_announced", cause=str(exc))
                self._announced = 0.0

    def _trim(self, trimmer: Trimmer, stream: StreamName) -> None:
        hurry = self._pressure.tidy
        oldest = ALL if hurry else self._oldest(KEEP_S[stream])
        groups, copied = self._groups[stream], stream in self._copied
        for _ in range(_MOST_CALLS):
            trimmed = trimmer.trim(stream, groups, oldest=oldest, copied=copied)
            self._holders = {**self._holders, stream.value: trimmed.holder}
            if not trimmed.removed:
                return
            self._count(stream.value, "trimmed", trimmed.removed)

    def _oldest(self, age_s: float) -> str:
        """Return the id of that age; never below zero, where a host without a clock of its own begins."""
        return f"{max(int((self._clock() - age_s) * 1000), 0)}-0"

    def _reap(self, trimmer: Trimmer, stream: StreamName, group: str) -> None:
        gone = trimmer.reap(stream, group, _REAP_IDLE_S)
        if gone:
            self._log.info("janitor.consumers_removed", stream=stream.value, group=group, names=gone)

    def _count(self, stream: str, outcome: str, number: int) -> None:
        if number:
            self._outcomes[stream, outcome] = self._outcomes.get((stream, outcome), 0) + number


def _rest_s(room: float, level: int) -> float:
    """Return how long memory may go unwatched, seconds."""
    return _ROUND_S if level > Level.OPEN else min(max(room / _FASTEST_BYTES_S, _ROUND_S), _LONG_ROUND * _ROUND_S)


def _broker_memory(client: redis.Redis) -> tuple[int, int]:
    """Return the broker's memory, bytes: in use, and its own limit, or its host's memory when it has none."""
    # As it comes: this is asked all the time, and the client's own parser takes all of it apart.
    client.set_response_callback("INFO", bytes)
    with translated("asking for the broker's memory"):
        text: Any = client.info("memory")
    info = {name: int(value) for name, value in _MEMORY.findall(text)}
    limit = info.get(b"maxmemory") or info.get(b"total_system_memory") or 0
    return info[b"used_memory"], limit


SERVICE = Janitor
