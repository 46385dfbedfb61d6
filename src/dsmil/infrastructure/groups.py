"""Reading a stream as one consumer of a group, and settling what was read in one fenced call."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import msgspec
import redis

from dsmil.errors import BusRefused, GroupLost, LoginRefused, NotAllowed
from dsmil.events import ids
from dsmil.events.streams import DEAD_LETTERS, StreamName
from dsmil.infrastructure.connection import translated
from dsmil.infrastructure.entries import Entry, entries_of, id_order, reading_client, streams_of
from dsmil.infrastructure.packed import Line, Packed, argument
from dsmil.infrastructure.settling import Settled, Verdict, packed_settlement, parts

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLAIM_PAGE: Final = 100
#: Where a new group begins: with everything that is there. From `$` it would never see what came before it.
FIRST_ENTRY: Final = "0"
#: Names the data of this broker; it goes with a flush, as the data does.
EPOCH_KEY: Final = "dsmil:epoch"
_REMEDY: Final = "run `dsmil init` as the admin user"
_RIGHTS: Final = "give it the rights that `dsmil acl` prints"


def ledger_key(stream: str, group: str) -> str:
    """Return the hash that counts how each entry of ``stream`` was settled for ``group``."""
    return f"dsmil:ledger:{stream}:{group}"


def attempts_key(stream: str, group: str) -> str:
    """Return the hash that counts how often an entry was handled alone."""
    return f"dsmil:attempts:{stream}:{group}"


#: Library of server-side functions -> the file it is in.
LIBRARIES: Final = {"dsmil": "functions.lua", "dsmil_janitor": "janitor.lua"}


@lru_cache(maxsize=len(LIBRARIES))
def library_source(library: str = "dsmil") -> str:
    """Return the source of a library of server-side functions."""
    return files("dsmil.infrastructure").joinpath(LIBRARIES[library]).read_text("utf-8")


def load_functions(client: redis.Redis) -> None:
    """Load the server-side functions, replacing an older copy."""
    with translated("loading the server-side functions"):
        for library in LIBRARIES:
            client.function_load(library_source(library), replace=True)


def library_revision(library: str = "dsmil") -> str:
    """Return the revision that the server-side functions of this version answer with."""
    return library_source(library).partition("local REVISION = '")[2].partition("'")[0]


def broker_epoch(client: redis.Redis) -> str:
    """Return the name of the broker's data, giving it one when it has none: new, or flushed."""
    with translated("asking for the epoch"):
        epoch: Any = client.get(EPOCH_KEY)
        if epoch is None:  # only then: a broker without memory refuses to set what is there already
            client.set(EPOCH_KEY, ids.new_id(), nx=True)
            epoch = client.get(EPOCH_KEY)
    return epoch.decode() if isinstance(epoch, bytes) else ""


def ensure_group(client: redis.Redis, stream: str, group: str) -> bool:
    """Make stream and group, reading from the very first entry; return whether it was made now."""
    with translated(f"making group {group} on {stream}"):
        try:
            client.xgroup_create(stream, group, id=FIRST_ENTRY, mkstream=True)
        except redis.ResponseError as exc:
            if str(exc).startswith("BUSYGROUP"):
                return False
            raise
    return True


def open_books(client: redis.Redis, stream: str, group: str) -> bool:
    """Make the group of a service as :func:`ensure_group` does, and begin its ledger; return whether it was made.

    Entries that were trimmed before the group was made are none of its business: the ledger begins with their
    number as ``before``. Nothing is trimmed while a service's group is missing, so the number stays right.
    """
    key = ledger_key(stream, group)
    while not group_exists(client, stream, group):
        with translated(f"beginning the ledger of {group} on {stream}"), client.pipeline() as pipeline:
            # Somebody else may make the group at the same time and settle at once: that shows in the ledger,
            # and must not be wiped.
            pipeline.watch(key)  # type: ignore[no-untyped-call]
            if group_exists(client, stream, group):
                return False
            info: Any = client.xinfo_stream(stream) if client.exists(stream) else None
            before = info["entries-added"] - info["length"] if info else 0
            pipeline.multi()
            pipeline.delete(key)
            if before:
                pipeline.hset(key, "before", str(before))
            pipeline.xgroup_create(stream, group, id=FIRST_ENTRY, mkstream=True)
            try:
                pipeline.execute()
            except redis.WatchError:
                continue
            except redis.ResponseError as exc:
                if "BUSYGROUP" in str(exc):
                    return False
                raise
            return True
    return False


def group_exists(client: redis.Redis, stream: str, group: str) -> bool:
    """Return whether the group is there."""
    with translated(f"looking for group {group} on {stream}"):
        try:
            found: Any = client.xinfo_groups(stream)
        except redis.ResponseError as exc:
            if "no such key" in str(exc):
                return False
            raise
    return any(row["name"] == group.encode() for row in found)


