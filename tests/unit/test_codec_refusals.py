"""What is no event is refused, with the cause by which it is counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dsmil.errors import EventInvalid
from dsmil.events import codec
from dsmil.events.streams import StreamName
from dsmil.fusion.fuse import fuse
from dsmil.testing.factories import make_event

GOOD: dict[str, Any] = {
    "event_id": "e-1",
    "ts": 1700000000.5,
    "source_device": 15,
    "source_layer": 3,
    "category": "NETWORK",
    "severity": "HIGH",
    "payload": {"a": 1},
}
#: Values of the wrong type, or out of range.
BAD: dict[str, list[Any]] = {
    "source_device": ["15", 15.5, 15.0, True, None, [], {}, -1, 104, 2**64, -(2**70)],
    "source_layer": ["3", 3.5, None, [], -3, 0, 1, 10, 2**64],
    "payload": [None, [], "text", 5, True],
    "event_id": [None, "", 5, "x" * 201, ["e"]],
    "ts": ["now", None, -1, -0.001, 2**38, 10**39, True, []],
    "ingest_ts": ["now", None, -1, 2**38, {}],
    "token_id": ["0x8000", None, -1, 1.5, 2**63, 2**64, 10**39],
    "clearance": ["SECRET", None, -1, 2**63, 2**64],
    "score": ["0.5", -0.1, 1.1, True, 10**39],
    "source": [None, 5, ["suricata"]],
    "compartment": [None, 5],
    "correlation_id": [None, 5],
    "origin": [None, 5],
    "entities": ["ip", {}, [5], [{"type": "ip"}], [{"type": 5, "value": "x"}]],
    "techniques": ["T1059", [5], {}],
    "evidence": ["e-0", [None]],
    "flags": [5, [5], {"a": 1}],
}


def document(**changes: Any) -> bytes:
    return json.dumps(GOOD | changes).encode()


def with_payload(text: str | bytes) -> bytes:
    inner = text.encode() if isinstance(text, str) else text
    return b'{"event_id":"e-1","ts":1.5,"source_device":15,"payload":' + inner + b"}"


def cause_of(raw: bytes, *, max_bytes: int = codec.MAX_EVENT_BYTES) -> str:
    with pytest.raises(EventInvalid) as caught:
        codec.decode(raw, max_bytes=max_bytes)
    with pytest.raises(EventInvalid) as bare:
        codec.parse_object(raw, max_bytes=max_bytes)
    assert bare.value.cause == caught.value.cause
    return caught.value.cause


def refusal(raw: bytes) -> EventInvalid:
    with pytest.raises(EventInvalid) as caught:
        codec.decode(raw)
    return caught.value


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b'{"a":',
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":1}{"b":2}',
        b'{"a":1} x',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":0x10}',
        b'{"a":tru}',
        b'{"a":"\x01"}',
        b'{"a":"\\x"}',
        b'{"a":"open}',
        b"{a:1}",
        b"plain text",
        b"\xef\xbb\xbf{}",
        b"\x00",
    ],
)
def test_text_that_is_not_json(raw: bytes) -> None:
    assert cause_of(raw) == "malformed_json"


@pytest.mark.parametrize("raw", [b"null", b"true", b"5", b"1.5", b'"text"', b"[]", b'[{"a":1}]', b" [ ] "])
def test_json_that_is_not_an_object(raw: bytes) -> None:
    assert cause_of(raw) == "not_an_object"


@pytest.mark.parametrize("raw", [b'{"a":"\xff"}', b'{"\xc3":1}', b'{"a":"\xed\xa0\x80"}', b"\xff\xfe{}"])
def test_bytes_that_are_not_utf8(raw: bytes) -> None:
    """The third is a surrogate as CESU-8 writes it."""
    assert cause_of(raw) == "bad_utf8"


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "[1,2e400]", '{"x":NaN}'])
def test_numbers_json_does_not_have(text: str) -> None:
    assert cause_of(with_payload(text)) == "not_finite"


@pytest.mark.parametrize("text", ["9" * 5000, "-" + "9" * 5000, '{"x":[' + "1" * 4301 + "]}"])
def test_integers_of_thousands_of_digits(text: str) -> None:
    assert cause_of(with_payload(text)) == "bad_number"


@pytest.mark.parametrize("digits", [19, 20, 41, 100, 4300, 4301, 5000])
@pytest.mark.parametrize("sign", ["", "-"])
def test_white_space_does_not_change_whether_an_integer_is_too_long(digits: int, sign: str) -> None:
    number = sign + "9" * digits
    for text in (f'{{"n":{number}}}', f'{{ "n" : {number} }}'):
        if digits > 4300:
            assert cause_of(with_payload(text)) == "bad_number"
        else:
            assert str(codec.decode(with_payload(text)).payload["n"]) == number


@pytest.mark.parametrize(
    "text", ['"\\ud800"', '"\\udfff"', '{"\\ud83d":1}', '["\\ude00\\ud83d"]', '{"a":[{"b":"x\\udc00y"}]}']
)
def test_half_a_surrogate_pair(text: str) -> None:
    assert cause_of(with_payload(text)) == "lone_surrogate"


def test_a_whole_surrogate_pair_is_one_character() -> None:
    event = codec.decode(with_payload('{"a":"\\ud83d\\ude00"}'))
    assert event.payload == {"a": "\U0001f600"}


@pytest.mark.parametrize(
    "raw",
    [
        b'{"severity":"CRITICAL","severity":"LOW"}',
        document()[:-1] + b',"severity":"LOW"}',
        document()[:-1] + b',"event_id":"e-1"}',
        document()[:-1] + b',"zz":1,"zz":1}',
        with_payload('{"a":1,"a":2}'),
        with_payload('{"a":{"b":[{"c":1,"d":2,"c":3}]}}'),
        with_payload('{"a":1,"\\u0061":2}'),
        with_payload('{"":1,"":1}'),
        document()[:-1] + b',"entities":[{"type":"ip","value":"10.0.0.1","value":"10.0.0.2"}]}',
        document()[:-1] + b',"zz":{"y":1,"y":1}}',
    ],
)
def test_a_key_that_occurs_twice_in_one_object(raw: bytes) -> None:
    assert cause_of(raw) == "duplicate_key"


def test_the_same_key_in_two_objects_is_fine() -> None:
    payload = '{"a":{"a":1},"b":[{"a":1},{"a":2}]}'
    assert codec.decode(with_payload(payload)).payload == json.loads(payload)


@pytest.mark.parametrize("opener", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [33, 100, 2000, 100_000])
@pytest.mark.parametrize("closed", [True, False])
def test_nesting_deeper_than_allowed(opener: str, depth: int, *, closed: bool) -> None:
    closer = "]" if opener == "[" else "}"
    raw = with_payload(opener * depth + ("1" + closer * depth if closed else ""))
    expected = {"too_deep"} if closed or depth >= 2000 else {"too_deep", "malformed_json"}
    assert cause_of(raw, max_bytes=10_000_000) in expected


def test_the_deepest_allowed_nesting() -> None:
    """The document itself is the first level."""
    allowed, beyond = codec.MAX_DEPTH - 1, codec.MAX_DEPTH
    assert codec.decode(with_payload('{"a":' * allowed + "1" + "}" * allowed)).payload
    assert cause_of(with_payload('{"a":' * beyond + "1" + "}" * beyond)) == "too_deep"


def test_many_objects_side_by_side_are_not_deep() -> None:
    rows = json.dumps([{"a": [1]}] * 500)
    assert len(codec.decode(with_payload(f'{{"rows":{rows}}}')).payload["rows"]) == 500


BUSY = [{"a": [n]} for n in range(40)]


@pytest.mark.parametrize("place", ["payload", "signals", "l8_enrichment", "shrink_metrics", "escalation"])
@pytest.mark.parametrize("opener", ["[", '{"a":'])
def test_an_event_of_many_objects_is_read_at_once_unless_it_is_too_deep(
    place: str, opener: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the very form that our encoder writes: counting brackets does not tell then how deep it is."""
    closer = "]" if opener == "[" else "}"
    within = codec.MAX_DEPTH - (3 if place == "escalation" else 2)
    event = fuse(make_event(payload={"busy": BUSY}), StreamName.L3_OUT, None)

    def raw(depth: int) -> bytes:
        deep = json.loads(opener * depth + "1" + closer * depth)
        value = (*event.escalation, {"deep": deep}) if place == "escalation" else {"busy": BUSY, "deep": deep}
        return codec.encode(event.replace(**{place: value}))

    monkeypatch.setattr(codec, "_parse", lambda _: pytest.fail("the slow way was taken"))
    deepest = codec.decode_soc(raw(within))
    assert codec.encode(deepest) == raw(within)
    if place == "payload":
        plain = codec.encode(make_event(payload=json.loads(raw(within))["payload"]))
        assert codec.decode(plain).payload == deepest.payload
        assert codec.parse_object(json.dumps(deepest.payload).encode()) == deepest.payload
    monkeypatch.undo()
    with pytest.raises(EventInvalid, match="too_deep"):
        codec.decode_soc(raw(within + 1))


