"""Processes that make events side by side, and publish them in the order of their records.

One process reads, counts (see :meth:`dsmil.sources._feed.Reader.number`) and gives each maker in turn a batch of
records. A maker publishes when it gets the turn from the maker before it, and passes it on when the broker has its
batch. Turn and records come through pipes: when one process dies, the others find theirs closed, and end.
"""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil.errors import DsmilError
from dsmil.infrastructure.broker import die_with_parent
from dsmil.services.publishing import Made, Publishing, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dsmil.config import Settings
    from dsmil.sources._feed import Source

#: More makers would wait for the one that reads, and for the broker.
_MOST: Final = 4
#: Room for a batch that waits while its maker has another in work, bytes; the most that any user may have.
_WAITING_BYTES: Final = 1 << 20
_TURN: Final = b"your turn"
_AGAIN: Final = "read the files again: nothing is doubled"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Task]).decode


class Word(msgspec.Struct):
    """What a maker tells after each batch, and at its end; only then with the problems, which may be long."""

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
    return min(len(os.sched_getaffinity(0)), _MOST)


class Makers:
    """What :class:`Publishing` does, by several processes."""

    def __init__(self, source: Source, settings: Settings, number: int) -> None:
        """Start ``number`` makers, at least two; OSError when there is no room for so many processes."""
        pairs = [[multiprocessing.Pipe(duplex=False) for _ in range(number)] for _ in range(3)]
        tasks, turns, words = pairs
        every = [end for pipes in pairs for pipe in pipes for end in pipe]
        self._tasks = [writer for _, writer in tasks]
        self._words: dict[Connection, Word] = {reader: Word(Made()) for reader, _ in words}
        self._given = 0
        self._processes: list[Any] = []
        context = multiprocessing.get_context("fork")
        die = die_with_parent()
        # The terminal sends an interrupt to all; makers never hear it, and end when their pipes do.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for n in range(number):
                with contextlib.suppress(OSError):  # it only goes slower then
                    fcntl.fcntl(self._tasks[n].fileno(), fcntl.F_SETPIPE_SZ, _WAITING_BYTES)
                ends = Ends(tasks[n][0], turns[n][0], turns[(n + 1) % number][1], words[n][1])
                process = context.Process(target=_make, args=(source, settings, ends, every, die), daemon=True)
                process.start()
                self._processes.append(process)
            turns[0][1].send_bytes(_TURN)
        except OSError:
            self.close()
            raise
        finally:
            for end in every:
                if end not in self._tasks and end not in self._words:
                    end.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

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
            raise _gone() from None
        for word in wait(self._words, timeout=0):
            self._hear(word)  # type: ignore[arg-type]

    def flush(self) -> None:
        """Do nothing: each batch is published as soon as it is made and has its turn."""

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
        except (EOFError, OSError):  # OSError: it died in the middle of a word
            if not self._words[end].over:
                self._words[end] = msgspec.structs.replace(self._words[end], over=True, error=_gone())


class _NeighbourGone(DsmilError):
    """A process that publishes before this one has ended; read the files again: nothing is doubled."""


def _gone() -> DsmilError:
    return DsmilError(f"a process that makes events has died; {_AGAIN}")


def _make(
    source: Source, settings: Settings, ends: Ends, every: Sequence[Connection], die: Callable[[], None] | None
) -> None:
    """Run one maker, until there is nothing more to read or another process has gone."""
    if die is not None:
        die()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__  # those of the parent may draw a progress bar
    kept = {end.fileno() for end in (ends.tasks, ends.turn, ends.next_turn, ends.words)}
    for end in every:
        if end.fileno() not in kept:
            end.close()  # a pipe is closed for others only when nobody has it
    publishing = Publishing(source, settings)
    error: Exception | None = None
    try:
        _serve(publishing, ends)
    except Exception as exc:  # noqa: BLE001 - told to the one that reads, which raises it
        error = _sendable(exc)
    publishing.close()
    # Before the last word, which may be longer than its pipe: nobody must wait for us meanwhile.
    for end in (ends.tasks, ends.turn, ends.next_turn):
        end.close()
    with contextlib.suppress(BrokenPipeError):
        ends.words.send(Word(publishing.made, over=True, error=error))


def _serve(publishing: Publishing, ends: Ends) -> None:
    while (batch := _received(ends.tasks)) is not None:
        publishing.make(_decode(batch))
        if _received(ends.turn) is None:
            raise _NeighbourGone
        publishing.flush()
        # Who is not there any more has said why, or shows by its own pipes that it died.
        with contextlib.suppress(BrokenPipeError):
            ends.words.send(Word(msgspec.structs.replace(publishing.made, problems=[])))
        with contextlib.suppress(BrokenPipeError):
            ends.next_turn.send_bytes(_TURN)


def _received(end: Connection) -> bytes | None:
    """Return the next message, None when there will be no more."""
    try:
        return end.recv_bytes()
    except EOFError:
        return None


def _sendable(error: Exception) -> Exception:
    """Return an error that can go through a pipe, with the place where it was raised."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own, just written
    except Exception:  # noqa: BLE001 - whatever it is, it cannot be sent as it is
        return DsmilError(f"{type(error).__name__}: {error}"[:500])
    return error
