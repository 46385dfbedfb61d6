"""A8: a consumer is off for long while events come and the janitor trims in a hurry: nothing unread goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.faults.others import auditor, janitor
from tests.faults.report import Row, Tier
from tests.faults.rig import DETECTOR, ROUTER, Rig
from tests.faults.witness import Witness

from dsmil.events.streams import StreamName
from dsmil.infrastructure.pressure import Level, heard
from dsmil.testing.waiting import until


@pytest.mark.scenario("A8 detector off")
def test_consumer_off(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    with make_rig() as rig, Witness(rig, ("L3_IN", "L3_OUT", "SOC_EVENTS")):
        load = rig.load(stream=StreamName.L3_IN)
        detector = rig.detector()
        rig.router()
        rig.store()
        rig.flowing()
        detector.freeze()
        row.injected = 1
        janitor(rig)
        used: Any = rig.client.info("memory")["used_memory"]
        rig.client.config_set("maxmemory", str(int(used / 0.6)))
        until(lambda: heard(rig.client).level >= Level.TIDY, 20, "the janitor to be in a hurry")
        until(lambda: rig.client.xlen("SOC_EVENTS") < rig.put_out(), 60, "the janitor to trim")
        ends = time.monotonic() + tier.pick(25, 1800)
        while time.monotonic() < ends:
            rig.accept(load, 500)
            held: Any = rig.client.info("memory")["used_memory"]
            rig.client.config_set("maxmemory", str(int(held / 0.6)))
        detector.thaw()
        row.recovered(rig.flowing())
        row.note = f"{len(load.accepted)} entries"
        row.judge(rig.finish(load, hops=(DETECTOR, ROUTER), drain_s=tier.pick(60, 3600)))
        assert not int(rig.client.hget("dsmil:ledger:L3_IN:l3-suricata-alert", "lost") or 0)


ALARM_S = 60.0


@pytest.mark.scenario("A8 detector off: the alarm")
def test_alarm(make_rig: Callable[..., Rig], row: Row) -> None:
    with make_rig() as rig:
        load = rig.load(stream=StreamName.L3_IN)
        detector = rig.detector()
        rig.flowing(stream="L3_OUT")
        auditor(rig)
        detector.freeze()
        row.injected = 1
        started = time.monotonic()
        until(lambda: any(b"reader_stalled" in fields[b"event"] for fields in _newest(rig)), 120, "the alarm")
        row.recovered(time.monotonic() - started)
        detector.thaw()
        load.finish()
        row.note = "time to the alarm"
        assert (row.recovery_s or 0) <= ALARM_S


def _newest(rig: Rig) -> list[dict[bytes, bytes]]:
    rows: Any = rig.client.xrevrange("L3_OUT", count=50)
    return [fields for _, fields in rows]