def test_one_byte_more_than_allowed() -> None:
    frame = document(payload={"pad": ""})
    fits = document(payload={"pad": "x" * (codec.MAX_EVENT_BYTES - len(frame))})
    assert len(fits) == codec.MAX_EVENT_BYTES
    assert codec.decode(fits).event_id == "e-1"
    assert cause_of(fits + b" ") == "too_large"


def test_size_is_looked_at_before_anything_is_parsed() -> None:
    assert cause_of(b"\xff" * 100, max_bytes=99) == "too_large"


@pytest.mark.parametrize(("field", "value"), [(field, bad) for field, values in BAD.items() for bad in values])
def test_a_field_of_the_wrong_type_or_range(field: str, value: Any) -> None:
    assert refusal(document(**{field: value})).cause == "bad_field"


@pytest.mark.parametrize("field", ["event_id", "ts", "source_device"])
def test_a_document_without_identity_time_or_speaker(field: str) -> None:
    error = refusal(json.dumps({k: v for k, v in GOOD.items() if k != field}).encode())
    assert error.cause == "bad_field"
    assert field in error.detail


def test_a_refusal_names_cause_and_detail_apart() -> None:
    error = refusal(document(source_layer=12))
    assert str(error) == f"bad_field: {error.detail}"
    assert "source_layer=12" in error.detail


