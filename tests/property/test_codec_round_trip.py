"""Whatever event can be made is read back as it was, through every reader."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from dsmil.events import codec
from dsmil.events.handling import Publish, PublishWire
from dsmil.events.model import MAX_TS, Entity, Event, EventCategory, Severity, SocEvent
from dsmil.events.streams import EVENT_FIELD, StreamName
from dsmil.fusion.fuse import fuse
from dsmil.fusion.shrink import RANGES, Reading, parse_reading
from dsmil.fusion.wire import Fusion
from dsmil.infrastructure.entries import Entry
from dsmil.infrastructure.rows import raw_row, soc_row
from dsmil.infrastructure.wire_rows import rows_of_wire

PLACE = codec.Fallback("L3_OUT/1-0", 1.0)
#: All of Unicode that UTF-8 can write: control and astral characters, no lone surrogate.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NUMBERS = st.integers(-(2**200), 2**200) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=5)
TIMES = st.floats(0, math.nextafter(MAX_TS, 0))
OWN_NAMES = frozenset(SocEvent.__struct_fields__)
EXTRA = st.just(UNSET) | st.dictionaries(TEXT | st.just("extra"), JSON, min_size=1, max_size=4).filter(
    lambda fields: not (OWN_NAMES - {"extra"}) & fields.keys()
)
EVENTS = st.builds(
    Event,
    event_id=TEXT.filter(bool),
    ts=TIMES,
    source_device=st.integers(0, 103),
    source_layer=st.integers(2, 9),
    category=st.sampled_from(EventCategory),
    severity=st.sampled_from(Severity),
    payload=OBJECTS,
    source=TEXT,
    compartment=TEXT,
    token_id=st.integers(0, 2**63 - 1),
    clearance=st.integers(0, 2**63 - 1),
    ingest_ts=TIMES,
    correlation_id=TEXT,
    entities=st.lists(st.builds(Entity, TEXT, TEXT, TEXT), max_size=3).map(tuple),
    techniques=st.lists(TEXT, max_size=3).map(tuple),
    score=st.none() | st.floats(0, 1),
    evidence=st.lists(TEXT, max_size=3).map(tuple),
    origin=TEXT,
    flags=st.lists(TEXT, max_size=3).map(tuple),
    extra=EXTRA,
)
READINGS = st.none() | st.dictionaries(st.sampled_from(list(RANGES)), st.floats(0, 1)).map(
    lambda metrics: parse_reading(metrics, 5.0)
)


@given(EVENTS)
def test_decode_gives_back_what_encode_was_given(event: Event) -> None:
    raw = codec.encode(event)
    assert codec.decode(raw) == event
    assert codec.encode(codec.decode(raw)) == raw
    assert codec.encode_checked(event) == raw


@given(EVENTS)
def test_an_entry_gives_back_what_was_published(event: Event) -> None:
    fields = {EVENT_FIELD.encode(): codec.encode(event)}
    assert codec.decode_entry(fields, max_bytes=codec.MAX_EVENT_BYTES, fallback=PLACE) == event


@given(EVENTS, st.sampled_from([StreamName.L3_OUT, StreamName.L4_OUT]), READINGS)
def test_a_soc_event_is_read_back_as_it_was_fused(
    event: Event, stream: StreamName, reading: Reading | None
) -> None:
    soc = fuse(event, stream, reading)
    raw = codec.encode(soc)
    assert codec.decode_soc(raw) == soc
    assert codec.encode(codec.decode_soc(raw)) == raw


@given(EVENTS, st.sampled_from([StreamName.L3_OUT, StreamName.L4_OUT]), READINGS)
def test_fusing_in_the_wire_form_gives_the_bytes_of_the_fused_event(
    event: Event, stream: StreamName, reading: Reading | None
) -> None:
    wire = codec.encode(event)
    entry = Entry(stream, "1-0", {EVENT_FIELD.encode(): wire})
    delivery = entry.delivery()
    assert delivery.event == event
    assert delivery.wire == (wire if event.extra is UNSET and codec.decode_wire(wire) else b"")
    soc = fuse(event, stream, reading)
    out = StreamName.SOC_EVENTS
    assert Fusion(reading).outcome(delivery) == (
        PublishWire(out, codec.encode(soc), soc.source_layer, soc.severity)
        if delivery.wire
        else Publish(((out, soc),))
    )


@given(EVENTS, st.sampled_from([StreamName.L3_OUT, StreamName.L4_OUT]), READINGS)
def test_rows_of_the_wire_form_are_those_of_the_event(
    event: Event, stream: StreamName, reading: Reading | None
) -> None:
    soc = fuse(event, stream, reading)
    rows = rows_of_wire(codec.encode(soc), "5-0")
    assert rows in {(raw_row(soc), soc_row(soc, "5-0")), None}
    assert rows is not None or event.extra is not UNSET or b"[" in codec.encode(soc)


@given(EVENTS, st.randoms(use_true_random=False), st.sampled_from([None, 0, 3]), st.booleans())
def test_order_of_keys_spacing_and_escapes_do_not_matter(
    event: Event,
    random: Any,
    indent: int | None,
    ascii_only: bool,  # noqa: FBT001
) -> None:
    pairs = list(json.loads(codec.encode(event)).items())
    random.shuffle(pairs)
    text = json.dumps(dict(pairs), indent=indent, ensure_ascii=ascii_only)
    assert codec.decode(text.encode()) == event


@given(OBJECTS)
def test_a_plain_object_is_read_back_exactly(fields: dict[str, Any]) -> None:
    raw = codec.encode_object(fields)
    assert codec.parse_object(raw) == fields
    assert json.loads(raw) == fields


@given(EVENTS)
def test_the_plain_object_of_an_event_is_its_wire_form(event: Event) -> None:
    assert json.loads(json.dumps(event.to_dict())) == json.loads(codec.encode(event))
