"""What a process runs: parts, each with a thread, a heartbeat and figures to show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from dsmil.events import devices

if TYPE_CHECKING:
    import threading

    from dsmil.infrastructure.hotpath_db import HotPathDB


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

    def vitals(self) -> Vitals:
        """Return how it is doing; called from other threads."""
        ...

    def record(self, db: HotPathDB) -> None:
        """Write heartbeat and readings to the hot store; called every few seconds by the housekeeper."""
        ...

    def stats_line(self, uptime_s: int) -> str | None:
        """Return the line to log every 30 s, or None for none."""
        ...


def record_heartbeat(db: HotPathDB, vitals: Vitals) -> None:
    """Write a part's row of ``device_status``."""
    row = devices.device(vitals.device_id)
    done = sum(vitals.outcomes.values())
    problems = {name: text for name, text in vitals.checks.items() if text}
    db.update_device_status(
        device_id=row.device_id,
        layer=row.layer,
        name=row.name,
        status="ERROR" if problems else "ONLINE",
        metadata={"service": vitals.name, "processed": done, "problems": problems},
    )
