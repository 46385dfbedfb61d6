"""The event a program makes: defaults, ranges, and the order of severities."""

from __future__ import annotations

import itertools
import math
import operator
import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from dsmil.errors import EventInvalid
from dsmil.events.model import (
    MAX_TS,
    Entity,
    Event,
    EventCategory,
    Severity,
    check,
    create_event,
    parse_category,
    parse_severity,
)

#: Values out of their documented range.
BAD: dict[str, list[Any]] = {
    "source_device": [-1, 104, 2**40],
    "source_layer": [-1, 0, 1, 10],
    "payload": [None, [], "text"],
    "event_id": ["x" * 201],
    "ts": [-0.001, MAX_TS, 1e30],
    "ingest_ts": [-1.0, MAX_TS, math.nan, math.inf],
    "token_id": [-1, 2**63],
    "clearance": [-1, 2**63],
    "score": [-0.01, 1.01, math.nan, math.inf],
}


def make(**options: Any) -> Event:
    device, layer = options.pop("source_device", 15), options.pop("source_layer", 3)
    payload = options.pop("payload", {"a": 1})
    return create_event(device, layer, EventCategory.NETWORK, Severity.LOW, payload, **options)


def test_the_documented_call_and_its_defaults() -> None:
    before = time.time()
    event = create_event(15, 3, EventCategory.CRYPTO, Severity.HIGH, {"alert": "odd"})
    assert before <= event.ts <= time.time()
    assert event.ingest_ts == event.ts
    assert uuid.UUID(event.event_id).version == 7
    assert (event.source_device, event.source_layer) == (15, 3)
    assert (event.category, event.severity) == (EventCategory.CRYPTO, Severity.HIGH)
    assert event.payload == {"alert": "odd"}
    assert (event.source, event.compartment) == ("", "GENERAL")
    assert (event.token_id, event.clearance) == (0x8000 + 45, 0x03030303)
    assert (event.correlation_id, event.entities, event.techniques, event.evidence) == ("", (), (), ())
    assert (event.score, event.origin, event.flags) == (None, "", ())
    assert event.extra is msgspec.UNSET


def test_words_are_taken_for_category_and_severity() -> None:
    event = create_event(52, 8, "soc", "info", {})
    assert (event.category, event.severity, event.flags) == (EventCategory.SOC, Severity.LOW, ())


def test_an_unknown_word_is_flagged_after_the_flags_given() -> None:
    event = create_event(52, 8, "WHAT", "WEIRD", {}, flags=["mine"])
    assert (event.category, event.severity) == (EventCategory.SECURITY, Severity.HIGH)
    assert event.flags == ("mine", "unknown_severity:WEIRD", "unknown_category:WHAT")


def test_any_iterable_becomes_a_tuple() -> None:
    host = Entity("host", "h")
    event = make(entities=[host], techniques=iter(["T1003"]), evidence={"e-0": 1})
    assert (event.entities, event.techniques, event.evidence) == ((host,), ("T1003",), ("e-0",))


def test_two_events_have_two_ids() -> None:
    assert make().event_id != make().event_id


def test_a_given_time_is_the_time_in_the_id() -> None:
    event = make(ts=1234567890.5, ingest_ts=1234567999)
    assert uuid.UUID(event.event_id).int >> 80 == 1234567890500
    assert (event.ts, event.ingest_ts) == (1234567890.5, 1234567999)


def test_an_event_is_never_edited() -> None:
    event = make()
    with pytest.raises(AttributeError):
        event.severity = Severity.CRITICAL  # type: ignore[misc]
    changed = event.replace(severity=Severity.CRITICAL)
    assert (event.severity, changed.severity) == (Severity.LOW, Severity.CRITICAL)
    assert changed.replace(severity=Severity.LOW) == event


@pytest.mark.parametrize(("field", "value"), [(field, bad) for field, values in BAD.items() for bad in values])
def test_a_value_out_of_its_range(field: str, value: Any) -> None:
    with pytest.raises(EventInvalid) as caught:
        make(**{field: value})
    assert caught.value.cause == "bad_field"


@pytest.mark.parametrize("ts", [math.nan, math.inf, -math.inf, 10**400], ids=["nan", "inf", "-inf", "huge"])
def test_a_time_that_is_no_time_is_an_invalid_event(ts: float) -> None:
    with pytest.raises(EventInvalid):
        make(ts=ts)


