"""A wall clock for ages, which a step of the machine's clock cannot hurry.

What is deleted for its age is gone. So a clock that jumps ahead is not believed at once: time goes on as fast as
it passes, from the last moment at which both agreed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from dsmil import log

if TYPE_CHECKING:
    from collections.abc import Callable

#: The clock may be off by so much, seconds: a time service corrects that much without anybody's loss.
SLACK_S: Final = 60.0
#: A clock that says an earlier time was never set: machines without a battery start in 1970. 2025-01-01.
_NEVER_SET: Final = 1_735_689_600.0
#: How often the agreement is written down, seconds: no machine's clock drifts by SLACK_S in that time.
_WRITE_EVERY_S: Final = 3600.0
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """When wall clock and running time last agreed."""

    #: Which start of the machine; running times of another start mean nothing.
    boot: str
    #: Seconds since the machine started, sleep included.
    running: float
    #: Unix time then.
    wall: float
    #: Since when, by running time, the wall clock has said something else; None when it does not.
    doubted: float | None = None


def running_time() -> float:
    """Return the seconds since the machine started, sleep included where the system tells it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def boot_id() -> str:
    """Return a name for this start of the machine; empty where the system has none."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


class SteadyClock:
    """Call it for Unix seconds that never run ahead of the time that has really passed.

    A wall clock that is behind is followed at once: nothing is deleted too early by it. One that jumps ahead is
    believed after it has stood for ``believe_s``, the longest time that anything is kept: what is deleted then
    has reached its age by either clock. The agreement is kept in a file, so that a process started during the
    wrong time knows better; after a restart of the machine the wall clock is all there is, and is believed.
    """

    def __init__(
        self,
        path: Path,
        believe_s: float,
        *,
        wall: Callable[[], float] = time.time,
        running: Callable[[], float] = running_time,
        boot: Callable[[], str] = boot_id,
    ) -> None:
        """Take the file of the agreement; it is read and written when the clock is asked."""
        self._path = path
        self._believe_s = believe_s
        self._wall = wall
        self._running = running
        self._boot = boot()
        self._agreed: Agreement | None = None
        self._written = float("-inf")
        self._log = log.get("clock")

    def __call__(self) -> float:
        """Return the time by which ages are counted, Unix seconds."""
        wall, running = self._wall(), self._running()
        agreed = self._agreed or self._read()
        if agreed is None:
            self._agree(wall, running)
            return wall
        self._agreed = agreed
        steady = agreed.wall + running - agreed.running
        if abs(wall - steady) <= SLACK_S:
            if agreed.doubted is not None or running - self._written >= _WRITE_EVERY_S:
                self._agree(wall, running)
            return min(wall, steady)
        if steady < _NEVER_SET <= wall or (
            agreed.doubted is not None and running - agreed.doubted >= self._believe_s
        ):
            self._log.warning("clock.believed", wall=wall, by_running_time=steady)
            self._agree(wall, running)
            return wall
        if agreed.doubted is None:
            self._log.warning("clock.stepped", wall=wall, by_running_time=steady, off_by_s=round(wall - steady, 1))
            self._keep(msgspec.structs.replace(agreed, doubted=running))
        return min(wall, steady)

    def _agree(self, wall: float, running: float) -> None:
        self._keep(Agreement(boot=self._boot, running=running, wall=wall))

    def _keep(self, agreed: Agreement) -> None:
        self._agreed, self._written = agreed, self._running()
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.write_bytes(msgspec.json.encode(agreed))
            fresh.replace(self._path)
        except OSError as exc:
            self._log.warning("clock.not_written", path=str(self._path), cause=str(exc))

    def _read(self) -> Agreement | None:
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=Agreement)
        except (OSError, msgspec.MsgspecError):
            return None
        known = self._boot and found.boot == self._boot and found.running <= self._running()
        return found if known else None
