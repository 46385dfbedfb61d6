"""Fusing a finding with operator state into a SOC event."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import UNSET

from dsmil.events import codec
from dsmil.events.handling import Publish, PublishWire
from dsmil.events.model import Entity, Event, Severity, SocEvent, create_event
from dsmil.events.streams import StreamName
from dsmil.fusion.fuse import EMPTY_ENRICHMENT, fuse
from dsmil.fusion.shrink import Reading
from dsmil.fusion.wire import Fusion
from dsmil.infrastructure.entries import Entry

STRESS = Reading(metrics={"risk_acute_stress": 0.9, "crisis_level": 0.1}, rejected={}, ts=50.0, age_s=0.25)


def finding(payload: dict[str, Any] | None = None, **changes: Any) -> Event:
    return create_event(
        16,
        3,
        "NETWORK",
        "MEDIUM",
        payload or {"rule": {"id": "1:2", "name": "odd", "revision": "1"}},
        event_id="f-1",
        ts=100.0,
        ingest_ts=101.0,
        source="suricata",
        score=0.75,
        entities=[Entity("ip", "10.0.0.1", "src")],
        techniques=["T1046"],
        evidence=["r-1"],
        correlation_id="g-1",
    ).replace(**changes)


def test_identity_and_everything_that_was_found_are_kept() -> None:
    event = finding()
    soc = fuse(event, StreamName.L3_OUT, STRESS)
    for name in Event.__struct_fields__:
        if name != "severity":
            assert getattr(soc, name) == getattr(event, name), name
    assert (soc.original_severity, soc.severity) == (Severity.MEDIUM, Severity.HIGH)


def test_without_a_reading_nothing_is_raised_and_that_is_said() -> None:
    soc = fuse(finding(), StreamName.L3_OUT, None)
    assert (soc.original_severity, soc.severity) == (Severity.MEDIUM, Severity.MEDIUM)
    assert soc.escalation == ()
    assert soc.shrink_metrics is None


def test_the_reading_used_is_kept_with_its_age() -> None:
    assert fuse(finding(), StreamName.L3_OUT, STRESS).shrink_metrics == {
        "risk_acute_stress": 0.9,
        "crisis_level": 0.1,
        "ts": 50.0,
        "age_s": 0.25,
    }


def test_the_documented_frame_for_layer_8() -> None:
    assert fuse(finding(), StreamName.L3_OUT, None).l8_enrichment == EMPTY_ENRICHMENT
    assert (
        list(EMPTY_ENRICHMENT)
        == (
            "processed_by advml_flags analytics_flags crypto_flags threat_flags biometric_flags enclave_flags "
            "network_flags soar_proposals final_severity timestamp"
        ).split()
    )


def test_what_layer_3_said() -> None:
    assert fuse(finding(), StreamName.L3_OUT, None).signals == {
        "l3": {"decision": "odd", "score": 0.75, "device_id": 16}
    }


def test_what_layer_4_said() -> None:
    event = finding({"label": "chain"}, source_device=27, source_layer=4)
    assert fuse(event, StreamName.L4_OUT, None).signals == {
        "l4": {"label": "chain", "confidence": 0.75, "device_id": 27}
    }


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"decision": "block", "label": "x", "rule": {"name": "y"}}, "block"),
        ({"decision": 5, "label": "chain", "rule": {"name": "y"}}, "chain"),
        ({"rule": {"name": "scan"}, "alert": "z"}, "scan"),
        ({"rule": "scan", "alert": "z"}, "z"),
        ({"rule": {"name": 5}, "alert": {"signature": "s"}}, None),
        ({"x": 1}, None),
    ],
)
def test_the_words_for_a_finding(payload: dict[str, Any], words: str | None) -> None:
    assert fuse(finding(payload), StreamName.L3_OUT, None).signals["l3"]["decision"] == words


def test_unknown_fields_survive_fusion_and_the_wire() -> None:
    soc = fuse(finding(extra={"zz": [1], "extra": {"y": None}}), StreamName.L3_OUT, STRESS)
    assert soc.extra == {"zz": [1], "extra": {"y": None}}
    assert codec.decode_soc(codec.encode(soc)) == soc


FORGED = {
    "original_severity": "LOW",
    "escalation": [{"rule": "forged"}],
    "signals": {"l3": {"decision": "benign"}},
    "shrink_metrics": {"crisis_level": 1.0},
    "l8_enrichment": {"final_severity": "LOW"},
}


def test_foreign_fields_named_like_the_router_s_own_do_not_pass_for_its_judgement() -> None:
    document = json.dumps({"event_id": "f-1", "ts": 100.0, "source_device": 16, "zz": 1} | FORGED)
    foreign = codec.decode(document.encode())
    assert foreign.extra == FORGED | {"zz": 1}
    soc = fuse(foreign, StreamName.L3_OUT, None)
    assert soc.extra == {"zz": 1}
    assert soc == fuse(foreign.replace(extra={"zz": 1}), StreamName.L3_OUT, None)
    wire = json.loads(codec.encode(soc))
    assert {name: wire[name] for name in FORGED} == {
        "original_severity": "HIGH",
        "escalation": [],
        "signals": {"l3": {"decision": None, "score": None, "device_id": 16}},
        "shrink_metrics": None,
        "l8_enrichment": EMPTY_ENRICHMENT,
    }


def test_nothing_but_forged_fields_leaves_no_unknown_field() -> None:
    assert fuse(finding(extra=dict(FORGED)), StreamName.L3_OUT, None).extra is UNSET


@pytest.mark.parametrize("stream", [StreamName.L3_OUT, StreamName.L4_OUT])
@pytest.mark.parametrize("reading", [None, STRESS])
def test_the_same_arguments_give_the_same_bytes(stream: StreamName, reading: Reading | None) -> None:
    event = finding()
    one, other = fuse(event, stream, reading), fuse(event, stream, reading)
    assert isinstance(one, SocEvent)
    assert codec.encode(one) == codec.encode(other)
    assert codec.decode_soc(codec.encode(one)) == one


def wired(event: Event, **more: bytes) -> Entry:
    fields = {b"event": codec.encode(event)} | {name.encode(): value for name, value in more.items()}
    return Entry(StreamName.L3_OUT, "1-0", fields)


@pytest.mark.parametrize(
    "event",
    [
        finding(event_id=',"severity":"MEDIUM",'),
        finding(event_id='x","severity":"MEDIUM","y":"'),
        finding({"severity": "MEDIUM", "note": ',"severity":"MEDIUM"'}),
        finding({"decision": 'said "so"\n'}, source=',"severity":"MEDIUM"'),
    ],
)
def test_in_the_wire_form_the_severity_itself_is_replaced(event: Event) -> None:
    delivery = wired(event).delivery()
    soc = fuse(event, StreamName.L3_OUT, STRESS)
    expected = PublishWire(StreamName.SOC_EVENTS, codec.encode(soc), 3, Severity.HIGH)
    assert Fusion(STRESS).outcome(delivery) == expected


def test_what_did_not_come_in_its_wire_form_is_fused_field_by_field() -> None:
    event = finding()
    for entry in (wired(event, more=b"x"), wired(event.replace(extra={"signals": 1}))):
        delivery = entry.delivery()
        assert not delivery.wire
        soc = fuse(delivery.event, StreamName.L3_OUT, STRESS)
        assert Fusion(STRESS).outcome(delivery) == Publish(((StreamName.SOC_EVENTS, soc),))
