"""What a process runs: parts, each with a thread, a heartbeat and figures to show."""

from __future__ import annotations

import resource
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import msgspec

from dsmil.events import devices

if TYPE_CHECKING:
    import threading

    from dsmil.infrastructure.hotpath_db import HotPathDB


#: What a check says before the part has done anything.
STARTING = "not started"


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """How a part is doing now."""

    name: str
    device_id: int
    #: (stream, outcome) -> entries since start; outcome is a word of the ledger.
    outcomes: dict[tuple[str, str], int]
    #: (layer, severity) -> events put out since start.
    layers: dict[tuple[int, str], int]
    #: (operation, table) -> (transactions, seconds) since start.
    durations: dict[tuple[str, str], tuple[int, float]] = {}
    #: Metric -> values of its labels -> value; metrics are those of ``metric_names``.
    figures: dict[str, dict[tuple[str, ...], float]] = {}
    #: What else its heartbeat says.
    notes: dict[str, Any] = {}
    #: Check -> empty when it is fine, else what is wrong.
    checks: dict[str, str]

    @property
    def healthy(self) -> bool:
        """Whether every check is fine."""
        return not any(self.checks.values())


class Part(Protocol):
    """One service of a process."""

    @property
    def name(self) -> str:
        """Unique name, also for ``dsmil run``."""
        ...

    @property
    def device_id(self) -> int:
        """Device it speaks as."""
        ...

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; finish what is in hand, then return."""
        ...

    def wake(self) -> None:
        """Hear from another thread that ``stop`` is set, and end a wait for anything else."""
        ...

    def vitals(self) -> Vitals:
        """Return how it is doing; called from other threads."""
        ...

    def record(self, db: HotPathDB) -> None:
        """Write heartbeat and readings to the hot store; called every few seconds by the housekeeper."""
        ...

    def stats_line(self, uptime_s: int) -> str | None:
        """Return the line to log every 30 s, or None for none."""
        ...


def _status(problems: dict[str, str]) -> str:
    """Return the documented word: BUSY while a part is only starting."""
    if not problems:
        return "ONLINE"
    return "BUSY" if set(problems.values()) == {STARTING} else "ERROR"


def settled(outcomes: dict[tuple[str, str], int]) -> int:
    """Return how many entries were settled: every outcome but the counts beside it."""
    beside = {"outputs", "retried", "fenced", "expired"}
    return sum(count for (_, outcome), count in outcomes.items() if outcome not in beside)


def memory_mb() -> float:
    """Return the resident memory of this process, megabytes."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError):  # no procfs: the highest it ever was, in kilobytes or (macOS) bytes
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1024**2 if sys.platform == "darwin" else 1024)
    return pages * resource.getpagesize() / 1024**2


def record_heartbeat(db: HotPathDB, vitals: Vitals, *, tops_allocated: float | None = None) -> None:
    """Write a part's row of ``device_status``; memory is what its process holds, parts of one share it."""
    row = devices.device(vitals.device_id)
    done = settled(vitals.outcomes)
    dead = sum(count for (_, outcome), count in vitals.outcomes.items() if outcome in {"dead", "rejected"})
    problems = {name: text for name, text in vitals.checks.items() if text}
    db.update_device_status(
        device_id=row.device_id,
        layer=row.layer,
        name=row.name,
        status=_status(problems),
        memory_mb=memory_mb(),
        tops_allocated=tops_allocated,
        metadata={"service": vitals.name, "processed": done, "dead": dead, "problems": problems, **vitals.notes},
    )


class PlainPart(ABC):
    """What most parts share: a heartbeat from their vitals, and no statistics line."""

    #: Whether its work may come later than that of others; a process of such parts alone steps back for them.
    gives_way: ClassVar[bool] = False

    @abstractmethod
    def vitals(self) -> Vitals:
        """Return how the part is doing."""

    def record(self, db: HotPathDB) -> None:
        """Write the heartbeat."""
        record_heartbeat(db, self.vitals())

    def wake(self) -> None:  # noqa: B027 - most parts wait for ``stop`` itself, or for a second at most
        """Do nothing."""

    def stats_line(self, uptime_s: int) -> str | None:  # noqa: ARG002 - part of the protocol
        """Return no line: the metrics tell."""
        return None
