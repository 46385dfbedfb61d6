"""Processes that make events side by side, and publish them in the order of their records.

One process reads, counts (see :meth:`dsmil.sources._feed.Reader.number`) and gives each maker in turn a batch of
records. A maker publishes when it gets the turn from the maker before it, and passes it on when the broker has its
batch. Turn and records come through pipes: when one process dies, the others find theirs closed, and end.
"""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import signal
import sys
import threading
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Final

import msgspec

from dsmil.errors import DsmilError
from dsmil.services.publishing import Made, Publishing, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dsmil.config import Settings
    from dsmil.sources._feed import Source

#: More makers would wait for the one that reads, and for the broker.
_MOST: Final = 4
#: Room for a batch that waits while its maker has another in work, bytes; the most that any user may have.
_WAITING_BYTES: Final = 1 << 20
_TURN: Final = b"your turn"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Task]).decode


class Word(msgspec.Struct):
    """What a maker tells after each batch, and at its end."""

    made: Made
    over: bool = False
    error: Exception | None = None


class Ends(msgspec.Struct, frozen=True):
    """The ends of pipes that one maker uses."""

    tasks: Connection
    turn: Connection
    next_turn: Connection
    words: Connection


def makers_here() -> int:
    """Return how many makers are worth it on this machine; 1 when this process has to do it alone."""
    # Elsewhere a forked process may not use all libraries, and locks of other threads would stay shut in it.
    if sys.platform != "linux" or threading.active_count() > 1:
        return 1
    return 2


class Makers:
    """What :class:`Publishing` does, by several processes."""

    def __init__(self, source: Source, settings: Settings, number: int) -> None:
        """Start ``number`` makers, at least two."""
        pairs = [[multiprocessing.Pipe(duplex=False) for _ in range(number)] for _ in range(3)]
        tasks, turns, words = pairs
        every = [end for pipes in pairs for pipe in pipes for end in pipe]
        context = multiprocessing.get_context("fork")
        self._tasks = [writer for _, writer in tasks]
        for writer in self._tasks:
            with contextlib.suppress(OSError):  # it only goes slower then
                fcntl.fcntl(writer.fileno(), fcntl.F_SETPIPE_SZ, _WAITING_BYTES)
        self._words: dict[Connection, Word] = {reader: Word(Made()) for reader, _ in words}
        self._given = 0
        self._processes = []
        for n in range(number):
            ends = Ends(tasks[n][0], turns[n][0], turns[(n + 1) % number][1], words[n][1])
            process = context.Process(target=_make, args=(source, settings, ends, every), daemon=True)
            process.start()
            self._processes.append(process)
        turns[0][1].send_bytes(_TURN)
        for end in every:
            if end not in self._tasks and end not in self._words:
                end.close()

    @property
    def made(self) -> Made:
        """What became of records, as far as the makers have told."""
        whole = Made()
        for word in self._words.values():
            whole = whole.and_then(word.made)
        return whole

    def take(self, tasks: Sequence[Task]) -> None:
        """Give a batch to the next maker; waits while it has enough to do. Raises what stopped a maker."""
        batch, maker = _encode(tasks), self._tasks[self._given % len(self._tasks)]
        self._given += 1
        try:
            maker.send_bytes(batch)
        except BrokenPipeError:
            self._hear_out()
        for word in wait(self._words, timeout=0):
            self._hear(word)  # type: ignore[arg-type]

    def finish(self) -> Made:
        """Wait until everything is published; return what became of all records. Raises what stopped a maker."""
        self._hear_out()
        return self.made

    def close(self) -> None:
        """End all makers, whatever they are doing; after :meth:`finish` there is nothing to end."""
        for end in (*self._tasks, *self._words):
            end.close()
        for process in self._processes:
            process.terminate()
            process.join()

    def _hear_out(self) -> None:
        """Give no more, and listen until every maker has ended; raise the error of one that could not go on."""
        for maker in self._tasks:
            maker.close()
        while waiting := [end for end, word in self._words.items() if not word.over]:
            for end in wait(waiting):
                self._hear(end)  # type: ignore[arg-type]
        errors = [word.error for word in self._words.values() if word.error is not None]
        # Those behind a maker that failed only know that it is gone.
        told = [error for error in errors if not isinstance(error, _NeighbourGone)] or errors
        if told:
            raise told[0]

    def _hear(self, end: Connection) -> None:
        try:
            self._words[end] = end.recv()
        except EOFError:
            if not self._words[end].over:
                gone = DsmilError("a process that makes events has died; read the files again: nothing is doubled")
                self._words[end] = msgspec.structs.replace(self._words[end], over=True, error=gone)


class _NeighbourGone(DsmilError):
    """The maker whose turn it was has ended."""


def _make(source: Source, settings: Settings, ends: Ends, every: Sequence[Connection]) -> None:
    """Run one maker, until there is nothing more to read or another process has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the one that reads ends us
    kept = {end.fileno() for end in (ends.tasks, ends.turn, ends.next_turn, ends.words)}
    for end in every:
        if end.fileno() not in kept:
            end.close()  # a pipe is closed for others only when nobody has it
    publishing = Publishing(source, settings)
    error: Exception | None = None
    try:
        while (batch := _received(ends.tasks)) is not None:
            publishing.make(_decode(batch))
            _await(ends.turn)
            publishing.flush()
            ends.words.send(Word(publishing.made))
            ends.next_turn.send_bytes(_TURN)
    except BrokenPipeError:
        pass  # nobody is there who would take it: the others have ended
    except Exception as exc:  # noqa: BLE001 - told to the one that reads, which raises it
        error = exc
    publishing.close()
    with contextlib.suppress(BrokenPipeError):
        ends.words.send(Word(publishing.made, over=True, error=error))


def _await(turn: Connection) -> None:
    if _received(turn) is None:
        raise _NeighbourGone


def _received(end: Connection) -> bytes | None:
    """Return the next message, None when there will be no more."""
    try:
        return end.recv_bytes()
    except EOFError:
        return None
