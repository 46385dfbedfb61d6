"""Why an event is what it is: the recorded steps, put in order and in words."""

from __future__ import annotations

from typing import Any

from dsmil.fusion.explain_groups import explain_members
from dsmil.fusion.step import Step


def explain(soc: dict[str, Any], evidence: list[dict[str, Any]]) -> list[Step]:
    """Return the steps of a SOC event from its row and the raw rows of the events it rests on."""
    members = explain_members(_object(soc["payload"]), str(soc["correlation_id"] or "")) if is_group(soc) else []
    return [
        *(members or (_source(row) for row in evidence)),
        _detection(soc),
        _fusion(soc),
        *_escalation(soc),
        _publication(soc),
    ]


def is_group(soc: dict[str, Any]) -> bool:
    """Return whether a SOC event is one revision of what Layer 4 made of findings."""
    return soc["source_layer"] == 4 and bool(soc["correlation_id"])  # noqa: PLR2004 - the layer


def explain_raw(row: dict[str, Any]) -> list[Step]:
    """Return what is known of a raw event that has not become a SOC event."""
    return [_source(row)]


def _source(row: dict[str, Any]) -> Step:
    context = _object(row["context"])
    origin = context.get("origin") or "a producer that gave no place"
    return Step(
        stage="source",
        at=row["ingest_ts"],
        text=f"{row['source'] or 'unnamed source'} record from {origin}, published by device {row['device_id']}",
        detail={"event_id": row["event_id"], "event_time": row["ts"], "stream_id": row["stream_id"]}
        | ({"flags": context["flags"]} if context.get("flags") else {}),
    )


def _detection(soc: dict[str, Any]) -> Step:
    payload, context = _object(soc["payload"]), _object(soc["context"])
    rule = _object(payload.get("rule"))
    named = (
        f"rule {rule.get('id')} revision {rule.get('revision')}: {rule.get('name')}" if rule else "no rule named"
    )
    detail: dict[str, Any] = {"detector": payload.get("detector"), "rule": rule}
    for key in ("says", "sensor_severity", "matched", "tactics"):
        if payload.get(key):
            detail[key] = payload[key]
    if soc.get("score") is not None:
        detail["score"] = soc["score"]
    detail |= _features(payload.get("features"))
    for key in ("techniques", "entities", "evidence", "flags"):
        if context.get(key):
            detail[key] = context[key]
    return Step(
        stage="detection",
        text=f"device {soc['source_device']} (layer {soc['source_layer']}) found it, {named};"
        f" severity {soc['original_severity']}",
        detail=detail,
    )


def _features(listed: object) -> dict[str, str]:
    """Return what an analytic measured: feature -> its value, what it counts (0 to 1), and what it is."""
    said = {}
    for feature in map(_object, listed if isinstance(listed, list) else []):
        text = str(feature.get("value"))
        if feature.get("score") is not None:
            text += f", counts {feature['score']}"
        said[f"feature {feature.get('name')}"] = f"{text}: {feature['says']}" if feature.get("says") else text
    return said


def _fusion(soc: dict[str, Any]) -> Step:
    reading = _object(soc["shrink_metrics"])
    if not reading:
        text = "no operator reading young enough to use: severity stays as found"
    else:
        label = "recorded reading" if reading.get("recorded") else "reading"
        text = f"judged with a SHRINK {label} {_words(reading.get('age_s'))} s old"
    return Step(stage="fusion", text=text, detail={"signals": soc["signals"], "shrink_metrics": reading})


def _escalation(soc: dict[str, Any]) -> list[Step]:
    listed = soc["escalation"]
    reasons = [_object(reason) for reason in listed] if isinstance(listed, list) else []
    if not reasons:
        return [Step(stage="escalation", text=f"none: severity {soc['severity']} is the one that was found")]
    return [Step(stage="escalation", text=reason_text(reason), detail=reason) for reason in reasons]


def _publication(soc: dict[str, Any]) -> Step:
    entry = soc["stream_id"]
    milliseconds = str(entry or "").partition("-")[0]
    at = int(milliseconds) / 1000 if milliseconds.isdecimal() else None
    where = f"SOC_EVENTS entry {entry}" if entry else "written to the store directly"
    return Step(
        stage="publication",
        at=at,
        text=f"published as {soc['severity']}: {where}",
        detail={"event_id": soc["event_id"], "stream_id": entry},
    )


def _object(value: object) -> dict[str, Any]:
    """Return a JSON object as such, and anything else as an empty one: rows may be written by anybody's SQL."""
    return value if isinstance(value, dict) else {}


def _words(number: object) -> str:
    return f"{number:.1f}" if isinstance(number, int | float) else "?"


def reason_text(reason: dict[str, Any]) -> str:
    """Return an escalation reason as one sentence."""
    return (
        f"{reason.get('from')} -> {reason.get('to')} by {reason.get('rule')}:"
        f" {reason.get('metric')} {reason.get('value')} >= {reason.get('threshold')}"
    )