class GroupReader:
    """One consumer of one group on one or more streams."""

    def __init__(
        self,
        client: redis.Redis,
        streams: Sequence[StreamName],
        group: str,
        consumer: str,
        *,
        writes: Sequence[StreamName] = (),
    ) -> None:
        """Bind to a client that no other thread uses while a read blocks."""
        self._client = client
        self._reading = reading_client(client)
        self._line = Line(client)
        #: A line for what is read ahead: its answer must not stand before that of a settlement.
        self._line_ahead = Line(client)
        self.streams = tuple(streams)
        self.writes = tuple(writes)
        self.group = group
        self.consumer = consumer

    def prepare(self) -> None:
        """See to groups and functions. Cheap, and done again after every trouble: never cached.

        What is missing is made, if the user may. Raises NotAllowed when a right is missing without which
        nothing can be settled, and BusRefused with the remedy when somebody else has to make something first.
        """
        for stream in self.streams:
            self._prepare_group(stream)
        for stream in self.streams:
            if not self._may_settle(stream):
                self._load_functions()
                if not self._may_settle(stream):
                    msg = f"another version of dsmil has loaded its functions; {_REMEDY}"
                    raise BusRefused(msg)

    def _prepare_group(self, stream: StreamName) -> None:
        try:
            open_books(self._client, stream, self.group)
        except LoginRefused:
            raise
        except NotAllowed as exc:
            msg = f"group {self.group} on {stream} cannot be seen or made by this user ({exc}); {_REMEDY}"
            raise BusRefused(msg) from exc

    def _load_functions(self) -> None:
        try:
            load_functions(self._client)
        except NotAllowed as exc:
            msg = f"the server-side functions are missing or of another version; {_REMEDY}"
            raise BusRefused(msg) from exc

    def _may_settle(self, stream: StreamName) -> bool:
        """Return whether the right functions are there; raises NotAllowed when this user may not use them."""
        keys = [stream, ledger_key(stream, self.group), attempts_key(stream, self.group), DEAD_LETTERS]
        keys += [target for target in self.writes if target not in keys]
        try:
            with translated(f"asking to settle on {stream}"):
                reply: Any = self._client.execute_command(  # type: ignore[no-untyped-call]
                    "FCALL", "dsmil_settle", len(keys), *keys, self.group, self.consumer, "-", "+"
                )
        except LoginRefused:
            raise
        except NotAllowed as exc:
            msg = f"this user may not settle for {self.group} on {stream}: {exc}; {_RIGHTS}"
            raise NotAllowed(msg) from exc
        except BusRefused as exc:
            if "Function not found" in str(exc):
                return False
            raise
        if reply[0]:
            msg = f"this user may not settle for {self.group}: {reply[0].decode()} is refused; {_RIGHTS}"
            raise NotAllowed(msg)
        return bool(reply[2:] == [library_revision().encode()])

    def read_new(
        self, count: int, block_ms: int | None, streams: Sequence[StreamName] | None = None
    ) -> list[Entry]:
        """Return up to ``count`` entries of each stream that no consumer has had.

        Waits ``block_ms`` if there are none, or not at all when it is None. ``streams`` names those to read, by
        default all.
        """
        wait_ms = None if block_ms is None else max(block_ms, 1)
        return self._read(dict.fromkeys(streams or self.streams, ">"), count, wait_ms)

    def begin_read(self, count: int) -> None:
        """Ask for what :meth:`read_new` returns, without waiting: the broker reads while the caller works."""
        with translated(f"reading as {self.group}"):
            self._line_ahead.send(self._reading_words(dict.fromkeys(self.streams, ">"), count, None))

    def finish_read(self) -> list[Entry]:
        """Return the entries that were asked for by :meth:`begin_read`."""
        with translated(f"reading as {self.group}"):
            return _entries(self._line_ahead.read())

    def read_new_dated(self, count: int, block_ms: int, streams: Sequence[StreamName]) -> tuple[list[Entry], int]:
        """Return what :meth:`read_new` does, and the broker's time just before it, Unix milliseconds.

        Every entry that any stream gets from then on is of that time or later, unless the broker's clock is
        stepped back. The time is 0 when this user may not ask for it.
        """
        with translated(f"reading as {self.group}"):
            self._line.send(
                ([argument("TIME")], 1), self._reading_words(dict.fromkeys(streams, ">"), count, block_ms)
            )
            try:
                seconds, micros = self._line.read()
            except redis.exceptions.NoPermissionError:  # an ACL file of an earlier version
                seconds, micros = 0, 0
            reply = self._line.wait()
        return _entries(reply), int(seconds) * 1000 + int(micros) // 1000

    def read_own(self, stream: StreamName, after: str, count: int) -> list[Entry]:
        """Return entries this consumer already holds, with ids greater than ``after``."""
        return self._read({stream: after}, count, None)

    def _read(self, places: dict[StreamName, str], count: int, block_ms: int | None) -> list[Entry]:
        with translated(f"reading as {self.group}"):
            self._line.send(self._reading_words(places, count, block_ms))
            reply = self._line.read() if block_ms is None else self._line.wait()
        return _entries(reply)

    def wake(self) -> None:
        """End the wait for entries, now and from now on, with none; called from another thread."""
        self._line.wake()

    @property
    def cut(self) -> bool:
        """Whether a wait was ended: this consumer may hold entries then that it never got to see."""
        return self._line.cut

    def _reading_words(self, places: dict[StreamName, str], count: int, block_ms: int | None) -> Packed:
        waiting = () if block_ms is None else ("BLOCK", str(block_ms))
        words = ("XREADGROUP", "GROUP", self.group, self.consumer, "COUNT", str(count), *waiting, "STREAMS")
        words += (*(stream.value for stream in places), *places.values())
        return map(argument, words), len(words)

    def claim_idle(self, stream: StreamName, idle_ms: int) -> tuple[list[Entry], list[str]]:
        """Take over entries whose holder has not settled them for ``idle_ms``.

        Returns the entries, and the ids of those that were trimmed while pending: these are lost.
        """
        taken: list[Entry] = []
        lost: list[str] = []
        cursor = "0-0"
        while True:
            with translated(f"claiming on {stream}"):
                reply: Any = self._reading.execute_command(  # type: ignore[no-untyped-call]
                    "XAUTOCLAIM", stream, self.group, self.consumer, idle_ms, cursor, "COUNT", _CLAIM_PAGE
                )
            cursor = reply[0].decode() if isinstance(reply[0], bytes) else str(reply[0])
            taken += entries_of(stream, reply[1])
            lost += [i.decode() for i in reply[2]]
            if cursor == "0-0":  # an empty page is not the end, only this is
                return taken, lost

    def count_attempt(self, entry: Entry) -> int:
        """Count that ``entry`` is about to be handled alone; return how often that has happened now."""
        with translated("counting an attempt"):
            key = attempts_key(entry.stream, self.group)
            return int(self._client.hincrby(key, entry.entry_id, 1))

    def count_lost(self, stream: StreamName, number: int) -> None:
        """Count entries that were trimmed while they were pending."""
        with translated("counting lost entries"):
            self._client.hincrby(ledger_key(stream, self.group), "lost", number)

    def settle(self, stream: StreamName, verdicts: Sequence[Verdict]) -> Settled:
        """Settle entries of one stream in one fenced server-side call (several when the batch is large)."""
        return self.finish(self.begin([(stream, verdicts)]))[0]

    def begin(self, work: Sequence[tuple[StreamName, Sequence[Verdict]]]) -> Call:
        """Send what settles entries of each stream, and wait for no answer: the broker works meanwhile.

        :meth:`finish` reads the answer; nothing else may be asked before.
        """
        asked = []
        commands = []
        for number, (stream, verdicts) in enumerate(work):
            for part in parts(sorted(verdicts, key=_order)):
                keys = [stream.value, ledger_key(stream, self.group), attempts_key(stream, self.group)]
                keys.append(DEAD_LETTERS)
                commands.append(packed_settlement(keys, self.group, self.consumer, part))
                asked.append((number, part))
        with translated(f"settling as {self.group}"):
            self._line.send(*commands)
        return Call(len(work), asked)

    def finish(self, call: Call) -> list[Settled]:
        """Read the answers to a call that was begun: one for each stream, in order."""
        found = [Settled(0, frozenset(), "")] * call.streams
        for number, verdicts in call.asked:
            found[number] = found[number].and_then(self._answer(verdicts))
        return found

    def forget(self) -> None:
        """Drop the lines, and with them every answer that is still to come."""
        self._line.drop()
        self._line_ahead.drop()

    def _answer(self, verdicts: Sequence[Verdict]) -> Settled:
        try:
            with translated(f"settling as {self.group}"):
                reply: Any = self._line.read()
        except BusRefused as exc:
            if "Function not found" in str(exc):  # the broker was replaced or flushed of its functions
                self.forget()
                raise GroupLost(str(exc)) from exc
            return Settled(0, frozenset(v.entry.entry_id for v in verdicts), str(exc))
        done, error = int(reply[1]), reply[0].decode()
        missed = (v.entry.entry_id for v in verdicts) if not done else (i.decode() for i in reply[2:])
        return Settled(done, frozenset(missed), error)


class Call(msgspec.Struct, frozen=True):
    """A settlement whose answers are still to come."""

    #: How many streams it settles entries of.
    streams: int
    #: What was asked, in order: number of the stream, entries.
    asked: list[tuple[int, Sequence[Verdict]]]


def _entries(reply: Any) -> list[Entry]:  # noqa: ANN401 - a plain reply
    return [entry for _, entries in streams_of(reply) for entry in entries]


def _order(verdict: Verdict) -> tuple[int, int]:
    return id_order(verdict.entry.entry_id)
