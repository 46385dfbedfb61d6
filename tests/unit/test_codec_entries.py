"""Stream entries by foreign hands: the documented field, flat fields, and both."""

from __future__ import annotations

import json

import pytest

from dsmil.errors import EventInvalid
from dsmil.events import codec
from dsmil.events.model import Event, EventCategory, Severity
from dsmil.events.streams import StreamName
from dsmil.infrastructure.redis_streams import RedisStreamsClient

PLACE = codec.Fallback("L3_OUT/1700000000123-4", 1700000000.123)
FLAT: dict[bytes, bytes] = {b"source_device": b"15", b"severity": b"CRITICAL", b"category": b"CRYPTO"}


def entry(fields: dict[bytes, bytes], max_bytes: int = codec.MAX_EVENT_BYTES) -> Event:
    return codec.decode_entry(fields, max_bytes=max_bytes, fallback=PLACE)


def cause_of(fields: dict[bytes, bytes], max_bytes: int = codec.MAX_EVENT_BYTES) -> str:
    with pytest.raises(EventInvalid) as caught:
        entry(fields, max_bytes)
    return caught.value.cause


def test_the_documented_field_alone_is_the_document() -> None:
    raw = b'{"event_id":"e-1","ts":1.5,"source_device":15,"payload":{"a":1}}'
    assert entry({b"event": raw}) == codec.decode(raw, fallback=PLACE)


def test_flat_fields_are_an_event_of_the_entry_s_identity() -> None:
    event = entry(FLAT)
    assert event.source_device == 15
    assert event.severity is Severity.CRITICAL
    assert event.category is EventCategory.CRYPTO
    assert event.ts == PLACE.ts
    assert entry(FLAT) == event


def test_flat_fields_get_the_types_of_the_event() -> None:
    event = entry(
        FLAT
        | {
            b"event_id": b"e-9",
            b"ts": b"1.25",
            b"ingest_ts": b"2",
            b"score": b"0.5",
            b"source_layer": b"4",
            b"token_id": b"0x809C",
            b"clearance": b"0x04040404",
            b"payload": b'{"a": [1, null]}',
            b"entities": b'[{"type":"ip","value":"10.0.0.1"}]',
            b"techniques": b'["T1059"]',
            b"evidence": b'["e-0"]',
            b"flags": b"[]",
            b"source": b"probe",
            b"compartment": b"SIGNALS",
        }
    )
    assert (event.event_id, event.ts, event.ingest_ts, event.score) == ("e-9", 1.25, 2.0, 0.5)
    assert (event.source_layer, event.token_id, event.clearance) == (4, 0x809C, 0x04040404)
    assert event.payload == {"a": [1, None]}
    assert [e.value for e in event.entities] == ["10.0.0.1"]
    assert (event.techniques, event.evidence, event.flags) == (("T1059",), ("e-0",), ())
    assert (event.source, event.compartment) == ("probe", "SIGNALS")


def test_a_payload_in_words_becomes_an_object() -> None:
    assert entry(FLAT | {b"payload": "дверь open".encode()}).payload == {"text": "дверь open"}


def test_unknown_flat_fields_stay_text_and_survive() -> None:
    event = entry(FLAT | {b"sensor": b"42", b"extra": b"x"})
    assert event.extra == {"sensor": "42", "extra": "x"}
    assert codec.decode(codec.encode(event)) == event


def test_a_document_beside_flat_fields_is_one_event() -> None:
    event = entry({b"event": b'{"source_device":15,"severity":"LOW"}', b"sensor": b"s-1", b"score": b"0.25"})
    assert (event.source_device, event.severity, event.score) == (15, Severity.LOW, 0.25)
    assert event.extra == {"sensor": "s-1"}


def test_a_field_both_in_the_document_and_beside_it_is_a_repeated_key() -> None:
    assert (
        cause_of({b"event": b'{"source_device":15,"severity":"CRITICAL"}', b"severity": b"LOW"}) == "duplicate_key"
    )


@pytest.mark.parametrize(
    ("document", "cause"),
    [
        (b"{", "malformed_json"),
        (b"[]", "not_an_object"),
        (b'{"a":1,"a":2}', "duplicate_key"),
        (b'{"a":"\\ud800"}', "lone_surrogate"),
        (b"[" * 2000, "too_deep"),
    ],
)
def test_a_bad_document_is_refused_alone_and_beside_flat_fields(document: bytes, cause: str) -> None:
    assert cause_of({b"event": document}) == cause
    assert cause_of({b"event": document} | FLAT) == cause


