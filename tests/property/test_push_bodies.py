"""Bodies of pushes: however they are packed and cut, the same comes out, and never more than its bound."""

from __future__ import annotations

import gzip
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmil.services.listening.bodies import Body, Refused, split

_MOST = 4096


def unpack(pieces: list[bytes], *, zipped: bool) -> bytes:
    body = Body(_MOST, zipped=zipped)
    grown = sum(body.add(piece) for piece in pieces)
    assert body.size == grown <= _MOST
    return body.whole()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(st.lists(st.binary(max_size=1000), min_size=1, max_size=4), st.lists(st.integers(0, 9999)), st.booleans())
def test_any_cut_and_any_members(parts: list[bytes], places: list[int], zipped: bool) -> None:  # noqa: FBT001
    packed = b"".join(map(gzip.compress, parts)) if zipped else b"".join(parts)
    assert unpack(cut(packed, places), zipped=zipped) == b"".join(parts)


@given(st.integers(_MOST + 1, 10_000_000), st.lists(st.integers(0, 99999)))
def test_what_unpacks_to_too_much_is_refused(size: int, places: list[int]) -> None:
    with pytest.raises(Refused) as caught:
        unpack(cut(gzip.compress(b"\0" * size, 9), places), zipped=True)
    assert caught.value.status == 413


@given(st.binary(min_size=1, max_size=500), st.data())
def test_a_body_that_was_cut_off_is_refused(content: bytes, data: st.DataObject) -> None:
    packed = gzip.compress(content)
    kept = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(Refused) as caught:
        unpack([packed[:kept]], zipped=True)
    assert caught.value.status == 400


@given(st.binary(max_size=500), st.booleans())
def test_noise_is_split_or_refused(noise: bytes, document: bool) -> None:  # noqa: FBT001 - drawn
    status, records = 202, [b""]
    try:
        records = split(noise, document=document)
    except Refused as exc:
        status = exc.status
    assert status in {202, 400}
    assert all(records) == (status == 202)


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers()), min_size=1, max_size=20), st.integers(0, 3))
def test_array_and_lines_give_the_same_records(documents: list[dict[str, int]], indent: int) -> None:
    texts = [json.dumps(document).encode() for document in documents]
    assert split(b"\n".join(texts), document=False) == texts
    spaces = b" " * indent + b"\n"
    assert split(b"[" + (b"," + spaces).join(texts) + spaces + b"]", document=True) == texts
    assert split(spaces + texts[0], document=True) == texts[:1]
