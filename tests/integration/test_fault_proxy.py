"""The fault proxy does to a connection what it says, and no more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.testing.proxy import FaultProxy, Faults
from dsmil.testing.waiting import until


@pytest.fixture(params=[False, True], ids=["tcp", "unix"])
def proxy(bus: RedisStreamsClient, request: pytest.FixtureRequest) -> Iterator[FaultProxy]:
    target = str(bus._settings.redis_url)
    with FaultProxy(target, seed=5, unix=request.param) as made:
        yield made


def client(proxy: FaultProxy, timeout_s: float = 10.0) -> redis.Redis:
    return redis.Redis.from_url(
        proxy.url, retry=Retry(NoBackoff(), 0), socket_timeout=timeout_s, protocol=2, driver_info=None
    )


def test_without_faults_everything_passes(proxy: FaultProxy) -> None:
    big = b"x" * 1_000_000
    with client(proxy) as one:
        one.set("big", big)
        assert one.get("big") == big
    assert proxy.injected == {"connections": 1}


def test_a_dropped_reply_is_a_request_that_was_carried_out(proxy: FaultProxy, bus: RedisStreamsClient) -> None:
    bus.client.delete("hits")
    with client(proxy) as one:
        assert one.incr("hits") == 1
        proxy.faults = Faults(drop_reply=1.0)
        with pytest.raises(redis.ConnectionError):
            one.incr("hits")
        proxy.faults = Faults()
        assert one.incr("hits") == 3
    assert proxy.injected["drop_reply"] == 1


def test_a_cut_comes_in_the_request_or_in_the_reply(proxy: FaultProxy, bus: RedisStreamsClient) -> None:
    bus.client.delete("hits")
    proxy.faults = Faults(cut=1.0)
    for _ in range(30):
        with client(proxy) as one, pytest.raises(redis.ConnectionError):
            one.incr("hits")
    done = int(bus.client.get("hits") or 0)
    assert 0 < done < 30, "some were cut before the server had them, some after"
    assert proxy.injected["cut"] == 30


def test_slow_requests_arrive_whole(proxy: FaultProxy) -> None:
    with client(proxy) as one:
        one.ping()
        for faults in (Faults(delay=1.0, delay_s=0.15), Faults(drip=1.0, drip_s=0.15)):
            proxy.faults = faults
            started = time.monotonic()
            one.set("slow", b"y" * 10_000)
            assert time.monotonic() - started >= 0.15
            proxy.faults = Faults()
            assert one.get("slow") == b"y" * 10_000


def test_frozen_nothing_passes_and_nothing_is_closed(proxy: FaultProxy, bus: RedisStreamsClient) -> None:
    bus.client.delete("hits")
    with client(proxy) as patient, client(proxy, 0.3) as hasty:
        patient.ping()
        hasty.ping()
        proxy.freeze()
        with pytest.raises(redis.TimeoutError):
            hasty.incr("hits")
        assert bus.client.get("hits") is None
        proxy.thaw()
        until(lambda: bus.client.get("hits") == b"1", what="the request that was held back")
        before = proxy.injected["connections"]
        proxy.cut_all()
        assert patient.incr("hits") == 2, "the client notices before it sends"
        assert proxy.injected["connections"] == before + 1


def test_the_same_seed_draws_the_same_faults(bus: RedisStreamsClient) -> None:
    found = []
    for _ in range(2):
        with FaultProxy(str(bus._settings.redis_url), seed=11) as proxy:
            proxy.faults = Faults(drop_reply=0.2)
            row = []
            for _ in range(60):
                with client(proxy) as one:
                    try:
                        one.ping()
                        row.append(True)
                    except redis.ConnectionError:
                        row.append(False)
            found.append(row)
    assert found[0] == found[1]
    assert not all(found[0])


def test_a_broker_that_is_away_closes_the_connection(tmp_path: Path) -> None:
    with FaultProxy(f"unix://{tmp_path / 'nobody'}") as proxy:
        with client(proxy) as one, pytest.raises(redis.ConnectionError):
            one.ping()
        assert proxy.injected["connections"] >= 1
