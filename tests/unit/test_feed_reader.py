"""What all feeds share: ids a second reading gives again, times, defaults."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from dsmil.errors import EventInvalid
from dsmil.events.model import Entity, Event, EventCategory, Severity
from dsmil.sources._feed import MAX_RECORD_BYTES, Parsed, RawRecord, Reader, Source, unique
from dsmil.sources._times import iso_seconds

NOW = 1_800_000_000.5


class Probe(Source):
    """A feed of the least: a time, and the record as payload."""

    name: ClassVar[str] = "probe-json"
    source: ClassVar[str] = "probe"
    device_id: ClassVar[int] = 11
    json_array: ClassVar[bool] = False

    def parse(self, record: dict[str, Any]) -> Parsed:
        if "bad" in record:
            raise EventInvalid("not_probe", "bad")
        return Parsed(ts=record.get("t"), payload=record, category=EventCategory.SYSTEM, severity=Severity.MEDIUM)


def read(*raws: bytes, now: float = NOW) -> list[Event]:
    reader = Reader(Probe())
    return [reader.event(RawRecord(raw, f"log:{n}"), now) for n, raw in enumerate(raws, start=1)]


def test_a_record_becomes_an_event_of_the_feed() -> None:
    (event,) = read(b'{"t":1700000000.25,"x":1}')
    assert (event.source_device, event.source_layer, event.source) == (11, 3, "probe")
    assert (event.category, event.severity) == (EventCategory.SYSTEM, Severity.MEDIUM)
    assert (event.ts, event.ingest_ts) == (1700000000.25, NOW)
    assert event.payload == {"t": 1700000000.25, "x": 1}
    assert (event.origin, event.flags) == ("log:1", ())
    assert event.token_id == 0x8000 + 3 * 11


def test_reading_again_gives_the_same_ids_at_any_time_and_place() -> None:
    raws = [b'{"t":5}', b'{"t":6}', b'{"t":5}', b"{}"]
    first = [event.event_id for event in read(*raws)]
    assert [event.event_id for event in read(*raws, now=NOW + 999)] == first
    assert len(set(first)) == 4


def test_identical_records_are_different_events() -> None:
    ids = [event.event_id for event in read(*[b'{"t":5}'] * 50)]
    assert len(set(ids)) == 50
    assert ids[:3] == [event.event_id for event in read(*[b'{"t":5}'] * 3)]


def test_a_reading_goes_on_where_an_earlier_one_stopped() -> None:
    whole = [event.event_id for event in read(*[b'{"t":5}'] * 4, b'{"t":6}')]
    first = Reader(Probe(), {})
    halves = [first.event(RawRecord(b'{"t":5}', "log:1"), NOW).event_id for _ in range(2)]
    changes = first.take_changes()
    assert first.take_changes() == {}
    second = Reader(Probe(), changes)
    halves += [second.event(RawRecord(b'{"t":5}', "log:1"), NOW).event_id for _ in range(2)]
    halves.append(second.event(RawRecord(b'{"t":6}', "log:1"), NOW).event_id)
    assert halves == whole
    assert sorted(second.take_changes().values()) == [1, 4]


def test_a_long_reading_takes_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading of a file (not a follower) never asks for the changes."""
    monkeypatch.setattr("dsmil.sources._feed.REMEMBERED", 10)
    reader = Reader(Probe())
    for n in range(100):
        reader.event(RawRecord(b'{"t":%d}' % n, "log:1"), NOW)
    assert len(reader._seen) == 10
    assert reader._changed is None


def test_a_record_whose_end_was_cut_off_is_too_large_whatever_it_says() -> None:
    with pytest.raises(EventInvalid, match="too_large: 17 bytes"):
        Reader(Probe()).event(RawRecord(b'{"t":5}', "log:1", cut=10), NOW)


def test_records_that_differ_only_in_spacing_are_different_records() -> None:
    one, other = read(b'{"t":5}', b'{"t": 5}')
    assert one.payload == other.payload
    assert one.event_id != other.event_id


