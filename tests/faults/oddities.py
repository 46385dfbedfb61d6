"""What a process of these tests can be made to be, beside a mutant: on another host, at another time, or fragile.

A word of :func:`behave` is ``name`` or ``name:argument``. They are put into a process from outside; none is a
switch in the product.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import time
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.faults.mutants import MUTANTS

from dsmil.events.handling import Delivery, Outcome
from dsmil.infrastructure.steady_clock import SteadyClock
from dsmil.services.soc_router import SOCRouter

if TYPE_CHECKING:
    from tests.faults.rig import Rig


def behave(word: str) -> None:
    """Make this process what ``word`` says: a mutant, or one of the things here."""
    name, _, argument = word.partition(":")
    if name in MUTANTS:
        MUTANTS[name]()
    else:
        ODDITIES[name](argument)


@contextmanager
def odd(rig: Rig, word: str) -> Iterator[None]:
    """Let the processes that are started in the block behave so."""
    before = rig.crew._common["mutant"]
    rig.crew._common["mutant"] = word
    try:
        yield
    finally:
        rig.crew._common["mutant"] = before


def host(name: str) -> None:
    """Be on a host of another name, which has locks and sockets of its own."""
    socket.gethostname = lambda: name
    own = Path(os.environ["XDG_RUNTIME_DIR"]) / name
    own.mkdir(mode=0o700, exist_ok=True)
    os.environ["XDG_RUNTIME_DIR"] = str(own)


def clock(place: str) -> None:
    """Have a wall clock that is ahead by the seconds in a file, which may change at any time."""
    real = time.time

    def stepped() -> float:
        return real() + float(Path(place).read_text() or 0)

    time.time = stepped
    # Parts take `clock=time.time` as a default argument, which was bound when they were imported.
    for function in [found for found in gc.get_objects() if isinstance(found, types.FunctionType)]:
        for name, value in (function.__kwdefaults__ or {}).items():
            if value is real:
                function.__kwdefaults__ = {**(function.__kwdefaults__ or {}), name: stepped}


def wall_clock(place: str) -> None:
    """Delete by the wall clock, wherever it stands."""
    clock(place)
    SteadyClock.__call__ = lambda self: self._wall()  # type: ignore[method-assign]


def fragile(_argument: str) -> None:
    """Be a router that fails on an event with ``poison: raise`` in its payload, and dies of ``poison: die``."""
    handle = SOCRouter.handle

    def poisoned(self: SOCRouter, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        for delivery in batch:
            poison: Any = delivery.event.payload.get("poison")
            if poison == "raise":
                raise ValueError("poison")
            if poison == "die":
                os.kill(os.getpid(), signal.SIGKILL)
        return handle(self, batch)

    SOCRouter.handle = poisoned  # type: ignore[method-assign]


ODDITIES: Final[dict[str, Callable[[str], None]]] = {
    "host": host,
    "clock": clock,
    "wall_clock": wall_clock,
    "fragile": fragile,
}
