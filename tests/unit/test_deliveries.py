"""An entry is decoded once for all who read it, and never taken for another."""

from __future__ import annotations

import pytest

from dsmil.errors import EventInvalid
from dsmil.events import codec
from dsmil.events.streams import StreamName
from dsmil.infrastructure.entries import Entry
from dsmil.services.deliveries import Deliveries
from dsmil.testing.factories import make_event

IN = StreamName.L3_IN


def entry(number: int, body: bytes, stream: StreamName = IN) -> Entry:
    return Entry(stream, f"{number}-0", {b"event": body})


def wire(n: int) -> bytes:
    return codec.encode(make_event(payload={"n": n}))


def test_the_second_reader_gets_the_same_event() -> None:
    known, body = Deliveries(), wire(1)
    first = known.of(entry(1, body))
    assert known.of(entry(1, body)) is first
    assert first == entry(1, body).delivery()


def test_what_others_wrote_is_remembered_as_well() -> None:
    known, body = Deliveries(), b'{"source_device": 16, "payload": {"n": 1}}'
    assert known.of(entry(1, body)) is known.of(entry(1, body))
    flat = Entry(IN, "2-0", {b"source_device": b"16", b"severity": b"HIGH"})
    assert known.of(flat) is known.of(flat)


def test_after_a_flush_the_same_place_holds_another_event() -> None:
    known = Deliveries()
    known.of(entry(1, wire(1)))
    assert known.of(entry(1, wire(2))).event.payload == {"n": 2}
    assert known.of(entry(1, wire(1))).event.payload == {"n": 1}


def test_the_same_id_in_two_streams_is_two_entries() -> None:
    known, body = Deliveries(), wire(1)
    assert known.of(entry(1, body)).stream is IN
    assert known.of(entry(1, body, StreamName.L3_OUT)).stream is StreamName.L3_OUT


def test_what_is_no_event_is_refused_each_time() -> None:
    known = Deliveries()
    twice = Entry(IN, "2-0", {b"event": wire(1)}, (b"event",))
    for bad in (entry(1, b"{"), entry(1, b"{"), twice, Entry(IN, "3-0", None)):
        with pytest.raises(EventInvalid):
            known.of(bad)


def test_memory_is_bounded_and_the_oldest_go_first() -> None:
    body = wire(1)
    known = Deliveries(most_bytes=10 * (len(body) + 256))
    found = [known.of(entry(n, body)) for n in range(30)]
    assert [known.of(entry(n, body)) is found[n] for n in range(20, 30)] == [True] * 10
    assert known.of(entry(0, body)) is not found[0]
    huge = entry(99, codec.encode(make_event(payload={"pad": "x" * 20 * (len(body) + 256)})))
    assert known.of(huge) is not known.of(huge)
    assert known.of(entry(0, body)).event == found[0].event