@pytest.mark.parametrize("missing", ["original_severity", "escalation", "signals"])
def test_a_soc_event_without_its_judgement(missing: str) -> None:
    soc = GOOD | {"original_severity": "LOW", "escalation": [], "signals": {}}
    del soc[missing]
    with pytest.raises(EventInvalid) as caught:
        codec.decode_soc(json.dumps(soc).encode())
    assert caught.value.cause == "bad_field"
    assert missing in caught.value.detail


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (b',"severity":"LOW"}', "duplicate_key"),
        (b',"x":NaN}', "not_finite"),
        (b',"x":"\\ud800"}', "lone_surrogate"),
        (b',"x":' + b"[" * 40 + b"]" * 40 + b"}", "too_deep"),
        (b',"l8_enrichment":[]}', "bad_field"),
        (b',"shrink_metrics":5}', "bad_field"),
        (b"," + b" " * codec.MAX_FUSED_BYTES, "too_large"),
    ],
)
def test_a_soc_event_is_held_to_the_same_rules(change: bytes, cause: str) -> None:
    soc = document(original_severity="LOW", escalation=[], signals={})
    assert codec.decode_soc(soc).original_severity == "LOW"
    with pytest.raises(EventInvalid) as caught:
        codec.decode_soc(soc[:-1] + change)
    assert caught.value.cause == cause
