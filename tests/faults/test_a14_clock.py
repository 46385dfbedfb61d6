"""A14: the machine's clock is set an hour and a day ahead and back while everything runs."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from tests.faults import checker
from tests.faults.brokers import binaries
from tests.faults.crew import HOLDING
from tests.faults.oddities import odd
from tests.faults.others import janitor
from tests.faults.report import Row, Tier
from tests.faults.rig import Rig

from dsmil.testing.waiting import until

_HOUR: Final = 3600
_STUCK_S: Final = 60.0
#: Retention and trimming in a hurry, and what a dead consumer held is claimed early.
_OFTEN: Final = {
    "dsmil.services.store_writer:_RETENTION_EVERY_S": 0.5,
    "dsmil.services.runner:CLAIM_IDLE_MS": 5000,
}
_STEPS: Final = (_HOUR, 0, -_HOUR, 0, 24 * _HOUR, 0, -24 * _HOUR, 0)
#: A library that gives a program of others another clock; not everybody has it.
_FAKETIME: Final = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
_RAW: Final = "SELECT event_id FROM raw_events_fast"


class Clock:
    """One wrong clock for the services and, where there is a library for it, for the broker too."""

    def __init__(self, folder: Path) -> None:
        #: Seconds ahead, for the services.
        self.path = folder / "ahead"
        self._broker = folder / "ahead-broker"
        self.step(0)

    def step(self, seconds: int) -> None:
        """Be ahead of the true time by so much from now on."""
        for path, text in ((self.path, str(seconds)), (self._broker, f"{seconds:+d}s\n")):
            fresh = path.with_suffix(".new")
            fresh.write_text(text)
            fresh.replace(path)

    def server(self) -> Path:
        """Return a program that is the bundled broker under this clock."""
        program = self.path.with_name("broker")
        variables = {
            "LD_PRELOAD": str(_FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._broker),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
        program.write_text(f'#!/bin/sh\nexec env {settings} {shlex.quote(str(binaries()["bundled"]))} "$@"\n')
        program.chmod(0o700)
        return program


@pytest.mark.scenario("A14 clock stepped")
def test_clock_stepped(make_rig: Callable[..., Rig], tier: Tier, row: Row, tmp_path: Path) -> None:
    """Broker and services share the wrong clock, as on one machine. Routers die and the writer is killed in it."""
    if _FAKETIME is None:
        assert not os.environ.get("CI"), "install the package faketime"
        pytest.skip("no library that steps the broker's clock (package faketime)")
    clock = Clock(tmp_path)
    with make_rig(server=clock.server(), constants=_OFTEN) as rig:
        with odd(rig, f"clock:{clock.path}"):
            routers = [rig.router(f"router-{n}") for n in range(2)]
            store = rig.store()
            janitor(rig)
        load = rig.load(rate=1000)
        rig.flowing()
        for _ in range(tier.pick(1, 5)):
            for offset in _STEPS:
                earlier = {event_id for (event_id,) in checker.rows(rig.settings, _RAW)}
                clock.step(offset)
                row.injected += 1
                until(lambda offset=offset: abs(_ahead(rig) - offset) < 5, 10, "the broker's clock")  # type: ignore[misc]
                started = time.monotonic()
                victim = rig.chance.choice(routers)
                victim.add(HOLDING)
                victim.kill()
                store.kill()
                rig.flowing(_STUCK_S)
                rows = len(checker.rows(rig.settings, _RAW))
                until(lambda rows=rows: len(checker.rows(rig.settings, _RAW)) > rows, _STUCK_S, "new rows")  # type: ignore[misc]
                row.recovered(time.monotonic() - started)
                rig.accept(load, tier.pick(1500, 5000))
                assert earlier <= {event_id for (event_id,) in checker.rows(rig.settings, _RAW)}
        rig.crew.play_out(60)
        row.judge(rig.finish(load, drain_s=_STUCK_S))
        row.note = f"{len(load.accepted)} entries, {sum(len(router.deaths) for router in routers)} routers killed"
        assert (row.lost, row.duplicated) == (0, 0)
        assert (row.recovery_s or 0) <= _STUCK_S


def _ahead(rig: Rig) -> float:
    seconds, _ = rig.client.time()
    return seconds - time.time()


@pytest.mark.scenario("A14 the suite sees retention by the wall clock")
def test_retention_by_the_wall_clock_is_seen(make_rig: Callable[..., Rig], row: Row, tmp_path: Path) -> None:
    place = tmp_path / "offset"
    place.write_text("0")
    with make_rig(constants=_OFTEN, mutant=f"wall_clock:{place}") as rig:
        rig.router()
        rig.store()
        load = rig.load()
        load.finish()
        until(rig.at_rest, 30, "rest")
        place.write_text(str(25 * _HOUR))
        row.injected = 1
        until(lambda: not checker.rows(rig.settings, _RAW), 30, "the wrong deletes")
        assert not checker.rows(rig.settings, _RAW)
