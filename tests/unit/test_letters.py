"""Dead letters: cause and bytes of what could not be handled, and back again."""

from __future__ import annotations

import hashlib
import json

import pytest

from dsmil.config import Settings
from dsmil.errors import EventInvalid
from dsmil.events.handling import Dead
from dsmil.events.streams import DEAD_LETTERS, StreamName
from dsmil.infrastructure.entries import Entry
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.letters import MAX_RAW_BYTES, Letter, dead_letter, read_letter, read_letters, source_letter
from dsmil.sources._feed import RawRecord


def entry(fields: dict[bytes, bytes] | None) -> Entry:
    return Entry(StreamName.L3_OUT, "1700000000123-4", fields)


def letter_of(fields: dict[bytes, bytes] | None, detail: str = "why", event_id: str = "e-1") -> Letter:
    made = dead_letter(
        entry(fields), Dead("bad_field", detail), service="soc-router", event_id=event_id, attempts=3, now=1.7e9
    )
    return Letter.parse("9-0", {name.encode(): value for name, value in made})


def test_a_letter_of_the_documented_field_comes_back_whole() -> None:
    letter = letter_of({b"event": b'{"a":\xff'})
    assert letter == Letter(
        id="9-0",
        cause="bad_field",
        detail="why",
        service="soc-router",
        stream="L3_OUT",
        entry_id="1700000000123-4",
        event_id="e-1",
        attempts=3,
        first_seen=1700000000.123,
        last_seen=1.7e9,
        form="event",
        raw=b'{"a":\xff',
    )


@pytest.mark.parametrize(
    "fields",
    [
        {b"source_device": b"15", b"severity": b"HIGH"},
        {b"event": b"{}", b"sensor": b"x"},
        {b"\xff\xfe": b"\x80\x00\xed\xa0\x80", b"ok": "é\U0001f600".encode()},
        {b"\xff": b"1", b"\xfe": b"2", b"": b""},
        {bytes(range(256)): bytes(reversed(range(256)))},
    ],
)
def test_flat_fields_can_be_had_back_byte_by_byte(fields: dict[bytes, bytes]) -> None:
    letter = letter_of(fields)
    assert letter.form == "fields"
    pairs = json.loads(letter.raw)
    assert {
        k.encode(errors="surrogateescape"): v.encode(errors="surrogateescape") for k, v in pairs.items()
    } == fields


def test_an_entry_that_was_trimmed_has_an_empty_letter() -> None:
    letter = letter_of(None)
    assert (letter.form, letter.raw) == ("fields", b"{}")


def test_small_raw_bytes_are_not_truncated() -> None:
    letter = letter_of({b"event": b"x" * 100_000})
    assert (len(letter.raw), letter.truncated) == (100_000, "")


def test_too_many_raw_bytes_are_cut_and_their_digest_is_kept() -> None:
    raw = b"0123456789abcdef" * (MAX_RAW_BYTES // 16) + b"!"
    letter = letter_of({b"event": raw})
    assert letter.raw == raw[:MAX_RAW_BYTES]
    assert letter.truncated == f"{len(raw)} bytes, sha256 {hashlib.sha256(raw).hexdigest()}"
    assert letter_of({b"event": raw[:-1]}).truncated == ""


def test_the_detail_is_bounded_and_lone_surrogates_do_not_stop_a_letter() -> None:
    letter = letter_of({}, detail="\ud800" + "x" * 5000, event_id="\udfff")
    assert letter.detail == "?" + "x" * 1999
    assert letter.event_id == "?"


def test_a_record_that_never_became_an_event() -> None:
    record = RawRecord(b"{\xff", "eve\udcff.json:7")
    fields = source_letter(record, EventInvalid("bad_utf8", "d"), "suricata-eve", 5.5)
    assert Letter.parse("1-0", {k.encode(): v for k, v in fields.items()}) == Letter(
        id="1-0",
        cause="bad_utf8",
        detail="d",
        service="ingest suricata-eve",
        stream="L3_IN",
        source="eve?.json:7",
        attempts=1,
        first_seen=5.5,
        last_seen=5.5,
        form="record",
        raw=b"{\xff",
    )


def test_a_record_whose_end_was_not_kept_says_so() -> None:
    fields = source_letter(RawRecord(b"x" * 10, "f:1", cut=7), EventInvalid("too_large", "d"), "f", 5.5)
    letter = Letter.parse("1-0", {k.encode(): v for k, v in fields.items()})
    assert (letter.raw, letter.truncated) == (b"x" * 10, "the last 7 bytes were not kept")


def test_foreign_fields_of_a_letter_are_left_out() -> None:
    letter = Letter.parse(
        "1-0", {b"cause": b"x", b"zz": b"1", b"id": b"other", b"\xff": b"\xff", b"detail": b"\xff"}
    )
    assert (letter.id, letter.cause, letter.detail) == ("1-0", "x", "\ufffd")
    assert Letter.parse("1-0", {}) == Letter(id="1-0")


@pytest.mark.parametrize("name", [b"attempts", b"first_seen", b"last_seen"])
def test_a_letter_by_foreign_hands_is_still_read(name: bytes) -> None:
    """One odd entry in DEAD_LETTERS would otherwise hide all the others from ``dsmil dlq list``."""
    assert Letter.parse("1-0", {name: b"many", b"cause": b"x"}).cause == "x"


def test_letters_are_read_back_from_the_bus_newest_first(bus: RedisStreamsClient, settings: Settings) -> None:
    for n in range(5):
        made = dead_letter(
            entry({b"n": b"%d" % n}), Dead("cause", str(n)), service="s", event_id="", attempts=n, now=1.0
        )
        bus.client.xadd(DEAD_LETTERS, dict(made))
    letters, total = read_letters(settings, 3)
    assert total == 5
    assert [letter.detail for letter in letters] == ["4", "3", "2"]
    assert read_letter(settings, letters[1].id) == letters[1]


@pytest.mark.parametrize("letter_id", ["1-1", "no id at all", ""])
def test_a_letter_that_is_not_there(bus: RedisStreamsClient, settings: Settings, letter_id: str) -> None:
    assert read_letters(settings, 10) == ([], 0)
    bus.client.xadd(DEAD_LETTERS, {"cause": "x"})
    assert read_letter(settings, letter_id) is None
