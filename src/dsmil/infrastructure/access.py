"""What a role needs at the broker: commands on keys, and nothing else.

Each grant becomes a selector of its own, because rights that lie side by side would multiply: whoever may read
one stream and add to another must not be able to add to the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from dsmil.events.streams import DEAD_LETTERS, StreamName
from dsmil.infrastructure.groups import EPOCH_KEY, attempts_key, ledger_key
from dsmil.infrastructure.pressure import PRESSURE_KEY
from dsmil.infrastructure.trimming import SAVED_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: What every connection needs; AUTH is always allowed.
_CONNECTION: Final = ("ping", "client|setname")
_LOOK: Final = ("exists", "xinfo|stream", "xinfo|groups")


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Commands that may be used on keys; ``reads`` and ``writes`` are patterns of keys."""

    commands: tuple[str, ...]
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    def rules(self) -> str:
        """Return the rules in the broker's words."""
        words = ["-@all", *(f"+{command}" for command in self.commands)]
        for key in dict.fromkeys((*self.reads, *self.writes)):
            kind = ("R" if key in self.reads else "") + ("W" if key in self.writes else "")
            words.append(f"%{kind}~{key}")
        return " ".join(words)


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """One user of the broker."""

    #: Name without prefix.
    name: str
    #: For whom it is.
    about: str
    grants: tuple[Grant, ...]
    #: Commands without keys, beside those that every connection needs.
    keyless: tuple[str, ...] = ()

    @property
    def commands(self) -> list[str]:
        """Every command it may use, in alphabetical order."""
        return sorted({*_CONNECTION, *self.keyless, *(c for grant in self.grants for c in grant.commands)})

    def streams(self, *, written: bool) -> list[str]:
        """Return the streams whose entries it may read, or those it may add entries to."""
        held: set[str] = set()
        for grant in self.grants:
            if written and "xadd" in grant.commands:
                held.update(grant.writes)
            if not written and {"xread", "xreadgroup"} & set(grant.commands):
                held.update(grant.reads)
        return [name for name in (*StreamName, DEAD_LETTERS) if name in held]

    def line(self, prefix: str, password_hash: str, db: int = 0) -> str:
        """Return its line of the ACL file. ``password_hash`` is SHA-256 in hexadecimal digits."""
        keyless = (*_CONNECTION, *self.keyless, *((f"select|{db}",) if db else ()))
        root = f"resetchannels -@all {' '.join(f'+{command}' for command in keyless)}"
        selectors = " ".join(f"({grant.rules()})" for grant in self.grants)
        return f"user {prefix}{self.name} on #{password_hash} {root} {selectors}"


def consuming(
    group: str, reads: Sequence[str], writes: Sequence[str], *, remembers: bool = False
) -> tuple[Grant, ...]:
    """Return what the runner needs to read as ``group`` and to settle; see ``functions.lua``.

    One that ``remembers`` reads again what it was given since it kept its memory, of the data it is about.
    """
    counters = tuple(key(stream, group) for stream in reads for key in (ledger_key, attempts_key))
    outputs = tuple(dict.fromkeys((*map(str, writes), DEAD_LETTERS)))
    inputs = tuple(map(str, reads))
    settled = tuple(dict.fromkeys((*inputs, *counters, *outputs)))
    own = (*_LOOK, "xreadgroup", "xautoclaim", "xpending", "xack")
    again = (
        Grant(commands=("xrange",), reads=inputs),
        Grant(commands=("get", "set"), reads=(EPOCH_KEY,), writes=(EPOCH_KEY,)),
    )
    return (
        Grant(commands=own, reads=inputs, writes=inputs),
        *(again if remembers else ()),
        Grant(commands=("hincrby", "hdel", "exists"), reads=counters, writes=counters),
        Grant(commands=("xadd", "type"), writes=outputs),
        # The broker cannot know what a function does with its keys and asks for both rights on each; what it
        # does inside is checked against the other grants.
        Grant(commands=("fcall|dsmil_settle",), reads=settled, writes=settled),
    )


