"""Findings and what correlators make of them, for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from dsmil.events import codec
from dsmil.events.handling import Delivery, Drop, Publish
from dsmil.events.model import Entity, Event
from dsmil.events.streams import StreamName
from dsmil.testing.factories import make_event

T0 = 1_790_000_000.0


def finding(n: int, *entities: str, ts: float = 0.0, rule: str = "r1", **fields: Any) -> Event:
    """Return finding number ``n`` about entities such as ``host:web1``, ``ts`` seconds after the start."""
    payload = {"detector": "l3-test", "rule": {"id": rule, "name": f"Rule {rule}", "revision": "1"}}
    named = [Entity(*one.split(":", 1)) for one in entities]
    common: dict[str, Any] = {"event_id": f"e{n:05}", "ts": T0 + ts, "ingest_ts": T0 + ts, "entities": named}
    return make_event({**payload, **fields.pop("payload", {})}, **{**common, **fields})


def feed(handler: Any, events: Iterable[Event]) -> list[Event]:
    """Return what a correlator publishes."""
    found: list[Event] = []
    for event in events:
        (outcome,) = handler.handle([Delivery(stream=StreamName.L3_OUT, entry_id="1-0", event=event)])
        if isinstance(outcome, Publish):
            found += [made for _, made in outcome.outputs]
        else:
            assert isinstance(outcome, Drop)
    return found


def digest(events: Sequence[Event]) -> str:
    """Return one digest of all outputs, as they go to the wire."""
    return hashlib.sha256(b"\n".join(codec.encode(event) for event in events)).hexdigest()
