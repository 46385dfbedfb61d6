"""The SOC Router, device 52: fuses what Layers 3 and 4 say with operator state."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from dsmil import log
from dsmil.config import Settings
from dsmil.events import devices
from dsmil.events.handling import Delivery, Outcome
from dsmil.events.streams import StreamName
from dsmil.fusion.wire import Fusion
from dsmil.infrastructure.shrink import SHRINKClient, ShrinkPoller
from dsmil.services.part import Vitals, record_heartbeat, settled
from dsmil.services.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dsmil.infrastructure.hotpath_db import HotPathDB

__all__ = ["SHRINKClient", "SOCRouter", "SOCRouterConfig", "main"]

DEVICE_ID: Final = 52
#: Documented budget, tera-operations per second.
TOPS: Final = 10.0


class SOCRouterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one router; what is left None comes from the environment, as documented."""

    redis_url: str | None = None
    redis_host: str | None = None
    redis_port: int | None = None
    redis_db: int | None = None
    shrink_url: str | None = None
    #: Seconds.
    shrink_poll_interval: float | None = None
    batch_size: int | None = None
    #: Milliseconds.
    poll_timeout: int | None = None
    hotpath_db: str | None = None

    def settings(self, base: Settings | None = None) -> Settings:
        """Return the environment's settings with these on top."""
        chosen = base or Settings.from_env()
        given = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        if "poll_timeout" in given:
            given["poll_timeout_ms"] = given.pop("poll_timeout")
        if given.keys() & {"redis_host", "redis_port", "redis_db"}:
            given["redis_explicit"] = True
            given.setdefault("redis_url", "")
        return chosen.replace(**given)


class SOCRouter:
    """Reads ``L3_OUT`` and ``L4_OUT``, escalates by operator state, publishes ``SOC_EVENTS``."""

    name: ClassVar[str] = "soc-router"
    device_id: ClassVar[int] = DEVICE_ID
    reads: ClassVar[tuple[StreamName, ...]] = (StreamName.L3_OUT, StreamName.L4_OUT)
    writes: ClassVar[tuple[StreamName, ...]] = (StreamName.SOC_EVENTS,)

    def __init__(self, config: SOCRouterConfig | None = None, *, settings: Settings | None = None) -> None:
        """Take the configuration; nothing is connected or started yet."""
        self._settings = (config or SOCRouterConfig()).settings(settings)
        self._shrink = ShrinkPoller(self._settings.shrink_url, self._settings.shrink_poll_interval)
        self._runner = Runner(self, self._settings)
        self._started: float | None = None

    def handle(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Fuse each event with the reading of this moment."""
        outcome = Fusion(self._shrink.latest()).outcome
        return [outcome(delivery) for delivery in batch]

    def run(self, stop: threading.Event) -> None:
        """Route until ``stop`` is set, then finish the batch in hand."""
        self._started = time.monotonic()
        self._shrink.start()
        try:
            self._runner.run(stop)
        finally:
            self._shrink.stop()

    def wake(self) -> None:
        """Read no longer than it takes, once ``stop`` is set."""
        self._runner.wake()

    def get_stats(self) -> dict[str, Any]:
        """Return the documented figures; all are zero before the router is started."""
        outcomes = self._runner.outcomes
        outputs = sum(count for (_, outcome), count in outcomes.items() if outcome == "outputs")
        return {
            "device_id": self.device_id,
            "token_base": f"0x{devices.token_id(self.device_id):04X}",
            "layer": devices.device(self.device_id).layer,
            "processed": settled(outcomes),
            "published": outputs,
            "uptime": 0.0 if self._started is None else time.monotonic() - self._started,
            "shrink": self._shrink.ok,
        }

    def vitals(self) -> Vitals:
        """Return how the router is doing; SHRINK is optional, so its absence is no fault."""
        return self._runner.vitals()

    @property
    def shrink_problem(self) -> str:
        """Why there is no reading now; empty when there is one."""
        return "" if self._shrink.ok else self._shrink.problem or "no reading yet"

    def record(self, db: HotPathDB) -> None:
        """Write heartbeat and the SHRINK readings since the last time."""
        record_heartbeat(db, self.vitals(), tops_allocated=TOPS)
        for reading in self._shrink.take_readings():
            kept: dict[str, Any] = dict(reading.metrics)
            if reading.recorded:
                kept["recorded"] = True
            db.insert_shrink_metrics(kept, ts=reading.ts)

    def stats_line(self, uptime_s: int) -> str | None:
        """Return the documented line."""
        stats = self.get_stats()
        mark = "✅" if stats["shrink"] else "❌"
        return (
            f"📊 Stats: uptime={uptime_s}s, processed={stats['processed']},"
            f" published={stats['published']}, shrink={mark}"
        )


SERVICE = SOCRouter


def main(arguments: Sequence[str] = ()) -> int:
    """Run the router and the store writer in this process; with ``--router-only``, as the unit has it, no writer.

    Returns the process's exit code.
    """
    # Imported here: the host imports the catalogue, which imports this file.
    from dsmil.services.host import run_parts
    from dsmil.services.ports import listen

    parser = argparse.ArgumentParser(description="Run the SOC router and the store writer in one process.")
    parser.add_argument(
        "--router-only", action="store_true", help="leave the store writer to `dsmil run store-writer`"
    )
    chosen = parser.parse_args(arguments)
    settings = Settings.from_env()
    log.configure(settings.log_level, service=SOCRouter.name)
    parts = [SOCRouter.name] if chosen.router_only else [SOCRouter.name, "store-writer"]
    return run_parts(parts, settings, metrics_socket=listen())


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
