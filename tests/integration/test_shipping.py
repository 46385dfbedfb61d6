"""Batches under way: taken while the next is made, in order, and sent once more after a lost line."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from dsmil.config import Settings
from dsmil.errors import BusRefused, BusUnavailable, Unavailable
from dsmil.events.streams import StreamName
from dsmil.infrastructure import pressure
from dsmil.infrastructure.pressure import announce, judge
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.shipping import Shipping
from dsmil.testing.waiting import until

IN = StreamName.L3_IN


@pytest.fixture
def other(settings: Settings) -> Iterator[RedisStreamsClient]:
    """Return a client with connections of its own."""
    with RedisStreamsClient(settings=settings) as client:
        yield client


def there(bus: RedisStreamsClient) -> list[bytes]:
    return [fields[b"event"] for _, fields in bus.client.xrange(IN)]


def again(action: Callable[[], int]) -> int:
    """Do it until the broker takes it."""
    found: list[int] = []

    def done() -> bool:
        try:
            found.append(action())
        except Unavailable:
            return False
        return True

    until(done, 10, "a broker that takes it")
    return found[0]


def test_batches_come_in_their_order(bus: RedisStreamsClient) -> None:
    shipping = Shipping(bus, IN)
    assert shipping.settle() == 0
    for n in range(5):
        shipping.send([b"%d" % n, b"%d+" % n])
        assert shipping.settle() == 2
    assert shipping.settle() == 0
    assert there(bus) == [b"0", b"0+", b"1", b"1+", b"2", b"2+", b"3", b"3+", b"4", b"4+"]


def test_what_was_under_way_when_the_line_was_cut_is_sent_once_more(
    bus: RedisStreamsClient, other: RedisStreamsClient
) -> None:
    shipping = Shipping(other, IN)
    shipping.send([b"a", b"b"])
    until(lambda: bus.client.xlen(IN) == 2, 10, "the batch")
    other.disconnect()  # the answer is lost
    with pytest.raises(BusUnavailable):
        shipping.settle()
    assert again(shipping.settle) == 2
    shipping.send([b"c"])
    assert shipping.settle() == 1
    assert there(bus) == [b"a", b"b", b"a", b"b", b"c"], "twice with the same bytes, and then what follows"


def test_a_batch_that_is_refused_is_not_taken_over(
    bus: RedisStreamsClient, other: RedisStreamsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pressure, "_LOOK_S", 0.0)
    shipping = Shipping(other, IN)
    announce(bus.client, judge({"broker": 0.9}))
    with pytest.raises(BusRefused):
        shipping.send([b"a"])
    assert shipping.settle() == 0
    announce(bus.client, judge({"broker": 0.1}))
    shipping.send([b"a"])
    assert shipping.settle() == 1
    assert there(bus) == [b"a"]
