"""Requests whose body ends in two places: what a proxy took for a body must never be read as a request."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.listening import line, numbers

from dsmil.config import Settings
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.listening.guests import Bounds
from dsmil.services.listening.http import HttpListener
from dsmil.services.listening.keys import Keys
from dsmil.services.listening.specs import Spec
from dsmil.sources.suricata_eve import SuricataEve
from dsmil.testing.running import Running
from dsmil.testing.waiting import until

KEY = "another-key-of-this-test"
BOUNDS = Bounds(max_body=1 << 20, max_waiting=2 << 20, max_connections=20, max_pushes=4)
HEAD = (
    b"POST /api/v1/ingest/suricata-eve HTTP/1.1\r\nHost: here\r\nContent-Type: application/x-ndjson\r\n"
    b"Authorization: Bearer " + KEY.encode() + b"\r\n"
)
INNER = HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(line(666)), line(666))


@pytest.fixture
def address(bus: RedisStreamsClient, settings: Settings) -> Iterator[tuple[str, int]]:
    assert bus
    keys = Keys(Path("nowhere"), KEY)
    spec = Spec(scheme="http", address="127.0.0.1:0")
    part = HttpListener({"suricata-eve": SuricataEve()}, settings, [spec], keys=keys, bounds=BOUNDS)
    with Running(part):
        until(lambda: part.vitals().healthy)
        yield "127.0.0.1", int(part.endpoints[0].rpartition(":")[2])


def said(address: tuple[str, int], request: bytes) -> bytes:
    """Return all that is answered to some bytes, up to the close of the connection."""
    with socket.create_connection(address, timeout=20) as stream:
        stream.sendall(request)
        stream.shutdown(socket.SHUT_WR)
        answer = b""
        while data := stream.recv(4096):
            answer += data
    return answer


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n" % (len(INNER) + 5), 400),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        (b"Content-Length: 5, 6\r\n", 400),
        (b"Content-Length: +5\r\n", 400),
        (b"Content-Length: 0x5\r\n", 400),
        (b"Content-Length : 5\r\n", 400),
        (b"Transfer-Encoding: xchunked\r\n", 501),
        (b"Transfer-Encoding: gzip, chunked\r\n", 501),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 501),
    ],
)
def test_two_ends_of_a_body_are_refused_and_nothing_behind_it_is_read(
    address: tuple[str, int], bus: RedisStreamsClient, headers: bytes, status: int
) -> None:
    answer = said(address, HEAD + headers + b"\r\n" + b"0\r\n\r\n" + INNER)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"Content-Type: ") == 1
    assert numbers(bus) == []


def test_one_request_after_the_other_is_answered(address: tuple[str, int], bus: RedisStreamsClient) -> None:
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(line(1)), line(1))
    request = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked + INNER
    assert said(address, request).count(b"HTTP/1.1 202 ") == 2
    assert numbers(bus) == [1, 666]