@pytest.mark.parametrize("fields", [{b"source_device": b"\xff"}, {b"\xff": b"x"}, {b"sensor": b"\xed\xa0\x80"}])
def test_flat_bytes_that_are_not_utf8(fields: dict[bytes, bytes]) -> None:
    assert cause_of(FLAT | fields) == "bad_utf8"


def test_a_document_that_is_not_utf8() -> None:
    assert cause_of({b"event": b'{"a":"\xff"}'}) == "bad_utf8"
    assert cause_of({b"event": b'{"a":"\xff"}', b"sensor": b"x"}) == "bad_utf8"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"source_device", b"fifteen"),
        (b"source_device", b""),
        (b"source_device", b"15.0"),
        (b"source_device", b"104"),
        (b"source_device", b"9" * 5000),
        (b"source_layer", b"99"),
        (b"ts", b"yesterday"),
        (b"ts", b"nan"),
        (b"ts", b"inf"),
        (b"ts", b"1e999"),
        (b"score", b"nan"),
        (b"score", b"2"),
        (b"token_id", b"-1"),
        (b"entities", b"{}"),
        (b"event_id", b""),
    ],
)
def test_a_flat_field_that_does_not_fit(name: bytes, value: bytes) -> None:
    assert cause_of(FLAT | {name: value}) == "bad_field"


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (b'{"a":1,"a":2}', "duplicate_key"),
        (b'{"a":', "malformed_json"),
        (b'{"a":NaN}', "not_finite"),
        (b'{"a":"\\ud800"}', "lone_surrogate"),
        (b"[" * 2000, "too_deep"),
    ],
)
def test_a_bad_flat_payload_keeps_its_cause(value: bytes, cause: str) -> None:
    assert cause_of(FLAT | {b"payload": value}) == cause


@pytest.mark.parametrize("name", [b"source_device", b"source_layer", b"token_id", b"clearance"])
@pytest.mark.parametrize("digits", [b"0x" + b"f" * 5000, b"-0x" + b"f" * 5000, b"0b" + b"1" * 20_000])
def test_a_number_that_python_cannot_even_print(name: bytes, digits: bytes) -> None:
    """Only decimal digits have a limit when read; printing has one for all, and error texts print."""
    assert cause_of(FLAT | {name: digits}) == "bad_field"


@pytest.mark.parametrize("text", ["T1059, T1046", "T1059,T1046", '["T1059", "T1046"]', ",T1059,, T1046 ,"])
def test_a_flat_list_is_json_or_words_with_commas(text: str) -> None:
    event = entry(FLAT | {b"techniques": text.encode(), b"evidence": b"e-0", b"flags": b""})
    assert (event.techniques, event.evidence, event.flags) == (("T1059", "T1046"), ("e-0",), ())


def test_an_entry_without_fields_is_no_event() -> None:
    assert cause_of({}) == "bad_field"


def test_the_size_of_flat_fields_counts_names_and_values() -> None:
    fields = FLAT | {b"sensor": b"x" * 100}
    size = sum(len(name) + len(value) for name, value in fields.items())
    assert entry(fields, max_bytes=size).source_device == 15
    assert cause_of(fields, max_bytes=size - 1) == "too_large"


def test_the_order_of_flat_fields_does_not_matter() -> None:
    assert entry(dict(reversed(FLAT.items()))) == entry(FLAT)


def test_flat_fields_added_by_a_plain_client_are_read_from_the_bus(bus: RedisStreamsClient) -> None:
    bus.client.xadd("L3_OUT", {"source_device": "15", "severity": "INFO", "payload": '{"alert":"odd"}'})
    bus.client.xadd("L3_OUT", {"event": json.dumps({"source_device": 16, "severity": "WEIRD"})})
    (_, first), (_, second) = bus.read(StreamName.L3_OUT)
    assert (first.severity, first.payload) == (Severity.LOW, {"alert": "odd"})
    assert (second.severity, second.source_device) == (Severity.HIGH, 16)
    assert [event.event_id for _, event in bus.read(StreamName.L3_OUT)] == [first.event_id, second.event_id]


def test_a_flat_field_given_twice_is_not_believed(bus: RedisStreamsClient) -> None:
    """Streams keep both; taking the last turns CRITICAL into LOW, as with a repeated JSON key."""
    fields = ("severity", "CRITICAL", "severity", "LOW", "source_device", "15")
    bus.client.execute_command("XADD", "L3_OUT", "*", *fields)
    assert [event for _, event in bus.read(StreamName.L3_OUT) if event.severity is Severity.LOW] == []
