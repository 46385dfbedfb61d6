"""A7: the broker's memory runs out: nothing is evicted, producers keep theirs, and it drains by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pytest
import redis
from tests.faults import checker
from tests.faults.load import Load
from tests.faults.others import janitor, log_of, producer
from tests.faults.report import Row, Tier
from tests.faults.rig import Rig
from tests.faults.test_a1_ingest import write
from tests.faults.witness import Witness

from dsmil.errors import BusRefused
from dsmil.events.model import create_event
from dsmil.events.streams import EVENT_FIELD, StreamName
from dsmil.infrastructure.pressure import Level, heard
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.testing.waiting import until

#: Producers must be let in again this long after the readers go on, seconds. The short tier, on cores that it
#: shares with its own producers, allows more: 30 s (door) and 31 s (limit) were seen there. Entries go when all
#: have read them, and the correlators read some thousands a second, the slowest of all.
NORMAL_S: Final = 10.0
_MB: Final = 1 << 20


@pytest.mark.scenario("A7 memory full")
@pytest.mark.parametrize("foreign", [False, True], ids=["door", "limit"])
def test_memory_full(make_rig: Callable[..., Rig], tier: Tier, row: Row, foreign: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """``door``: producers that ask. ``limit``: also one that does not ask and fills memory to its very end."""
    with make_rig() as rig:
        rig.client.config_set("maxmemory", str(tier.pick(48, 128) * _MB))
        log = rig.folder / "eve.json"
        lines = write(log, 1, 100)
        with Witness(rig):
            readers = [rig.router(), rig.detector()]
            rig.store()
            janitor(rig)
            ingest = rig.crew.add("ingest", "ingest", "suricata-eve", str(log), "--follow")
            load = producer(rig, rate=tier.pick(20_000, 40_000), most=500)
            for _ in range(tier.pick(2, 3)):
                rig.flowing()
                for reader in readers:
                    reader.freeze()
                until(lambda: heard(rig.client).level >= Level.REFUSE, tier.pick(60, 240), "the door to be shut")
                lines = write(log, lines, 2000)
                failures = load.failures
                until(lambda failures=failures: load.failures > failures, 10, "a refusal")  # type: ignore[misc]
                until(lambda: "new events are refused" in log_of(ingest), 20, "ingest to say why it waits")
                with RedisStreamsClient(settings=rig.settings) as bus, pytest.raises(BusRefused, match=r"% full"):
                    bus.publish_many("L3_OUT", [create_event(16, 3, "NETWORK", "LOW", {"copy": -1})])
                if foreign:
                    load.accepted |= _fill(rig)
                row.injected += 1
                started, accepted = time.monotonic(), len(load.accepted)
                for reader in readers:
                    reader.thaw()
                until(partial(_let_in, load, accepted), tier.pick(120, 600), "a producer to be let in")
                row.recovered(time.monotonic() - started)
            info: Any = rig.client.info()
            row.note = f"{len(load.accepted)} entries, {load.failures} refusals"
            assert info["evicted_keys"] == 0
            load.finish()
            wanted = set(range(1, lines))
            # Before the services are stopped: an ingest that was refused tries again after a pause.
            until(lambda: {r[0] for r in checker.rows(rig.settings, _FLOWS)} == wanted, 120, "every line")
            row.judge(rig.finish(load, drain_s=tier.pick(120, 600)))
        assert (row.recovery_s or 0) <= tier.pick(10 * NORMAL_S, NORMAL_S)


def _let_in(load: Load, accepted: int) -> bool:
    return len(load.accepted) > accepted


_FLOWS: Final = "SELECT DISTINCT payload ->> '$.flow_id' FROM raw_events_fast WHERE source = 'suricata'"


def _fill(rig: Rig) -> dict[int, str]:
    """Add entries as a program that knows no door, until the broker itself refuses; return what it took."""
    maker = Load(rig.settings, rig.chance)
    # Far from the numbers of the other producer, and of an earlier round.
    copies = maker._copies = 50_000_000 + rig.chance.randrange(1000) * 1_000_000
    taken: dict[int, str] = {}
    while True:
        copies += 1
        event_id = maker._next_id()
        try:
            rig.client.xadd(StreamName.L3_OUT.value, {EVENT_FIELD: maker._body(copies, event_id)})
        except redis.exceptions.OutOfMemoryError:
            return taken
        taken[copies] = event_id
