"""What a program made is written only when JSON can say it and a reader would take it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dsmil.errors import EventInvalid
from dsmil.events import codec
from dsmil.events.model import EventCategory, Severity, create_event


def nested(depth: int, leaf: Any = 1) -> dict[str, Any]:
    document: dict[str, Any] = {"a": leaf}
    for _ in range(depth - 1):
        document = {"a": document}
    return document


def cause_of(payload: dict[str, Any]) -> str:
    event = create_event(15, 3, EventCategory.NETWORK, Severity.LOW, payload, ts=1.5)
    with pytest.raises(EventInvalid) as caught:
        codec.encode_checked(event)
    return caught.value.cause


def test_the_wire_form_is_compact_and_leaves_defaults_out() -> None:
    event = create_event(15, 3, "NETWORK", "LOW", {"ключ": "é"}, ts=1.5, ingest_ts=2.5, event_id="e-1", source="s")
    assert codec.encode(event).decode() == (
        '{"event_id":"e-1","ts":1.5,"source_device":15,"source_layer":3,"category":"NETWORK","severity":"LOW",'
        '"payload":{"ключ":"é"},"source":"s","compartment":"GENERAL","token_id":32813,"clearance":50529027,'
        '"ingest_ts":2.5}'
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["value", "list", "deep"])
def test_no_nan_slips_out_as_null(bad: float, place: str) -> None:
    payloads: dict[str, dict[str, Any]] = {
        "value": {"x": bad},
        "list": {"x": [1, [bad]]},
        "deep": nested(20, bad),
    }
    assert cause_of(payloads[place]) == "not_finite"


def test_a_true_null_is_written() -> None:
    event = create_event(15, 3, "NETWORK", "LOW", {"a": None, "b": [None]})
    assert codec.decode(codec.encode_checked(event)).payload == {"a": None, "b": [None]}


@pytest.mark.parametrize("bad", [object(), "\ud800", {"\udfff": 1}, 1j, {(1, 2): 3}])
def test_what_json_cannot_say(bad: Any) -> None:
    assert cause_of({"x": bad}) == "not_json"


def test_an_event_too_large_to_be_read_is_not_written() -> None:
    assert cause_of({"x": "y" * codec.MAX_EVENT_BYTES}) == "too_large"


@pytest.mark.parametrize("depth", [32, 100, 600, 100_000])
@pytest.mark.parametrize("leaf", [1, None])
def test_an_event_too_deep_to_be_read_is_not_written(depth: int, leaf: Any) -> None:
    assert cause_of(nested(depth, leaf)) in {"too_deep", "not_json"}


def test_an_object_that_contains_itself() -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    assert cause_of(loop) == "not_json"


def test_a_program_s_own_event_is_checked_too() -> None:
    event = create_event(15, 3, "NETWORK", "LOW", {}).replace(source_layer=42)
    with pytest.raises(EventInvalid) as caught:
        codec.encode_checked(event)
    assert caught.value.cause == "bad_field"


def test_what_encode_checked_writes_reads_back_the_same() -> None:
    event = create_event(52, 8, "SOC", "CRITICAL", nested(30, [1.5, None, "x", -(2**63)]), score=0.5)
    assert codec.decode(codec.encode_checked(event)) == event


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"a": math.nan}, "not_finite"),
        ({"a": [{"b": math.inf}]}, "not_finite"),
        ({"a": "\ud800"}, "not_json"),
        ({"a": object()}, "not_json"),
    ],
)
def test_a_plain_object_is_held_to_the_same(fields: dict[str, Any], cause: str) -> None:
    with pytest.raises(EventInvalid) as caught:
        codec.encode_object(fields)
    assert caught.value.cause == cause


def test_a_plain_object_is_written_compactly() -> None:
    assert codec.encode_object({"a": [1, None], "b": "é"}) == '{"a":[1,null],"b":"é"}'.encode()


@pytest.mark.parametrize("depth", [2_000, 100_000])
def test_a_plain_object_nested_without_end_is_refused_not_a_crash(depth: int) -> None:
    with pytest.raises(EventInvalid):
        codec.encode_object(nested(depth))


def test_no_depth_makes_the_check_for_nan_crash() -> None:
    """Just below the encoder's own limit only the search for NaN, started by a null, runs out of stack."""
    assert {cause_of(nested(depth, None)) for depth in range(800, 1100)} == {"too_deep", "not_json"}
