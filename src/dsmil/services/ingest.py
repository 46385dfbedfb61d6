"""Reading log files into ``L3_IN``: a batch at a time, or what a pipe has now; each until the broker has it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from dsmil import log
from dsmil.errors import BusRefused, BusUnavailable, EventInvalid, NotAllowed
from dsmil.events import codec
from dsmil.events.streams import StreamName
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.letters import append_letters, source_letter
from dsmil.services.retry import pause
from dsmil.sources._feed import Reader
from dsmil.sources._files import RecordFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dsmil.config import Settings
    from dsmil.sources._feed import RawRecord, Source

_BATCH: Final = 500
#: How long the broker may be away before reading is given up: nothing is lost, the file can be read again.
_PATIENCE_S: Final = 30.0


class Tally(msgspec.Struct):
    """What became of the records of a reading: records = published + dead + partial."""

    files: int = 0
    records: int = 0
    published: int = 0
    dead: int = 0
    #: Last lines that were still being written.
    partial: int = 0
    seconds: float = 0.0
    #: What could not be read to its end, in words.
    problems: list[str] = msgspec.field(default_factory=list)


class Ingest:
    """One reading of some files by one feed."""

    def __init__(self, source: Source, settings: Settings) -> None:
        """Take feed and settings; nothing is read yet."""
        self._source = source
        self._settings = settings
        self._tally = Tally()
        self._bodies: list[bytes] = []
        self._letters: list[dict[str, bytes]] = []
        #: What was sent and not yet taken, and what waits for the broker's word; None when it must be sent again.
        self._sent: list[bytes] = []
        self._replies: Callable[[], object] | None = None
        self._log = log.get("ingest")

    def run(self, files: Sequence[str], progress: Callable[[int, int], None] = lambda *_: None) -> Tally:
        """Read the files in order; ``progress`` is told bytes and events done.

        Raises UnreadableFile for a file that cannot be opened, and BusUnavailable or BusRefused when the
        broker takes nothing for half a minute: then read the same files again, nothing is doubled.
        """
        started = time.monotonic()
        done = 0
        with RedisStreamsClient(settings=self._settings) as bus:
            for name in files:
                before = done
                file = RecordFile(
                    name,
                    json_array=self._source.json_array,
                    array_key=self._source.array_key,
                    trims=self._source.trims,
                    progress=lambda read, before=before: progress(before + read, self._tally.published),  # type: ignore[misc]
                    idle=lambda: self._flush(bus),
                )
                self._read(file, bus)
                self._flush(bus)
                done += Path(name).stat().st_size if name != "-" and Path(name).is_file() else 0
                progress(done, self._tally.published)
        self._tally.seconds = round(time.monotonic() - started, 3)
        return self._tally

    def _read(self, file: RecordFile, bus: RedisStreamsClient) -> None:
        reader = Reader(self._source)  # a file of its own: ordinals count per file
        self._tally.files += 1
        for line in file:
            for record in reader.records(line):
                self._take(reader, record, bus, still_written=line is file.partial)
        for record in reader.rest():
            self._take(reader, record, bus, still_written=file.partial is not None)
        if file.problem:
            self._tally.problems.append(file.problem)

    def _take(self, reader: Reader, record: RawRecord, bus: RedisStreamsClient, *, still_written: bool) -> None:
        self._tally.records += 1
        try:
            self._bodies.append(codec.encode_bounded(reader.event(record, time.time())))
        except EventInvalid as exc:
            self._refuse(record, exc, still_written=still_written)
        if len(self._bodies) + len(self._letters) >= _BATCH:
            self._flush(bus, wait=False)

    def _refuse(self, record: RawRecord, cause: EventInvalid, *, still_written: bool) -> None:
        if still_written:
            self._tally.partial += 1
            return
        self._tally.dead += 1
        if len(self._tally.problems) < 10:  # noqa: PLR2004 - the first few tell the kind, the letters all
            self._tally.problems.append(f"{record.place}: {cause}")
        self._letters.append(source_letter(record, cause, self._source.name, time.time()))

    def _flush(self, bus: RedisStreamsClient, *, wait: bool = True) -> None:
        """Hand over what was read. Unless told to ``wait``, the broker takes it while the next batch is read.

        After a lost reply a batch may be there twice; its events have the same ids, so it counts once.
        """
        self._insist(lambda: self._hand_over(bus))
        if wait:
            self._insist(lambda: self._settle(bus))

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

    def _hand_over(self, bus: RedisStreamsClient) -> None:
        self._settle(bus)
        if self._letters:
            append_letters(bus, self._letters)
            self._letters.clear()
        if self._bodies:
            self._replies = bus.begin_append(StreamName.L3_IN, self._bodies)
            self._sent, self._bodies = self._bodies, []

    def _settle(self, bus: RedisStreamsClient) -> None:
        """Wait until the broker has what was sent before; what it did not take is sent once more."""
        if self._sent:
            replies, self._replies = self._replies, None
            (replies or bus.begin_append(StreamName.L3_IN, self._sent))()
            self._tally.published += len(self._sent)
            self._sent = []
