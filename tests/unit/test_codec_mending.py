"""What is odd but usable is mended and flagged; what is unknown is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import UNSET

from dsmil.errors import EventInvalid
from dsmil.events import codec
from dsmil.events.model import Entity, Event, EventCategory, Severity, SocEvent

PLACE = codec.Fallback("L3_OUT/1700000000123-4", 1700000000.123)
MINIMAL: dict[str, Any] = {"event_id": "e-1", "ts": 1.5, "source_device": 15}


def decoded(**fields: Any) -> Event:
    return codec.decode(json.dumps(MINIMAL | fields).encode())


@pytest.mark.parametrize(
    ("given", "severity"),
    [
        ("LOW", Severity.LOW),
        ("MEDIUM", Severity.MEDIUM),
        ("HIGH", Severity.HIGH),
        ("CRITICAL", Severity.CRITICAL),
        ("critical", Severity.CRITICAL),
        (" High ", Severity.HIGH),
        ("INFO", Severity.LOW),
        ("info", Severity.LOW),
        ("MODERATE", Severity.MEDIUM),
        ("Moderate", Severity.MEDIUM),
    ],
)
def test_a_known_severity_leaves_no_flag(given: str, severity: Severity) -> None:
    event = decoded(severity=given, category="NETWORK")
    assert event.severity is severity
    assert event.flags == ()


@pytest.mark.parametrize("given", ["WEIRD", "", "5", 5, 1.5, True, [], {"a": 1}, "\uff28IGH"])
def test_an_unknown_severity_becomes_high_with_a_flag(given: Any) -> None:
    event = decoded(severity=given, category="NETWORK")
    assert event.severity is Severity.HIGH
    (flag,) = event.flags
    assert flag.startswith("unknown_severity:")


@pytest.mark.parametrize("given", ["WEIRD", "", 5, [], "NET WORK"])
def test_an_unknown_category_becomes_security_with_a_flag(given: Any) -> None:
    event = decoded(severity="LOW", category=given)
    assert event.category is EventCategory.SECURITY
    (flag,) = event.flags
    assert flag.startswith("unknown_category:")


def test_a_category_is_read_in_any_case() -> None:
    assert decoded(severity="LOW", category="auth").category is EventCategory.AUTH


def test_missing_severity_and_category_are_said_so() -> None:
    event = decoded()
    assert (event.severity, event.category) == (Severity.HIGH, EventCategory.SECURITY)
    assert event.flags == ("missing_severity", "missing_category")


def test_a_flag_quotes_no_more_than_forty_characters() -> None:
    (flag,) = decoded(severity="x" * 5000, category="NETWORK").flags
    assert flag == "unknown_severity:" + "x" * 40


def test_flags_come_after_those_that_were_there_and_only_once() -> None:
    once = decoded(severity="WEIRD", category="NETWORK", flags=["earlier"])
    assert once.flags == ("earlier", "unknown_severity:WEIRD")
    again = decoded(severity="WEIRD", category="NETWORK", flags=list(once.flags))
    assert again.flags == once.flags


def test_a_mended_event_is_clean_from_then_on() -> None:
    mended = decoded(severity="WEIRD")
    assert codec.decode(codec.encode(mended)) == mended


def test_documented_defaults_of_what_is_missing() -> None:
    event = decoded(severity="LOW", category="NETWORK")
    assert event.source_layer == 3
    assert event.token_id == 0x8000 + 3 * 15
    assert event.clearance == 0x03030303
    assert event.ingest_ts == event.ts == 1.5
    assert event.payload == {}
    assert event.source == ""
    assert event.compartment == "GENERAL"


@pytest.mark.parametrize(("device", "layer"), [(0, 3), (5, 3), (14, 3), (4, 2), (52, 8), (62, 9), (103, 3)])
def test_the_layer_of_a_device_stands_in_for_a_missing_one(device: int, layer: int) -> None:
    assert decoded(source_device=device).source_layer == layer


def test_a_stated_layer_is_believed() -> None:
    event = decoded(source_device=5, source_layer=4)
    assert (event.source_layer, event.clearance) == (4, 0x04040404)


def test_white_space_and_another_order_of_keys_change_nothing() -> None:
    event = decoded(severity="LOW", category="NETWORK", payload={"b": 1, "a": [1, 2]}, source="x")
    compact = codec.encode(event)
    fields = json.loads(compact)
    for text in (
        json.dumps(fields, indent=4),
        json.dumps(dict(reversed(fields.items()))),
        "\r\n\t " + json.dumps(fields, sort_keys=True, separators=(" , ", " : ")) + "\n",
        compact.decode().replace('"severity"', '"\\u0073everity"'),
    ):
        assert codec.decode(text.encode()) == event


def test_defaults_that_are_written_out_are_the_same_event() -> None:
    event = decoded(severity="LOW", category="NETWORK")
    spelled = json.loads(codec.encode(event)) | {"entities": [], "score": None, "flags": [], "origin": ""}
    assert codec.decode(json.dumps(spelled).encode()) == event


def test_entities_and_lists_keep_their_order() -> None:
    event = decoded(
        entities=[{"type": "ip", "value": "10.0.0.1", "role": "src"}, {"type": "host", "value": "h"}],
        techniques=["T1059.001", "T1003"],
        evidence=["b", "a"],
    )
    assert event.entities == (Entity("ip", "10.0.0.1", "src"), Entity("host", "h"))
    assert event.techniques == ("T1059.001", "T1003")
    assert event.evidence == ("b", "a")


@pytest.mark.parametrize("unknown", [None, 5, "text", [1, {"a": None}], {"b": {"c": 1.5}}, 2**70, ""])
@pytest.mark.parametrize("name", ["zz", "extra", "Severity", "", "ключ", "a\nb"])
def test_an_unknown_field_survives_a_round_trip(name: str, unknown: Any) -> None:
    event = decoded(**{name: unknown})
    assert event.extra == {name: unknown}
    raw = codec.encode(event)
    assert json.loads(raw)[name] == unknown
    assert codec.decode(raw) == event
    assert codec.encode(codec.decode(raw)) == raw


def test_a_document_without_unknown_fields_has_none() -> None:
    assert decoded().extra is UNSET


def test_what_is_unknown_of_an_entity_survives() -> None:
    entities = [{"type": "ip", "value": "10.0.0.1", "asn": 64500}, {"type": "host", "value": "h"}]
    event = decoded(entities=entities)
    assert event.entities == (Entity("ip", "10.0.0.1"), Entity("host", "h"))
    raw = codec.encode(event)
    assert json.loads(raw)["entities"] == entities
    assert codec.decode(raw) == event


def test_unknown_fields_survive_in_a_soc_event() -> None:
    soc = MINIMAL | {"original_severity": "LOW", "escalation": [], "signals": {"l3": {}}, "zz": [1], "extra": {}}
    event = codec.decode_soc(json.dumps(soc).encode())
    assert event.extra == {"zz": [1], "extra": {}}
    raw = codec.encode(event)
    again = codec.decode_soc(raw)
    assert isinstance(again, SocEvent)
    assert again == event
    assert json.loads(raw)["zz"] == [1]


def test_what_a_soc_event_may_leave_out() -> None:
    soc = MINIMAL | {"original_severity": "MEDIUM", "escalation": [], "signals": {}}
    event = codec.decode_soc(json.dumps(soc).encode())
    assert event.shrink_metrics is None
    assert event.l8_enrichment == {}
    assert event.original_severity is Severity.MEDIUM


def test_a_soc_document_read_as_an_event_keeps_the_judgement_as_unknown_fields() -> None:
    soc = MINIMAL | {"original_severity": "LOW", "escalation": [], "signals": {}}
    event = codec.decode(json.dumps(soc).encode())
    assert event.extra == {"original_severity": "LOW", "escalation": [], "signals": {}}


def test_identity_and_time_come_from_the_entry_when_there_are_none() -> None:
    raw = b'{"source_device":15}'
    event = codec.decode(raw, fallback=PLACE)
    assert (event.ts, event.ingest_ts) == (PLACE.ts, PLACE.ts)
    assert codec.decode(raw, fallback=PLACE) == event
    elsewhere = codec.Fallback("L3_OUT/1700000000123-5", PLACE.ts)
    assert codec.decode(raw, fallback=elsewhere).event_id != event.event_id


def test_what_a_document_says_wins_over_the_entry() -> None:
    event = codec.decode(json.dumps(MINIMAL).encode(), fallback=PLACE)
    assert (event.event_id, event.ts) == ("e-1", 1.5)
    assert event.ingest_ts == PLACE.ts


def test_a_null_id_is_a_bad_id_not_a_missing_one() -> None:
    with pytest.raises(EventInvalid) as caught:
        codec.decode(b'{"source_device":15,"event_id":null}', fallback=PLACE)
    assert caught.value.cause == "bad_field"
