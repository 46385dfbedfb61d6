"""RFC 6587 framing: however the bytes are cut, the same messages come out, and nothing is lost in between."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmil.sources._frames import Bad, Frames, Framing

_LIMIT = 40
_BLANK = b"\r\n\0 \t"


def run(
    pieces: list[bytes], framing: Framing = Framing.AUTO, *, clean: bool = True
) -> tuple[list[bytes], list[Bad]]:
    """Return all that comes out, in order; what is held never goes beyond its bound."""
    frames = Frames(framing, _LIMIT)
    messages: list[bytes] = []
    bad: list[Bad] = []
    for piece in pieces:
        found, refused = frames.feed(piece)
        assert frames.held <= _LIMIT + 10
        messages += found
        bad += refused
    found, refused = frames.end(clean=clean)
    return messages + found, bad + refused


def counted(messages: list[bytes]) -> bytes:
    return b"".join(b"%d %s" % (len(message), message) for message in messages)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


@pytest.mark.parametrize(
    ("stream", "messages", "framing"),
    [
        (b"<13>one\n<13>two\r\n<13>3\0\n\n<13>4", [b"<13>one", b"<13>two", b"<13>3", b"<13>4"], "lines"),
        (b"7 <13>one7 <13>two8 <13>a\nb\n", [b"<13>one", b"<13>two", b"<13>a\nb"], "counted"),
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}'], "lines"),
        (b'7 {"a":1}7 {"b":2}', [b'{"a":1}', b'{"b":2}'], "counted"),
        (b"2024 was a year\n<13>x\n", [b"2024 was a year", b"<13>x"], "lines"),
        (b"12345\n", [b"12345"], "lines"),
        (b"0 <13>x\n", [b"0 <13>x"], "lines"),
    ],
)
def test_split_at_every_byte(stream: bytes, messages: list[bytes], framing: str) -> None:
    for place in range(len(stream) + 1):
        assert run([stream[:place], stream[place:]]) == (messages, [])
    assert run([stream[i : i + 1] for i in range(len(stream))]) == (messages, [])
    frames = Frames()
    frames.feed(stream)
    assert frames.framing == framing


@given(st.lists(st.binary(min_size=1, max_size=_LIMIT)), st.lists(st.integers(0, 4000)))
def test_counted_messages_survive_any_cut(bodies: list[bytes], places: list[int]) -> None:
    messages = [b"<13>", *bodies]
    wanted = [body.rstrip(_BLANK) for body in messages if body.rstrip(_BLANK)]
    assert run(cut(counted(messages), places)) == (wanted, [])


@given(st.binary(max_size=400), st.lists(st.integers(0, 4000)), st.sampled_from(Framing), st.booleans())
def test_any_bytes_give_the_same_however_they_are_cut(
    noise: bytes,
    places: list[int],
    framing: Framing,
    clean: bool,  # noqa: FBT001 - drawn
) -> None:
    messages, bad = run(cut(noise, places), framing, clean=clean)
    whole, refused = run([noise], framing, clean=clean)
    assert messages == whole
    # Of nonsense the letter keeps what was there when it was met; all else is the same to the byte.
    assert [(b.cause, b.head if b.cause != "bad_frame" else b.head[:1], b.cut) for b in bad] == [
        (b.cause, b.head if b.cause != "bad_frame" else b.head[:1], b.cut) for b in refused
    ]


@given(st.lists(st.binary(max_size=3 * _LIMIT).map(lambda line: line.replace(b"\n", b".")), max_size=8))
def test_every_byte_of_a_line_is_told_of(lines: list[bytes]) -> None:
    messages, bad = run([b"".join(line + b"\n" for line in lines)], Framing.LINES)
    kept = [line.rstrip(_BLANK) for line in lines if len(line) <= _LIMIT and line.rstrip(_BLANK)]
    assert messages == kept
    assert [(b.cause, b.head, b.cut) for b in bad] == [
        ("too_large", line[:_LIMIT], len(line) - _LIMIT) for line in lines if len(line) > _LIMIT
    ]


def test_an_over_long_message_costs_its_limit_and_the_next_one_is_whole() -> None:
    stream = b"100 <" + b"x" * 99 + b"7 <13>two"
    for place in range(len(stream) + 1):
        messages, (bad,) = run([stream[:place], stream[place:]])
        assert messages == [b"<13>two"]
        assert bad == Bad("too_large", "100 bytes, at most 40 are accepted", b"<" + b"x" * 39, 60)


def test_nonsense_between_counted_messages_ends_the_connection() -> None:
    frames = Frames()
    messages, (bad,) = frames.feed(b"7 <13>oneGET / HTTP/1.1\r\n")
    assert (messages, bad.cause, frames.broken) == ([b"<13>one"], "bad_frame", True)
    assert frames.feed(b"7 <13>two") == ([], [])


@pytest.mark.parametrize("stream", [b"7 <13>one7 <13>t", b"7 <13>one12"])
def test_a_counted_message_that_never_ended_is_refused(stream: bytes) -> None:
    messages, (bad,) = run([stream])
    assert (messages, bad.cause) == ([b"<13>one"], "truncated")


def test_a_line_cut_off_by_an_error_is_refused_and_one_by_a_clean_end_is_a_message() -> None:
    assert run([b"<13>one\n<13>tw"], clean=True) == ([b"<13>one", b"<13>tw"], [])
    messages, (bad,) = run([b"<13>one\n<13>tw"], clean=False)
    assert (messages, bad.cause, bad.head) == ([b"<13>one"], "truncated", b"<13>tw")
