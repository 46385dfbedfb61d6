"""Gathering what is recorded about one event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil.events.handling import Delivery, Drop, Publish
from dsmil.events.model import Event, create_event
from dsmil.events.streams import StreamName
from dsmil.fusion.explain import explain, explain_raw, is_group
from dsmil.fusion.step import Step
from dsmil.services.catalogue import detector_classes

if TYPE_CHECKING:
    from dsmil.infrastructure.hotpath_db import HotPathDB

#: Records of evidence that get a step of their own: the newest. A finding may rest on many.
MOST_SOURCES: Final = 10


def find_steps(event_id: str, db: HotPathDB) -> list[Step] | None:
    """Return the steps of an event of the hot store, or None when it is not there."""
    rows = db.get_event(event_id)
    soc, raw = rows["soc"], rows["raw"]
    if soc is not None:
        if is_group(soc):
            return explain(soc, [])
        context = soc["context"] if isinstance(soc["context"], dict) else {}
        ids = [str(one) for one in context.get("evidence") or ()]
        older, ids = ids[:-MOST_SOURCES], ids[-MOST_SOURCES:]
        found = [db.get_event(one)["raw"] for one in ids]
        gone = [_gone(one) for one, row in zip(ids, found, strict=True) if row is None]
        return [*_unshown(older), *gone, *explain(soc, [row for row in found if row is not None])]
    if raw is not None:
        return [*explain_raw(raw), *_detections(raw, db)]
    return None


def _unshown(older: list[str]) -> list[Step]:
    if not older:
        return []
    text = f"{len(older)} older records that it rests on are named below, under evidence"
    return [Step(stage="source", text=text, detail={"event_id": older[-1]})]


def _gone(event_id: str) -> Step:
    text = f"record {event_id} is no longer in the hot store, or never was: raw records are kept 24 hours"
    return Step(stage="source", text=text, detail={"event_id": event_id})


def _detections(row: dict[str, Any], db: HotPathDB) -> list[Step]:
    """Ask each detector again: they are pure, so they say now what they said then.

    A detector that answers ``not_...`` reads another format, and has nothing to say of this record.
    """
    event = event_of(row)
    steps = []
    for name, kind in detector_classes().items():
        if StreamName.L3_IN not in kind.reads:
            continue
        delivery = Delivery(stream=StreamName.L3_IN, entry_id=row["stream_id"] or "0-0", event=event)
        outcome = kind().handle([delivery])[0]
        if isinstance(outcome, Publish):
            for _, finding in outcome.outputs:
                there = db.get_event(finding.event_id)["soc"] is not None
                state = f"published as SOC event {finding.event_id}" if there else "not in the SOC table (yet)"
                text = f"{name} makes a finding of it, {state}"
                steps.append(Step(stage="detection", text=text, detail={"event_id": finding.event_id}))
        elif not (isinstance(outcome, Drop) and outcome.reason.startswith("not_")):  # made for another format
            reason = outcome.reason if isinstance(outcome, Drop) else type(outcome).__name__
            steps.append(Step(stage="detection", text=f"{name} makes no finding of it: {reason}"))
    return steps


def event_of(row: dict[str, Any]) -> Event:
    """Return the event of a raw row."""
    context = row["context"] or {}
    event = create_event(
        source_device=row["device_id"],
        source_layer=row["layer"],
        category=row["category"],
        severity=row["severity"],
        payload=row["payload"],
        event_id=row["event_id"],
        ts=row["ts"],
        source=row["source"],
        compartment=row["compartment"],
        ingest_ts=row["ingest_ts"],
    )
    known = {name: context[name] for name in ("entities", "techniques", "evidence", "flags") if name in context}
    return msgspec.convert({**event.to_dict(), **known}, Event)
