"""How full memory is, known to everybody through one key at the broker.

The janitor measures and writes it; producers ask before they add, and keep what is refused. The key outlives
its writer only for a short while: without a janitor producers are let in, and the broker's own limit is the last.
"""

from __future__ import annotations

import time
from enum import IntEnum
from typing import Any, Final

import msgspec
import redis

from dsmil.errors import BusRefused, NotAllowed
from dsmil.infrastructure.connection import translated

PRESSURE_KEY: Final = "dsmil:pressure"
#: Seconds that the word of a janitor counts.
LIFETIME_S: Final = 30
#: Seconds between two looks of a producer.
_LOOK_S: Final = 1.0


class Level(IntEnum):
    """What the fullest memory asks for; each level includes those below it."""

    #: Entries are kept for their age.
    OPEN = 0
    #: Entries that nobody needs go at once, and snapshots are taken early.
    TIDY = 50
    #: People are told.
    WARN = 70
    #: Nothing new is let in.
    REFUSE = 85


#: Once refused, producers wait until it has fallen to this, so that the door does not flutter. Each hundredth is
#: some thousand entries that the slowest reader has to settle first: they wait no longer than is needed for that.
REOPEN: Final = 0.83
#: The broker's memory, which trimming frees. A full store (the other one) shuts no door: it delays rows, never
#: events, its file does not shrink by itself, and its retention keeps it at 80 %.
_BROKER: Final = "broker"
_STORE_FULL: Final = 0.85


class Pressure(msgspec.Struct, frozen=True, kw_only=True):
    """The word of the janitor."""

    level: int = Level.OPEN
    #: Which memory, and how full, in words.
    reason: str = ""
    #: Share in use, 0 to 1, by memory: ``broker``, ``store``.
    shares: dict[str, float] = {}

    @property
    def tidy(self) -> bool:
        """Whether the broker's memory asks that what nobody needs goes at once."""
        return self.shares.get(_BROKER, 0.0) * 100 >= Level.TIDY


def judge(shares: dict[str, float], before: int = Level.OPEN) -> Pressure:
    """Return the level that the fullest memory asks for; ``before`` is the level until now."""
    found = [(_level(name, share, before), share, name) for name, share in shares.items()]
    if not found:
        return Pressure()
    level, share, name = max(found)
    return Pressure(level=int(level), reason=f"the {name}'s memory is {share:.0%} full", shares=shares)


def _level(name: str, share: float, before: int) -> Level:
    if name != _BROKER:
        return Level.WARN if share >= _STORE_FULL else Level.OPEN
    level = max((level for level in Level if share * 100 >= level), default=Level.OPEN)
    return Level.REFUSE if before >= Level.REFUSE and share > REOPEN else level


def announce(client: redis.Redis, pressure: Pressure) -> None:
    """Tell everybody; raises Unavailable."""
    word = msgspec.json.encode(pressure)
    with translated("announcing the pressure"):
        try:
            client.set(PRESSURE_KEY, word, ex=LIFETIME_S)
        except redis.OutOfMemoryError as full:  # who frees memory waits for this word: snapshots are taken early
            try:
                client.execute_command("FCALL", "dsmil_tell", 1, PRESSURE_KEY, word, LIFETIME_S)  # type: ignore[no-untyped-call]
            except redis.exceptions.NoPermissionError:  # an ACL file of an earlier version
                raise full from None


def heard(client: redis.Redis) -> Pressure:
    """Return what the janitor last said; OPEN when there is none, or when this user may not ask."""
    try:
        with translated("asking for the pressure"):
            raw: Any = client.get(PRESSURE_KEY)
    except NotAllowed:  # an ACL file of an earlier version
        return Pressure()
    try:
        return msgspec.json.decode(raw or b"{}", type=Pressure)
    except msgspec.MsgspecError:
        return Pressure()


class Admission:
    """Asks on behalf of one producer, once a second at most."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._next = 0.0
        self._pressure = Pressure()

    def check(self, client: redis.Redis) -> None:
        """Raise BusRefused, which says why, while nothing new is let in."""
        now = time.monotonic()
        if now >= self._next:
            self._pressure = heard(client)
            self._next = now + _LOOK_S
        if self._pressure.level >= Level.REFUSE:
            reason = self._pressure.reason
            raise BusRefused(
                f"new events are refused: {reason}; keep them and try again, `dsmil status` says more"
            )