@pytest.mark.parametrize(
    "field",
    [
        "source_device",
        "source_layer",
        "token_id",
        "clearance",
        "ts",
        "ingest_ts",
        "score",
    ],
)
def test_a_number_too_long_to_be_printed_is_out_of_range_too(field: str) -> None:
    with pytest.raises(EventInvalid):
        make(**{field: 10**5000})


@pytest.mark.parametrize(
    "options",
    [
        {"source_device": 0},
        {"source_device": 103},
        {"source_layer": 2},
        {"source_layer": 9},
        {"ts": 0},
        {"ts": math.nextafter(MAX_TS, 0)},
        {"score": 0},
        {"score": 1},
        {"token_id": 0},
        {"clearance": 2**63 - 1},
        {"event_id": "x"},
        {"event_id": "x" * 200},
        {"payload": {}},
    ],
)
def test_the_edges_of_the_ranges_are_inside(options: dict[str, Any]) -> None:
    check(make(**options))


def test_to_dict_is_the_plain_object_on_the_wire() -> None:
    event = make(entities=[Entity("ip", "10.0.0.1", "src"), Entity("host", "h")]).replace(extra={"zz": [None]})
    plain = event.to_dict()
    assert "extra" not in plain
    assert plain["zz"] == [None]
    assert plain["severity"] == "LOW"
    assert list(plain["entities"]) == [
        {"type": "ip", "value": "10.0.0.1", "role": "src"},
        {"type": "host", "value": "h"},
    ]
    assert "score" not in plain


def test_severities_are_ordered_by_rank_not_by_alphabet() -> None:
    ladder = [Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL]
    assert list(Severity) == ladder
    assert [s.rank for s in ladder] == [1, 2, 3, 4]
    assert sorted(set(ladder)) == ladder
    assert max(ladder) is Severity.CRITICAL
    for (i, a), (j, b) in itertools.product(enumerate(ladder), repeat=2):
        assert (a < b, a <= b, a > b, a >= b, a == b) == (i < j, i <= j, i > j, i >= j, i == j)


@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge])
@pytest.mark.parametrize("other", [1, None, b"LOW"])
def test_a_severity_is_not_compared_with_anything_else(compare: Callable[[Any, Any], bool], other: object) -> None:
    with pytest.raises(TypeError):
        compare(Severity.HIGH, other)


@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge])
def test_a_severity_and_its_plain_name_are_not_compared_by_the_alphabet(
    compare: Callable[[Any, Any], bool],
) -> None:
    try:
        answer = compare(Severity.HIGH, "LOW")
    except TypeError:
        return
    assert answer == compare(Severity.HIGH, Severity.LOW)


def test_raised_goes_up_and_stops_at_the_top() -> None:
    assert [s.raised() for s in Severity] == [
        Severity.MEDIUM,
        Severity.HIGH,
        Severity.CRITICAL,
        Severity.CRITICAL,
    ]
    assert Severity.LOW.raised(2) is Severity.HIGH
    assert Severity.LOW.raised(99) is Severity.CRITICAL
    assert Severity.HIGH.raised(0) is Severity.HIGH


def test_categories_are_the_documented_ones() -> None:
    assert " ".join(EventCategory) == "AUTH NETWORK SYSTEM APP INTEL SECURITY CRYPTO SOC"


@pytest.mark.parametrize("value", [*Severity, *(s.value.lower() for s in Severity)])
def test_every_severity_is_parsed_to_itself(value: str) -> None:
    severity, flag = parse_severity(value)
    assert (severity.value, flag) == (value.upper(), "")


@pytest.mark.parametrize("value", [*EventCategory, *(f" {c.value.lower()}\n" for c in EventCategory)])
def test_every_category_is_parsed_to_itself(value: str) -> None:
    category, flag = parse_category(value)
    assert (category.value, flag) == (value.strip().upper(), "")


@pytest.mark.parametrize(("value", "flag"), [(None, "missing_severity"), (7, "unknown_severity:7")])
def test_what_is_no_word_at_all(value: object, flag: str) -> None:
    assert parse_severity(value) == (Severity.HIGH, flag)
