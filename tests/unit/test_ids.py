"""Identifiers: their version, their order in time, and that content decides the derived ones."""

from __future__ import annotations

import time
import uuid

import pytest

from dsmil.events import ids

TS = 1700000000.123


def ms_of(text: str) -> int:
    return uuid.UUID(text).int >> 80


def test_a_new_id_is_a_uuid_version_7_of_now() -> None:
    before = int(time.time() * 1000)
    text = ids.new_id()
    made = uuid.UUID(text)
    assert (made.version, made.variant, str(made)) == (7, uuid.RFC_4122, text)
    assert before <= ms_of(text) <= int(time.time() * 1000)


def test_new_ids_differ_even_at_the_same_instant() -> None:
    assert len({ids.new_id(TS) for _ in range(2000)}) == 2000


def test_ids_sort_by_time() -> None:
    times = [0.0, 0.001, 1.0, TS, TS + 0.002, TS + 1, 4_000_000_000.0]
    made = [ids.new_id(ts) for ts in times]
    derived = [ids.derived_id(ts, "x") for ts in times]
    assert sorted(made) == made
    assert sorted(derived) == derived
    assert ids.derived_id(TS, "x") < ids.new_id(TS + 1)
    assert ids.new_id(TS) < ids.derived_id(TS + 1, "x")


def test_a_derived_id_is_a_uuid_version_8_that_never_changes() -> None:
    """The literal pins the algorithm: ids of records read years ago must come out the same."""
    text = ids.derived_id(TS, "feed", b"raw")
    made = uuid.UUID(text)
    assert (made.version, made.variant) == (8, uuid.RFC_4122)
    assert ms_of(text) == 1700000000123
    assert text == ids.derived_id(TS, "feed", b"raw") == ids.derived_id(TS, b"feed", "raw")
    assert ids.record_id("suricata-eve", TS, b"{}", 0) == "018bcfe5-687b-8064-8a87-e0f01e991398"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c"), ("a", "bc")),
        (("ab",), ("ab", "")),
        (("a", "b"), ("b", "a")),
        ((b"\x00",), (b"",)),
        (("é",), ("e\u0301",)),
        (("\ud800",), ("\udbff",)),
    ],
)
def test_different_parts_give_different_ids(one: tuple[str | bytes, ...], other: tuple[str | bytes, ...]) -> None:
    assert ids.derived_id(TS, *one) != ids.derived_id(TS, *other)


def test_identical_records_are_told_apart_by_their_ordinal() -> None:
    same = [ids.record_id("eve", TS, b"{}", ordinal) for ordinal in range(20)]
    assert len(set(same)) == 20
    assert same == [ids.record_id("eve", TS, b"{}", ordinal) for ordinal in range(20)]


def test_a_record_id_depends_on_feed_time_bytes_and_ordinal() -> None:
    base = ids.record_id("eve", TS, b"{}", 0)
    others = {
        ids.record_id("zeek", TS, b"{}", 0),
        ids.record_id("eve", TS + 1, b"{}", 0),
        ids.record_id("eve", TS, b"{} ", 0),
        ids.record_id("eve", TS, b"{}", 1),
    }
    assert len(others | {base}) == 5


def test_a_finding_id_depends_on_detector_rule_revision_and_evidence() -> None:
    base = ids.finding_id(TS, "d", "1:2", "3", ("e",))
    others = {
        ids.finding_id(TS, "x", "1:2", "3", ("e",)),
        ids.finding_id(TS, "d", "1:3", "3", ("e",)),
        ids.finding_id(TS, "d", "1:2", "4", ("e",)),
        ids.finding_id(TS, "d", "1:2", "3", ("f",)),
        ids.finding_id(TS, "d", "1:2", "3", ("e", "f")),
        ids.finding_id(TS, "d", "1:2", "3", ("f", "e")),
        ids.record_id("d", TS, b"1:2", 3),
    }
    assert len(others | {base}) == 8
    assert base == ids.finding_id(TS, "d", "1:2", "3", ("e",))


@pytest.mark.parametrize(("ts", "ms"), [(-5.0, 0), (0.0, 0), (1e15, (1 << 48) - 1)])
def test_times_beyond_48_bits_of_milliseconds_stop_at_the_edge(ts: float, ms: int) -> None:
    assert ms_of(ids.new_id(ts)) == ms
    assert ms_of(ids.derived_id(ts, "x")) == ms


def test_a_digest_is_short_and_depends_on_the_bytes() -> None:
    assert len(ids.digest(b"x" * 10_000)) == 12
    assert ids.digest(b"a") == ids.digest(b"a") != ids.digest(b"b")
