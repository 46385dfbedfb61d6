"""The SOC Router on a real broker and store, with a real SHRINK endpoint beside it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from dsmil.config import Settings
from dsmil.events.codec import decode_soc
from dsmil.events.model import SocEvent
from dsmil.events.streams import StreamName
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.soc_router import SOCRouter, SOCRouterConfig
from dsmil.services.store_writer import StoreWriter
from dsmil.testing.factories import make_event
from dsmil.testing.http import ShrinkStub
from dsmil.testing.running import Running
from dsmil.testing.waiting import until


def soc_events(bus: RedisStreamsClient) -> list[SocEvent]:
    rows: Any = bus.client.xrange("SOC_EVENTS")
    return [decode_soc(fields[b"event"]) for _, fields in rows]


@pytest.mark.parametrize(
    ("metrics", "severities"),
    [
        ({"crisis_level": 0.12, "risk_acute_stress": 0.35}, ["LOW", "MEDIUM", "HIGH", "CRITICAL"]),
        ({"crisis_level": 0.12, "risk_acute_stress": 0.7}, ["MEDIUM", "HIGH", "CRITICAL", "CRITICAL"]),
        ({"crisis_level": 0.8, "risk_acute_stress": 0.1}, ["CRITICAL"] * 4),
    ],
)
def test_escalates_as_documented_and_says_why(
    bus: RedisStreamsClient, settings: Settings, metrics: dict[str, float], severities: list[str]
) -> None:
    found = ["LOW", "MEDIUM", "HIGH", "CRITICAL"]
    with ShrinkStub(metrics) as shrink:
        router = SOCRouter(SOCRouterConfig(shrink_url=shrink.url), settings=settings)
        with Running(router):
            until(lambda: router.get_stats()["shrink"])
            bus.publish_many(StreamName.L3_OUT, [make_event(severity=severity) for severity in found])
            until(lambda: bus.client.xlen("SOC_EVENTS") == 4)
    events = soc_events(bus)
    assert [event.severity.value for event in events] == severities
    assert [event.original_severity.value for event in events] == found
    for event in events:
        assert bool(event.escalation) == (event.severity != event.original_severity)
        assert event.shrink_metrics is not None
        assert event.shrink_metrics.items() >= metrics.items()
        assert 0 <= event.shrink_metrics["age_s"] <= 3


def test_both_inputs_keep_id_unknown_fields_and_signals(bus: RedisStreamsClient, settings: Settings) -> None:
    l3 = make_event({"decision": "beacon"}, score=0.9).to_dict() | {"colour": "blue", "severity": "HIGH"}
    l4 = make_event({"label": "kill chain"}, source_device=27, source_layer=4, score=0.5, severity="LOW")
    bus.publish(StreamName.L3_OUT, l3)
    bus.publish(StreamName.L4_OUT, l4)
    with Running(SOCRouter(settings=settings)):
        until(lambda: bus.client.xlen("SOC_EVENTS") == 2)
    events = {event.event_id: event for event in soc_events(bus)}
    assert events.keys() == {l3["event_id"], l4.event_id}
    assert events[l3["event_id"]].extra == {"colour": "blue"}
    assert events[l3["event_id"]].signals == {"l3": {"decision": "beacon", "score": 0.9, "device_id": 16}}
    assert events[l4.event_id].signals == {"l4": {"label": "kill chain", "confidence": 0.5, "device_id": 27}}
    assert events[l4.event_id].shrink_metrics is None, "no reading is no escalation"


def test_stats_before_and_after_the_start(bus: RedisStreamsClient, settings: Settings) -> None:
    router = SOCRouter(SOCRouterConfig(redis_host="unused.invalid", redis_port=1))
    assert router.get_stats() == {
        "device_id": 52,
        "token_base": "0x809C",
        "layer": 8,
        "processed": 0,
        "published": 0,
        "uptime": 0.0,
        "shrink": False,
    }
    router = SOCRouter(settings=settings)
    bus.publish_many(StreamName.L3_OUT, [make_event(), make_event()])
    bus.append(StreamName.L3_OUT, [b"no event"])
    with Running(router):
        until(lambda: router.get_stats()["processed"] == 3)
        assert router.get_stats()["published"] == 2
        line = router.stats_line(123)
    assert line == "📊 Stats: uptime=123s, processed=3, published=2, shrink=❌"
    assert re.fullmatch(r"📊 Stats: uptime=\d+s, processed=\d+, published=\d+, shrink=[✅❌]", line)


def test_rows_reach_the_store_with_their_reasons(
    bus: RedisStreamsClient, settings: Settings, db: HotPathDB
) -> None:
    with ShrinkStub({"crisis_level": 0.91, "risk_acute_stress": 0.9, "entropy": 0.4}) as shrink:
        router = SOCRouter(SOCRouterConfig(shrink_url=shrink.url), settings=settings)
        with Running(router), Running(StoreWriter(settings)):
            until(lambda: router.get_stats()["shrink"])
            event = make_event(
                {"rule": {"id": "1", "name": "r"}}, severity="LOW", evidence=["e1"], techniques=["T1110"]
            )
            bus.publish(StreamName.L3_OUT, event)
            until(lambda: db.get_event(event.event_id)["soc"])
            until(lambda: router.get_stats()["published"] == 1)  # the store may have the row before it is counted
            router.record(db)
    rows = db.get_event(event.event_id)
    soc, raw = rows["soc"], rows["raw"]
    assert soc is not None
    assert raw is not None
    assert (raw["severity"], soc["severity"], soc["original_severity"]) == ("LOW", "CRITICAL", "LOW")
    assert soc["escalation"] == [
        {
            "rule": "shrink-crisis",
            "metric": "crisis_level",
            "value": 0.91,
            "threshold": 0.8,
            "from": "LOW",
            "to": "CRITICAL",
        }
    ]
    assert soc["context"]["evidence"] == ["e1"]
    assert soc["context"]["techniques"] == ["T1110"]
    assert soc["stream_id"] == bus.client.xrange("SOC_EVENTS")[0][0].decode()
    device = next(row for row in db.get_device_statuses() if row["device_id"] == 52)
    assert (device["status"], device["tops_allocated"]) == ("ONLINE", 10.0)
    assert device["memory_mb"] > 1
    assert db.refresh_layer_states()
    layer = next(row for row in db.get_layer_states() if row["layer"] == 8)
    assert (layer["active_devices"], layer["tops_used"], layer["event_count"]) == ([52], 10.0, 1)
    assert db.get_shrink_metrics(1)[0]["crisis_level"] == 0.91


def test_a_poisonous_shrink_does_not_slow_routing(bus: RedisStreamsClient, settings: Settings) -> None:
    with ShrinkStub(None) as shrink:  # accepts and never answers
        router = SOCRouter(SOCRouterConfig(shrink_url=shrink.url, shrink_poll_interval=0.05), settings=settings)
        with Running(router):
            bus.publish_many(StreamName.L3_OUT, [make_event(severity="LOW") for _ in range(500)])
            until(lambda: bus.client.xlen("SOC_EVENTS") == 500)
            until(lambda: router.shrink_problem)
    assert {event.severity.value for event in soc_events(bus)} == {"LOW"}
    assert json.loads(bus.client.xrange("SOC_EVENTS", count=1)[0][1][b"event"])["shrink_metrics"] is None
