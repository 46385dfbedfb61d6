"""Reading log files into ``L3_IN``: a batch at a time, or what a pipe has now."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from dsmil.errors import DsmilError, UnreadableFile
from dsmil.services.makers import Makers, makers_here
from dsmil.services.publishing import Publishing, Task
from dsmil.sources._feed import Reader
from dsmil.sources._files import RecordFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dsmil.config import Settings
    from dsmil.sources._feed import RawRecord, Source

#: A batch ends at so many records or bytes.
_BATCH: Final = 500
_BATCH_BYTES: Final = 512 * 1024
#: Files of fewer bytes are read before other processes have started.
_WORTH_BYTES: Final = 1 << 20


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
        self._tasks: list[Task] = []
        self._waiting_bytes = 0
        self._making: Publishing | Makers

    def run(self, files: Sequence[str], progress: Callable[[int, int], None] = lambda *_: None) -> Tally:
        """Read the files in order; ``progress`` is told bytes and events done.

        Large files are read here and made into events by a process for each core, in the same order.

        Raises UnreadableFile for a file that cannot be opened, and BusUnavailable or BusRefused when the
        broker takes nothing for half a minute: then read the same files again, nothing is doubled.
        """
        started = time.monotonic()
        done = 0
        with closing(self._makers(files)) as self._making:
            try:
                for name in files:
                    before = done
                    file = RecordFile(
                        name,
                        json_array=self._source.json_array,
                        array_key=self._source.array_key,
                        trims=self._source.trims,
                        progress=lambda read, before=before: progress(  # type: ignore[misc]
                            before + read, self._making.made.published
                        ),
                        idle=self._flush,
                    )
                    self._read(file)
                    self._pass_on()
                    done += _size(name)
                    progress(done, self._making.made.published)
            except UnreadableFile:
                self._making.finish()  # what was read before it
                raise
            made = self._making.finish()
        tally = self._tally
        tally.published, tally.dead, tally.partial = made.published, made.dead, made.partial
        tally.problems = [*(text for _, text in made.problems), *tally.problems]
        tally.seconds = round(time.monotonic() - started, 3)
        if tally.records != tally.published + tally.dead + tally.partial:
            raise DsmilError(f"the books do not balance: {tally}; read the files again: nothing is doubled")
        progress(done, tally.published)
        return tally

    def _makers(self, files: Sequence[str]) -> Publishing | Makers:
        """Return who makes the events: others beside this process where there is work for them."""
        number = makers_here()
        if number > 1 and "-" not in files and sum(map(_size, files)) >= _WORTH_BYTES:
            with suppress(OSError):  # there is no room for more processes
                return Makers(self._source, self._settings, number)
        return Publishing(self._source, self._settings)

    def _read(self, file: RecordFile) -> None:
        reader = Reader(self._source)  # a file of its own: ordinals count per file
        self._tally.files += 1
        for line in file:
            for record in reader.records(line):
                self._take(reader, record, still_written=line is file.partial)
        for record in reader.rest():
            self._take(reader, record, still_written=file.partial is not None)
        if file.problem:
            self._tally.problems.append(file.problem)

    def _take(self, reader: Reader, record: RawRecord, *, still_written: bool) -> None:
        self._tasks.append(Task(record, self._tally.records, reader.number(record), still_written))
        self._tally.records += 1
        self._waiting_bytes += len(record.raw) + len(record.head)
        if len(self._tasks) >= _BATCH or self._waiting_bytes >= _BATCH_BYTES:
            self._pass_on()

    def _pass_on(self) -> None:
        if self._tasks:
            tasks, self._tasks, self._waiting_bytes = self._tasks, [], 0
            self._making.take(tasks)

    def _flush(self) -> None:
        """See to it that the broker has everything that was read: a pipe pauses."""
        self._pass_on()
        self._making.flush()


def _size(name: str) -> int:
    """Return the bytes of a file; of what is none, 0."""
    return Path(name).stat().st_size if Path(name).is_file() else 0