def copying(reads: Sequence[str]) -> tuple[Grant, ...]:
    """Return what the store writer needs."""
    return (
        Grant(commands=(*_LOOK, "xread"), reads=tuple(map(str, reads))),
        Grant(commands=("get", "set"), reads=(EPOCH_KEY,), writes=(EPOCH_KEY,)),
        Grant(commands=("hset", "hdel"), writes=(SAVED_KEY,)),
        # The broker asks for both rights on the keys of a function.
        Grant(commands=("fcall|dsmil_save",), reads=(SAVED_KEY,), writes=(SAVED_KEY,)),
        Grant(commands=("get",), reads=(PRESSURE_KEY,)),
        Grant(commands=("xadd",), writes=(DEAD_LETTERS,)),
    )


def keeping() -> tuple[Grant, ...]:
    """Return what the janitor needs: to remove from streams, not to add or to read entries."""
    streams = tuple(stream.value for stream in StreamName)
    inside = ("xtrim", "xpending", "xinfo|groups", "xinfo|consumers", "xgroup|delconsumer", "exists")
    called = ("fcall|dsmil_trim", "fcall|dsmil_reap")
    return (
        Grant(commands=inside, reads=streams, writes=streams),
        Grant(commands=("xtrim",), reads=(DEAD_LETTERS,), writes=(DEAD_LETTERS,)),
        Grant(commands=("hgetall",), reads=(SAVED_KEY,)),
        Grant(commands=called, reads=(*streams, SAVED_KEY), writes=(*streams, SAVED_KEY)),
        Grant(commands=("set",), writes=(PRESSURE_KEY,)),
        Grant(commands=("fcall|dsmil_tell",), reads=(PRESSURE_KEY,), writes=(PRESSURE_KEY,)),
    )


def alarming() -> tuple[Grant, ...]:
    """Return what the auditor needs: to see the books, and to raise findings of its own."""
    return (*looking(), Grant(commands=("xadd",), writes=(StreamName.L3_OUT.value,)))


def producing() -> tuple[Grant, ...]:
    """Return what reading log files needs: records in, dead letters for what is no record."""
    return (
        Grant(commands=("xadd",), writes=(StreamName.L3_IN.value, DEAD_LETTERS)),
        Grant(commands=("get",), reads=(PRESSURE_KEY,)),
    )


def emptying() -> tuple[Grant, ...]:
    """Return what moving Redis lists into the fabric needs, for the lists ``suricata`` and ``dsmil:from:*``."""
    lists = ("suricata", "dsmil:from:*", "dsmil:list:*")
    own = ("dsmil:list:*",)
    return (
        Grant(commands=("llen", "lmove"), reads=lists, writes=lists),
        Grant(commands=("get", "set", "del", "lrange"), reads=own, writes=own),
    )


def looking() -> tuple[Grant, ...]:
    """Return what people and monitoring need to see everything and to change nothing."""
    streams = (*(stream.value for stream in StreamName), DEAD_LETTERS)
    return (
        Grant(commands=(*_LOOK, "xread", "xrange", "xrevrange", "xlen"), reads=streams),
        # Groups are not known beforehand: anybody may read a stream with a group of his own.
        Grant(commands=("hgetall",), reads=(ledger_key("*", "*"), SAVED_KEY)),
        Grant(commands=("get",), reads=(PRESSURE_KEY,)),
    )


def preparing() -> tuple[Grant, ...]:
    """Return what making streams and groups needs."""
    streams = tuple(stream.value for stream in StreamName)
    ledgers = (ledger_key("*", "*"),)
    return (
        Grant(commands=(*_LOOK, "xgroup|create"), reads=streams, writes=streams),
        Grant(commands=("watch", "del", "hset"), reads=ledgers, writes=ledgers),
        Grant(commands=("hkeys", "hdel"), reads=(SAVED_KEY,), writes=(SAVED_KEY,)),
    )


def acl_lines(roles: Iterable[Role], prefix: str, hashes: dict[str, str], db: int = 0) -> list[str]:
    """Return the ACL file: nobody without a name, then one line for each role; ``hashes`` by user name."""
    # A file that leaves out the default user would leave it as it is built in: it may do everything.
    nobody = "user default off resetpass resetchannels -@all"
    return [nobody, *(role.line(prefix, hashes[prefix + role.name], db) for role in roles)]
