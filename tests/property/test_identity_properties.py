"""Ids, tokens and clearances over their whole ranges."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from dsmil.events import devices, ids
from dsmil.events.devices import TokenOffset, UnknownDevice

TIMES = st.floats(0, 2**37)
PARTS = st.lists(st.binary(max_size=8) | st.text(max_size=5), max_size=4).map(tuple)


@given(st.integers(0, devices.LAST_DEVICE), st.sampled_from(TokenOffset))
def test_a_token_leads_back_to_device_and_offset(number: int, offset: TokenOffset) -> None:
    assert devices.from_token(devices.token_id(number, offset)) == (devices.device(number), offset)


@given(st.integers(0x7F00, 0x8200) | st.integers())
def test_any_number_is_one_device_s_token_or_nobody_s(token: int) -> None:
    try:
        device, offset = devices.from_token(token)
    except UnknownDevice:
        assert not 0x8000 <= token <= 0x8137
    else:
        assert devices.token_id(device.device_id, offset) == token


@given(st.integers(0, 12).map(devices.clearance) | st.integers())
def test_any_number_is_one_layer_s_clearance_or_none_s(value: int) -> None:
    try:
        layer = devices.from_clearance(value)
    except UnknownDevice:
        assert value not in {layer.clearance for layer in devices.LAYERS.values()}
    else:
        assert layer.clearance == value


@given(TIMES, TIMES)
def test_ids_never_sort_against_time(one: float, other: float) -> None:
    early, late = sorted((one, other))
    if int(early * 1000) < int(late * 1000):
        assert ids.new_id(early) < ids.new_id(late)
        assert ids.derived_id(early, "x") < ids.derived_id(late, "x")
        assert ids.new_id(early) < ids.derived_id(late, "x")


@given(st.floats(-1e300, 1e300), PARTS)
def test_every_id_is_a_well_formed_uuid(ts: float, parts: tuple[bytes | str, ...]) -> None:
    for text, version in ((ids.new_id(ts), 7), (ids.derived_id(ts, *parts), 8)):
        made = uuid.UUID(text)
        assert (str(made), made.version, made.variant) == (text, version, uuid.RFC_4122)
    assert ids.derived_id(ts, *parts) == ids.derived_id(ts, *parts)


@given(PARTS, PARTS)
def test_different_parts_never_meet(one: tuple[bytes | str, ...], other: tuple[bytes | str, ...]) -> None:
    def plain(parts: tuple[bytes | str, ...]) -> list[bytes]:
        return [p.encode("utf-8", "surrogatepass") if isinstance(p, str) else p for p in parts]

    assert (ids.derived_id(1.0, *one) == ids.derived_id(1.0, *other)) == (plain(one) == plain(other))
