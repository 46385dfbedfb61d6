"""Pages of servers that say more than they were asked, or say it in pieces."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dsmil.infrastructure.web_page import PageUnavailable, WebPages, _authority, _parsed

OVER = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def said(text: bytes, head: bytes = b"") -> bytes:
    return head + b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)


@contextmanager
def serving(*turns: bytes, host: str = "127.0.0.1") -> Iterator[tuple[str, list[object]]]:
    """Serve one connection after the other; each request is answered by the next turn. Yield the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, 0), family=family)
    asked: list[object] = []
    left = list(turns)

    def serve() -> None:
        while True:
            try:
                line, _ = listening.accept()
            except OSError:
                return
            with line:
                while left and line.recv(65536):
                    asked.append(line.getpeername())
                    turn = left.pop(0)
                    line.sendall(turn)
                    if OVER in turn:
                        break

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    shown = f"[{host}]" if ":" in host else host
    try:
        yield f"http://{shown}:{listening.getsockname()[1]}", asked
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(10)


def pages(url: str) -> WebPages:
    return WebPages(url, timeout_s=5.0, max_bytes=1000)


def test_a_second_answer_is_not_taken_for_that_to_the_next_request() -> None:
    with serving(said(b"1") + said(b"stale"), said(b"2"), said(b"3")) as (url, _):
        server = pages(url)
        assert [server.get("/")[1] for _ in range(3)] == [b"1", b"2", b"3"]
        server.close()


def test_a_time_out_that_the_server_tells_while_nothing_is_asked_is_no_answer() -> None:
    with serving(said(b"1") + OVER, said(b"2") + OVER, said(b"3")) as (url, _):
        server = pages(url)
        assert [server.get("/") for _ in range(3)] == [(200, b"1"), (200, b"2"), (200, b"3")]
        server.close()


def test_an_answer_in_chunks_behind_a_word_beforehand() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    with serving(early + chunks, said(b"next")) as (url, asked):
        server = pages(url)
        assert server.get("/") == (200, b"abcde")
        assert server.get("/") == (200, b"next")
        assert len(set(asked)) == 1, "on the same connection"
        server.close()


def test_a_host_by_its_number_in_the_longer_form() -> None:
    try:
        with serving(said(b"six"), host="::1") as (url, _):
            assert pages(url).get("/") == (200, b"six")
    except OSError as exc:
        pytest.skip(f"this host has no ::1: {exc}")


@pytest.mark.parametrize(
    "url",
    ["http://soc:pa/ss@h", "http://soc:pa#ss@h", "http://soc:\u2100xyz@h", "http://h:99999", "http://h/?a=b"],
)
def test_an_address_that_cannot_be_used_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(PageUnavailable, match=r"not of the form http\[s\]://") as raised:
        pages(url).get("/")
    assert not any(part in str(raised.value) for part in ("pa/ss", "ss@", "xyz", "'pa'"))


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("http://b\u00fccher:8500", "xn--bcher-kva:8500"),
        ("http://[::1]:8500/x", "[::1]:8500"),
        ("https://soc:pw@h.example", "h.example"),
    ],
)
def test_the_host_is_named_as_the_protocol_has_it(address: str, host: str) -> None:
    assert _authority(_parsed(address)) == host


def test_a_path_is_escaped() -> None:
    with serving(said(b"1")) as (url, _):
        assert pages(f"{url}/a b/\u00e4").get("/c%20d") == (200, b"1")
