"""Removing from streams what every reader has settled and every store has saved, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import redis

from dsmil.errors import BusRefused, NotAllowed
from dsmil.events.streams import DEAD_LETTERS
from dsmil.infrastructure.connection import translated
from dsmil.infrastructure.groups import library_revision, load_functions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dsmil.events.streams import StreamName

#: Hash at the broker: ``store|stream`` -> entry id up to which that store has a snapshot on disk.
SAVED_KEY: Final = "dsmil:saved"
#: As far as it is safe, whatever the age.
ALL: Final = "+"
#: Entries of one call: the server does nothing else meanwhile.
_CHUNK: Final = 10_000
_LIBRARY: Final = "dsmil_janitor"


class Trimmed(msgspec.Struct, frozen=True):
    """What one call removed."""

    removed: int
    #: Entries before this id may go; ``0-0`` when none may.
    bound: str
    #: Who keeps the rest: ``group NAME``, ``store NAME``, or empty when it is kept for its age.
    holder: str


def saved_field(store: str, stream: str) -> str:
    """Return the field of :data:`SAVED_KEY` for a store and a stream."""
    return f"{store}|{stream}"


def saved_positions(client: redis.Redis) -> dict[str, dict[str, str]]:
    """Return, by stream and store, the entry id up to which the store's newest snapshot has everything."""
    try:
        with translated("asking what is saved"):
            rows: Any = client.hgetall(SAVED_KEY)
    except NotAllowed:  # an ACL file of an earlier version
        return {}
    found: dict[str, dict[str, str]] = {}
    for field, entry_id in rows.items():
        store, _, stream = field.decode(errors="replace").rpartition("|")
        found.setdefault(stream, {})[store] = entry_id.decode(errors="replace")
    return found


def save_position(client: redis.Redis, store: str, stream: str, entry_id: str | None) -> None:
    """Note up to where a store's newest snapshot has a stream; None when there is no such snapshot any more."""
    field = saved_field(store, stream)
    with translated("announcing the snapshot"):
        if entry_id is None:
            client.hdel(SAVED_KEY, field)
            return
        try:
            client.hset(SAVED_KEY, field, entry_id)
        except redis.OutOfMemoryError:  # it is what lets the janitor free some
            client.execute_command("FCALL", "dsmil_save", 1, SAVED_KEY, field, entry_id)  # type: ignore[no-untyped-call]


class Trimmer:
    """Trims streams at one broker."""

    def __init__(self, client: redis.Redis) -> None:
        """Take a client of one's own."""
        self._client = client

    def prepare(self) -> None:
        """See to the server-side functions; raises NotAllowed, or BusRefused with the remedy."""
        if self._revision() == library_revision(_LIBRARY):
            return
        try:
            load_functions(self._client)
        except NotAllowed as exc:
            msg = "the server-side functions are missing or of another version; run `dsmil init` as the admin user"
            raise BusRefused(msg) from exc

    def _revision(self) -> str:
        try:
            reply = self._call("asking for the janitor's functions", "dsmil_trim", 0)
        except NotAllowed:
            raise
        except BusRefused:  # not there
            return ""
        return reply.decode() if isinstance(reply, bytes) else ""

    def trim(self, stream: StreamName, groups: Sequence[str], *, oldest: str, copied: bool) -> Trimmed:
        """Remove entries before ``oldest`` (an id, or :data:`ALL`) that nobody needs any more; one chunk of them.

        ``groups`` are those of services, which hold back even when they have read nothing yet; ``copied``
        says that stores copy the stream, so that what no snapshot has is kept.
        """
        arguments = (stream.value, SAVED_KEY, oldest, _CHUNK, "1" if copied else "0", *groups)
        removed, bound, holder = self._call(f"trimming {stream}", "dsmil_trim", 2, *arguments)
        return Trimmed(int(removed), bound.decode(), holder.decode())

    def trim_letters(self, oldest: str) -> int:
        """Remove dead letters before ``oldest``; return how many."""
        with translated(f"trimming {DEAD_LETTERS}"):
            return int(self._client.xtrim(DEAD_LETTERS, minid=oldest, approximate=False))

    def reap(self, stream: StreamName, group: str, idle_s: float) -> list[str]:
        """Remove consumers that hold nothing and were not heard of for ``idle_s``; return their names."""
        arguments = (stream.value, group, int(idle_s * 1000))
        gone = self._call(f"reaping consumers of {group}", "dsmil_reap", 1, *arguments)
        return [name.decode() for name in gone]

    def _call(self, what: str, function: str, *arguments: str | int) -> Any:  # noqa: ANN401 - a plain reply
        with translated(what):
            return self._client.execute_command("FCALL", function, *arguments)  # type: ignore[no-untyped-call]
