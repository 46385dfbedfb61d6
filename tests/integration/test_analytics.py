"""Analytics from records on a real stream to the answer of ``dsmil why``."""

from __future__ import annotations

import random
from typing import Any

from tests.unit.analytics_events import conn, deliver, findings, lookup, outputs

from dsmil.config import Settings
from dsmil.detections.analytics import Analytics
from dsmil.events.model import Event
from dsmil.events.streams import StreamName
from dsmil.infrastructure.groups import ledger_key
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.runner import Runner
from dsmil.services.soc_router import SOCRouter, SOCRouterConfig
from dsmil.services.store_writer import StoreWriter
from dsmil.services.why import MOST_SOURCES, find_steps
from dsmil.testing.http import ShrinkStub
from dsmil.testing.running import Running
from dsmil.testing.waiting import until


def _records() -> list[Event]:
    beacon = [conn(300.0 * n, uid=f"C{n}") for n in range(120)]
    chance = random.Random(1)
    tunnel = [lookup(200.0 * n, f"{chance.getrandbits(160):x}.t.evil.example", kind="TXT") for n in range(150)]
    return sorted([*beacon, *tunnel], key=lambda event: event.ts)


def test_findings_reach_the_store_and_are_explained(
    bus: RedisStreamsClient, db: HotPathDB, settings: Settings
) -> None:
    records = _records()
    expected = findings(Analytics(), records)
    assert {one.payload["rule"]["id"] for one in expected} == {"beacon", "dns-tunnel"}
    bus.publish_many(StreamName.L3_IN, records)
    with ShrinkStub({}) as shrink:
        router = SOCRouter(SOCRouterConfig(shrink_url=shrink.url), settings=settings)
        with Running(Runner(Analytics(), settings)), Running(router), Running(StoreWriter(settings)):
            until(lambda: len(db.get_recent_soc_events(limit=100)) == len(expected))
            until(lambda: db.get_event(records[-1].event_id)["raw"] is not None)
            until(lambda: not _unsettled(bus))
    assert [event for _, event in bus.read(StreamName.L3_OUT, count=100)] == expected
    ledger = {
        k.decode(): int(v) for k, v in bus.client.hgetall(ledger_key(StreamName.L3_IN, "l3-analytics")).items()
    }
    silent = len(records) - ledger["published"]
    assert ledger == {"published": len(expected), "outputs": len(expected), "dropped:not_by_itself": silent}

    last = [one for one in expected if one.payload["rule"]["id"] == "beacon"][-1]
    steps = find_steps(last.event_id, db)
    assert steps is not None
    assert len([step for step in steps if step.stage == "source"]) == MOST_SOURCES + 1
    assert (
        steps[0].text
        == f"{len(last.evidence) - MOST_SOURCES} older records that it rests on are named below, under evidence"
    )
    (detection,) = (step for step in steps if step.stage == "detection")
    assert detection.detail["says"] == last.payload["says"]
    assert detection.detail["score"] == last.score
    assert detection.detail["feature interval"].startswith("1.0, counts 1.0: median 300 s")
    steps_of_record = find_steps(records[0].event_id, db)
    assert steps_of_record is not None
    assert not [step for step in steps_of_record if "l3-analytics" in step.text], "alone it tells nothing"


def test_a_detector_that_died_between_handling_and_settling_counts_nothing_twice(
    bus: RedisStreamsClient, settings: Settings
) -> None:
    """Its successor recalls a memory that knows the last events already, and is given them once more."""
    records = _records()
    first = Analytics()
    first.handle(deliver(records[:200]))
    second = Analytics()
    second.recall(first.memory())
    bus.publish_many(StreamName.L3_IN, records[100:])
    with Running(Runner(second, settings)):
        until(lambda: second.notes()["matters"] >= 2 and bus.client.xlen("L3_OUT") >= 1)
        until(lambda: int(bus.client.xinfo_groups("L3_IN")[-1]["lag"] or 0) == 0)
    through = Analytics()
    through.handle(deliver(records))
    assert second.memory() == through.memory()
    assert {one.event_id for one in outputs(through.handle(deliver(records)))} >= {
        event.event_id for _, event in bus.read(StreamName.L3_OUT, count=100)
    }


def test_a_detector_that_is_started_anew_says_what_one_that_never_stopped_would(
    bus: RedisStreamsClient, settings: Settings
) -> None:
    records = _records()
    expected = findings(Analytics(), records)
    for part in (records[:90], records[90:180], records[180:]):
        bus.publish_many(StreamName.L3_IN, part)
        with Running(Runner(Analytics(), settings)):
            until(lambda: bus.client.xinfo_groups("L3_IN")[-1]["lag"] == 0)
            until(lambda: bus.client.xinfo_groups("L3_IN")[-1]["pending"] == 0)
    assert [event for _, event in bus.read(StreamName.L3_OUT, count=100)] == expected


def _unsettled(bus: RedisStreamsClient) -> int:
    group: Any = next(g for g in bus.client.xinfo_groups(StreamName.L3_IN) if g["name"] == b"l3-analytics")
    return int(group["lag"] + group["pending"])
