"""Records of network sensors, as their feeds give them, for tests of analytics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from dsmil.detections.analytics import Analytics
from dsmil.events import ids
from dsmil.events.handling import Delivery, Outcome, Publish
from dsmil.events.model import Entity, Event
from dsmil.events.streams import StreamName
from dsmil.testing.factories import make_event

#: Event time at which tests begin, Unix seconds: a full hour.
START = 1_699_999_200.0


def record(payload: dict[str, Any], ts: float, source: str = "zeek", **fields: Any) -> Event:
    event_id = ids.derived_id(ts, source, msgspec.json.encode(payload))
    given: dict[str, Any] = {"source_device": 5, "severity": "LOW", "event_id": event_id}
    return make_event(payload, ts=ts, source=source, **(given | fields))


def conn(at: float, src: str = "10.0.0.7", dst: str = "203.0.113.9", port: int = 443, **fields: Any) -> Event:
    payload = {"_path": "conn", "id.orig_h": src, "id.resp_h": dst, "id.resp_p": port, "proto": "tcp"}
    entities = (Entity("ip", src, "src"), Entity("ip", dst, "dest"))
    given = {"conn_state": "SF", "orig_bytes": 300, "resp_bytes": 500}
    return record(payload | given | fields, START + at, entities=entities)


def named(log: str, at: float, name: str, dst: str = "203.0.113.9", port: int = 443, **fields: Any) -> Event:
    payload = {"_path": log, "id.orig_h": "10.0.0.7", "id.resp_h": dst, "id.resp_p": port}
    field = "host" if log == "http" else "server_name"
    return record(payload | {field: name} | fields, START + at)


def lookup(at: float, name: str, src: str = "10.0.0.7", kind: str = "A", rcode: str = "NOERROR") -> Event:
    payload = {"_path": "dns", "id.orig_h": src, "id.resp_p": 53, "query": name}
    return record(payload | {"qtype_name": kind, "rcode_name": rcode}, START + at)


def deliver(events: Iterable[Event]) -> list[Delivery]:
    return [Delivery(stream=StreamName.L3_IN, entry_id=f"{n}-0", event=one) for n, one in enumerate(events, 1)]


def outputs(outcomes: Iterable[Outcome]) -> list[Event]:
    return [event for one in outcomes if isinstance(one, Publish) for _, event in one.outputs]


def findings(detector: Analytics, events: Iterable[Event], rule: str = "") -> list[Event]:
    found = outputs(detector.handle(deliver(events)))
    return [one for one in found if not rule or one.payload["rule"]["id"] == rule]


def feature(finding: Event, name: str) -> dict[str, Any]:
    (found,) = (one for one in finding.payload["features"] if one["name"] == name)
    return dict(found)
