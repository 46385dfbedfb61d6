"""Whatever bytes come in, they are an event or an EventInvalid, never anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dsmil.errors import EventInvalid
from dsmil.events import codec
from dsmil.events.model import Event, check

PLACE = codec.Fallback("L3_OUT/1-0", 1.0)
FIELDS = sorted({*Event.__struct_fields__, "original_severity", "escalation", "signals", "shrink_metrics", "zz"})
#: Pieces of JSON and of what is nearly JSON.
PIECES = st.sampled_from(
    [*'{}[],: "\\\n', "null", "true", "NaN", "1e999", "-0", "0.1", "9" * 30, "9" * 5000, '"\\ud800"', '"\\u0000"']
    + [f'"{name}":' for name in FIELDS]
    + ["15", "3", '"HIGH"', '"é"', "\x00", "\ufeff", "[" * 40, "]" * 40, '{"a":' * 40]
)
NEARLY_JSON = st.lists(PIECES, max_size=40).map(lambda pieces: "".join(pieces).encode())
SOUP = (
    st.binary(max_size=200) | NEARLY_JSON | st.text(max_size=100).map(lambda t: t.encode("utf-8", "surrogatepass"))
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
#: Documents with the right names and any values; json.dumps writes NaN, Infinity and lone surrogates too.
DOCUMENTS = st.dictionaries(st.sampled_from(FIELDS), VALUES).map(lambda fields: json.dumps(fields).encode())
CAUSES = {
    "malformed_json",
    "not_an_object",
    "bad_utf8",
    "not_finite",
    "bad_number",
    "lone_surrogate",
    "duplicate_key",
    "too_deep",
    "too_large",
    "bad_field",
}


@given(SOUP | DOCUMENTS, st.sampled_from([None, PLACE]))
@example(b'{"source_device":15}', PLACE)
def test_decode_gives_an_event_or_its_cause(raw: bytes, fallback: codec.Fallback | None) -> None:
    try:
        event = codec.decode(raw, fallback=fallback)
    except EventInvalid as exc:
        assert exc.cause in CAUSES  # noqa: PT017 - either way is allowed
        return
    check(event)
    assert codec.decode(codec.encode(event)) == event


@given(SOUP | DOCUMENTS)
def test_decode_soc_gives_an_event_or_its_cause(raw: bytes) -> None:
    try:
        event = codec.decode_soc(raw)
    except EventInvalid as exc:
        assert exc.cause in CAUSES  # noqa: PT017 - either way is allowed
        return
    check(event)
    assert codec.decode_soc(codec.encode(event)) == event


@given(SOUP | DOCUMENTS)
def test_parse_object_gives_what_python_reads_or_its_cause(raw: bytes) -> None:
    try:
        fields = codec.parse_object(raw)
    except EventInvalid as exc:
        assert exc.cause in CAUSES  # noqa: PT017 - either way is allowed
        return
    assert fields == json.loads(raw)
    assert codec.parse_object(codec.encode_object(fields)) == fields


ENTRY_NAMES = st.sampled_from(["event", *FIELDS]).map(str.encode) | st.binary(max_size=10)
ENTRY_VALUES = SOUP | DOCUMENTS | st.sampled_from([b"15", b"3", b"0x809C", b"nan", b"1e5", b"[]", b"{}", b"HIGH"])


@given(st.dictionaries(ENTRY_NAMES, ENTRY_VALUES, max_size=6), st.booleans())
def test_an_entry_gives_an_event_or_its_cause(fields: dict[bytes, bytes], speaks: bool) -> None:  # noqa: FBT001
    if speaks:
        fields[b"source_device"] = b"15"
    try:
        event = codec.decode_entry(fields, max_bytes=codec.MAX_EVENT_BYTES, fallback=PLACE)
    except EventInvalid as exc:
        assert exc.cause in CAUSES  # noqa: PT017 - either way is allowed
        return
    check(event)
    assert codec.decode(codec.encode(event)) == event
    assert codec.decode_entry(fields, max_bytes=codec.MAX_EVENT_BYTES, fallback=PLACE) == event


KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
TREES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)


def written(value: Any, spoil: list[int], ascii_only: bool, space: str = "") -> str:  # noqa: FBT001
    """Return ``value`` as JSON; the n-th object with keys, counted down in ``spoil``, has one of them twice.

    ``space`` stands behind commas and colons; with one, it is what Python writes by default.
    """
    if isinstance(value, list):
        return "[" + f",{space}".join(written(item, spoil, ascii_only, space) for item in value) + "]"
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=ascii_only)
    mine = bool(value) and spoil[0] == 0
    spoil[0] -= bool(value)
    pairs = [
        f"{json.dumps(k, ensure_ascii=ascii_only)}:{space}{written(v, spoil, ascii_only, space)}"
        for k, v in value.items()
    ]
    if mine:
        # The repeated key in the other spelling: escaped or not, it is the same key.
        pairs.append(f"{json.dumps(next(iter(value)), ensure_ascii=not ascii_only)}:{space}0")
    return "{" + f",{space}".join(pairs) + "}"


def objects_with_keys(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(map(objects_with_keys, inner)) + (isinstance(value, dict) and bool(value))


@given(
    st.dictionaries(KEYS, TREES, max_size=3),
    st.dictionaries(KEYS.map(lambda key: f"x-{key}"), TREES, max_size=2),
    st.booleans(),
    st.sampled_from(["", " "]),
    st.data(),
)
def test_a_key_repeated_anywhere_is_found(
    payload: dict[str, Any],
    extra: dict[str, Any],
    ascii_only: bool,  # noqa: FBT001
    space: str,
    data: st.DataObject,
) -> None:
    document = {
        "event_id": "e-1",
        "ts": 1.5,
        "source_device": 15,
        "severity": "CRITICAL",
        "entities": [{"type": "ip", "value": "10.0.0.1"}],
        "original_severity": "LOW",
        "escalation": [],
        "signals": {},
        "payload": payload,
    } | extra
    nth = data.draw(st.integers(0, objects_with_keys(document) - 1))
    raw = written(document, [nth], ascii_only, space).encode()
    clean = written(document, [-1], ascii_only, space)
    assert codec.parse_object(clean.encode()) == document
    if space and ascii_only:
        assert clean == json.dumps(document), "not the form that is believed at once"
    for read in (codec.decode, codec.decode_soc, codec.parse_object):
        with pytest.raises(EventInvalid) as caught:
            read(raw)
        assert caught.value.cause == "duplicate_key"