def test_the_same_record_in_two_feeds_has_two_ids() -> None:
    class Other(Probe):
        name: ClassVar[str] = "other-json"

    record = RawRecord(b'{"t":5}', "log:1")
    assert Reader(Other()).event(record, NOW).event_id != Reader(Probe()).event(record, NOW).event_id


def test_the_id_carries_the_event_time() -> None:
    (event,) = read(b'{"t":1234567890.5}')
    made = uuid.UUID(event.event_id)
    assert (made.version, made.int >> 80) == (8, 1234567890500)


def test_a_missing_time_is_the_arrival_with_a_flag_and_never_enters_the_id() -> None:
    (early,), (late,) = read(b"{}", now=1.0), read(b"{}", now=2.0)
    assert (early.ts, late.ts) == (1.0, 2.0)
    assert early.flags == ("missing_time",)
    assert early.event_id == late.event_id


def test_the_epoch_itself_is_a_time() -> None:
    (event,) = read(b'{"t":0}')
    assert (event.ts, event.flags) == (0, ())


def test_a_refused_record_takes_no_ordinal() -> None:
    """Else a feed that learns to read one more record would give new ids to its old ones."""
    reader = Reader(Probe())
    with pytest.raises(EventInvalid, match="not_probe"):
        reader.event(RawRecord(b'{"bad":1}', "log:1"), NOW)
    assert reader.event(RawRecord(b'{"t":5}', "log:2"), NOW).event_id == read(b'{"t":5}')[0].event_id


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        (b"{", "malformed_json"),
        (b"[]", "not_an_object"),
        (b'{"t":5,"t":6}', "duplicate_key"),
        (b'{"t":NaN}', "not_finite"),
        (b'{"t":1e300}', "bad_field"),
        (b'{"t":-5}', "bad_field"),
        (b'{"x":"' + b"y" * MAX_RECORD_BYTES + b'"}', "too_large"),
    ],
)
def test_a_bad_record_has_its_cause(raw: bytes, cause: str) -> None:
    with pytest.raises(EventInvalid) as caught:
        read(raw)
    assert caught.value.cause == cause


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2023-09-04T12:00:00.123456+0300", 1693818000.123456),
        ("2023-09-04T12:00:00+03:00", 1693818000.0),
        ("2023-09-04T09:00:00Z", 1693818000.0),
        ("2023-09-04T09:00:00", 1693818000.0),
        ("2023-09-04 09:00:00.5", 1693818000.5),
        ("2023-09-04T05:00:00-0400", 1693818000.0),
        ("2023-09-04T09:00:00.123456789Z", 1693818000.123456),
        ("1970-01-01T00:00:00+00:00", 0.0),
        ("2023-09-04", 1693785600.0),
        ("9999-12-31T23:59:59-23:59", 253402387139.0),
    ],
)
def test_an_iso_time_in_any_offset(text: str, seconds: float) -> None:
    assert iso_seconds(text) == pytest.approx(seconds, abs=1e-6)


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put this process into a time zone far from UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "JST-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("tokyo")
def test_a_time_without_an_offset_is_utc_wherever_it_is_read() -> None:
    assert iso_seconds("2023-09-04T09:00:00") == iso_seconds("2023-09-04T09:00:00Z") == 1693818000.0


def test_no_time_is_no_time() -> None:
    assert iso_seconds(None) is None


@pytest.mark.parametrize(
    "value",
    [
        *("", "yesterday", "2023-13-01T00:00:00", "2023-09-04T25:00:00", "1969-12-31T23:59:59Z"),
        *("0001-01-01T00:00:00+23:59", "\ud800", "\u0662\u0660\u0662\u0663-09-04", 1693818000, True, []),
    ],
)
def test_a_time_that_cannot_be_read(value: object) -> None:
    with pytest.raises(EventInvalid) as caught:
        iso_seconds(value)
    assert caught.value.cause == "bad_time"


def test_unique_keeps_the_first_of_each_in_order() -> None:
    a, b = Entity("ip", "10.0.0.1", "src"), Entity("ip", "10.0.0.1", "dest")
    assert unique([a, b, a, Entity("ip", "10.0.0.1", "dest")]) == (a, b)
