"""Named steps of the product at which a process can be made to kill or freeze itself, from the test's side.

A point is ``step:before``, ``step:after`` or ``step:sent`` (the step's first command has left for the broker, its
reply has not been read). ``after`` a reading step counts only when something was read.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import redis.connection

from dsmil.infrastructure.groups import GroupReader
from dsmil.infrastructure.positions import Positions
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.infrastructure.store import Store
from dsmil.infrastructure.trimming import Trimmer
from dsmil.services import store_writer
from dsmil.services.intake import Intake
from dsmil.services.janitor import Janitor
from dsmil.services.runner import Runner
from dsmil.services.store_writer import StoreWriter
from dsmil.sources._follow import Follower

#: Step -> the function it is.
STEPS: Final[dict[str, tuple[type, str]]] = {
    "prepare": (GroupReader, "prepare"),
    "read_own": (GroupReader, "read_own"),
    "claim_idle": (GroupReader, "claim_idle"),
    "read_new": (GroupReader, "read_new"),
    "handle": (Runner, "_handle"),
    "count_attempt": (GroupReader, "count_attempt"),
    "settle": (GroupReader, "begin"),
    "settled": (GroupReader, "finish"),
    "open": (StoreWriter, "_open"),
    "look": (StoreWriter, "_look_around"),
    "read": (Intake, "take"),
    "write": (StoreWriter, "_write"),
    "follow": (Follower, "read"),
    "append": (RedisStreamsClient, "append"),
    "save": (Positions, "save"),
    "watch": (Janitor, "_watch"),
    "trim": (Trimmer, "trim"),
    "reap": (Trimmer, "reap"),
}
#: Steps whose ``after`` counts only when they returned something.
_READS: Final = {"read_own", "read_new", "read", "follow"}
_BOTH: Final = ("before", "after")
RUNNER: Final = (
    *(
        f"{step}:{when}"
        for step in ("prepare", "read_own", "claim_idle", "read_new", "handle", "settled")
        for when in _BOTH
    ),
    *(f"{step}:{when}" for step in ("count_attempt", "settle") for when in ("before", "sent", "after")),
)
WRITER: Final = (
    *(f"{step}:{when}" for step in ("open", "look", "read", "write") for when in _BOTH),
    *("rows:before", "position:before", "commit:before", "commit:after"),
)
JANITOR: Final = (
    *(f"watch:{when}" for when in _BOTH),
    *(f"{step}:{when}" for step in ("trim", "reap") for when in ("before", "sent", "after")),
)
INGEST: Final = (
    *("follow:before", "follow:after", "append:before", "append:sent", "append:after"),
    *("save:before", "save:after"),
)
#: Points that come once or twice in a life of a process; all others come with every batch.
SELDOM: Final = {
    point
    for point in (*RUNNER, *WRITER)
    if point.split(":")[0] in {"prepare", "read_own", "claim_idle", "open", "look"}
}
#: Points that come only when the process before died with entries in hand.
AFTER_DEATH: Final = {"read_own:after", *(point for point in RUNNER if point.startswith("count_attempt"))}


class Trap:
    """Springs at the n-th hit of a point: the process gets a signal that no code of its own can see."""

    def __init__(self, nth: int, number: signal.Signals, tell: Callable[[], object]) -> None:
        self._left = nth
        self._number = number
        self._tell = tell
        self._lock = threading.Lock()

    def hit(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._tell()
                os.kill(os.getpid(), self._number)
                time.sleep(0.05)  # a stop reaches the other threads first


def install(point: str, trap: Trap) -> None:
    """Spring ``trap`` at ``point``."""
    step, _, when = point.partition(":")
    if step == "rows":
        _wrap(store_writer, "statement", lambda *args: trap.hit() if args == ("insert_raw",) else None)
    elif step == "position":
        _wrap(store_writer, "statement", lambda *args: trap.hit() if args == ("move_position",) else None)
    elif step == "commit":
        _wrap_commit(when, trap)
    elif when == "sent":
        _wrap_sending(*STEPS[step], trap)
    else:
        _wrap_step(step, when, trap)


def _wrap(owner: Any, name: str, first: Callable[..., None]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        first(*args)
        return original(*args, **kwargs)

    setattr(owner, name, wrapped)


def _wrap_step(step: str, when: str, trap: Trap) -> None:
    owner, name = STEPS[step]
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            trap.hit()
        result = original(*args, **kwargs)
        if when == "after" and (result or step not in _READS):
            trap.hit()
        return result

    setattr(owner, name, wrapped)


def _wrap_commit(when: str, trap: Trap) -> None:
    original = Store.writing

    @contextlib.contextmanager
    def writing(self: Store, what: str) -> Iterator[Any]:
        ours = what.startswith("copying")  # not the housekeeper's heartbeats
        with original(self, what) as connection:
            yield connection
            if ours and when == "before":
                trap.hit()
        if ours and when == "after":
            trap.hit()

    Store.writing = writing  # type: ignore[method-assign]


def _wrap_sending(owner: Any, name: str, trap: Trap) -> None:
    inside = threading.local()
    original = getattr(owner, name)
    base: Any = redis.connection.AbstractConnection
    send = base.send_packed_command

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        inside.step = True
        try:
            return original(*args, **kwargs)
        finally:
            inside.step = False

    @functools.wraps(send)
    def sending(self: Any, command: Any, *args: Any, **kwargs: Any) -> Any:
        first, inside.step = getattr(inside, "step", False), False  # not what a new connection sends of its own
        result = send(self, command, *args, **kwargs)
        if first:
            trap.hit()
        return result

    setattr(owner, name, wrapped)
    base.send_packed_command = sending
