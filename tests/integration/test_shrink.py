"""SHRINK from the outside: answers, and every way of not answering properly."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dsmil.infrastructure.shrink import SHRINKClient, ShrinkPoller, ShrinkUnavailable
from dsmil.testing.waiting import until

CALM = {
    "risk_acute_stress": 0.35,
    "crisis_level": 0.12,
    "lbi_hyperfocus_density": 0.58,
    "sentiment_score": 0.72,
    "entropy": 0.45,
}


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def body(raw: bytes, status: int = 200, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(raw)))
        request.end_headers()
        request.wfile.write(raw)

    return answer


def test_documented_metrics() -> None:
    with serving(body(json.dumps(CALM).encode())) as url:
        client = SHRINKClient(url)
        assert client.check_availability() is True
        assert client.get_metrics() == CALM
        assert client.get_alerts() == []


def test_alerts_from_its_own_page_or_from_the_thresholds() -> None:
    def own_page(request: BaseHTTPRequestHandler) -> None:
        page = {"alerts": [{"id": "a", "metric": "crisis_level"}]} if "alerts" in request.path else CALM
        body(json.dumps(page).encode())(request)

    with serving(own_page) as url:
        assert SHRINKClient(url).get_alerts() == [{"id": "a", "metric": "crisis_level"}]

    def no_page(request: BaseHTTPRequestHandler) -> None:
        if "alerts" in request.path:
            body(b"{}", 404)(request)
        else:
            body(json.dumps(CALM | {"crisis_level": 0.9}).encode())(request)

    with serving(no_page) as url:
        (alert,) = SHRINKClient(url).get_alerts()
        assert (alert["metric"], alert["value"], alert["threshold"]) == ("crisis_level", 0.9, 0.8)


def test_a_nan_costs_one_metric_not_the_reading() -> None:
    with serving(body(b'{"crisis_level": NaN, "risk_acute_stress": 0.9, "entropy": 7, "x": 1}')) as url:
        reading = SHRINKClient(url).get_reading()
    assert reading.metrics == {"risk_acute_stress": 0.9}
    assert reading.rejected.keys() == {"crisis_level", "entropy"}


def test_redirects_are_not_followed() -> None:
    hits = []

    def elsewhere(request: BaseHTTPRequestHandler) -> None:
        hits.append(request.path)
        body(json.dumps(CALM).encode())(request)

    with serving(elsewhere) as internal, serving(body(b"", 302, Location=f"{internal}/secret")) as url:
        client = SHRINKClient(url)
        assert client.get_metrics() is None
        with pytest.raises(ShrinkUnavailable, match="302"):
            client.get_reading()
    assert hits == []


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"oops", 500),
        (b"not json", 200),
        (b"[1, 2]", 200),
        (b"{}", 200),
        (b'{"crisis_level": "high"}', 200),
        (b"[" * 100_000, 200),
        (b'{"crisis_level": 1' + b"0" * 5000 + b"}", 200),
        (b"\xff\xfe", 200),
    ],
)
def test_useless_answers_are_no_reading(raw: bytes, status: int) -> None:
    with serving(body(raw, status)) as url:
        client = SHRINKClient(url)
        assert client.get_metrics() is None
        assert client.check_availability() is False
        assert client.get_alerts() == []


def test_an_endless_answer_is_cut_off() -> None:
    sent = [0]

    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(1024**3))
        request.end_headers()
        chunk = b" " * 65536
        try:
            while sent[0] < 1024**3:
                sent[0] += request.wfile.write(chunk)
        except OSError:
            pass

    with serving(endless) as url, pytest.raises(ShrinkUnavailable, match="more than 65536 bytes"):
        SHRINKClient(url).get_reading()
    assert sent[0] < 64 * 1024**2


def test_compressed_answers_are_not_inflated() -> None:
    import gzip

    bomb = gzip.compress(b" " * 10_000_000)
    with serving(body(bomb, Content_Encoding="gzip")) as url:
        assert SHRINKClient(url).get_metrics() is None


@pytest.mark.parametrize(("headed", "drop"), [(True, b" "), (False, b"X-Drip: 1\r\n")], ids=["body", "headers"])
def test_a_drip_is_given_up(*, headed: bool, drop: bytes) -> None:
    """Each drop comes in time, the last of them never."""
    done = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        if headed:
            request.send_header("Content-Length", "1000")
            request.end_headers()
        else:
            request.flush_headers()
        while not done.wait(0.1):
            try:
                request.wfile.write(drop)
            except OSError:
                return

    with serving(drip) as url:
        started = time.monotonic()
        with pytest.raises(ShrinkUnavailable, match="longer than"):
            SHRINKClient(url).get_reading()
        assert time.monotonic() - started < 5
        done.set()


def test_one_connection_serves_while_the_server_keeps_it() -> None:
    callers: list[object] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.protocol_version = "HTTP/1.1"
        callers.append(request.client_address)
        request.close_connection = False
        body(json.dumps(CALM).encode())(request)

    with serving(answer) as url:
        client = SHRINKClient(url)
        assert [client.get_metrics() for _ in range(3)] == [CALM] * 3
        client.close()
    assert (len(callers), len(set(callers))) == (3, 1)


def test_a_connection_that_was_closed_meanwhile_is_opened_again() -> None:
    callers: list[object] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.protocol_version = "HTTP/1.1"  # which promises to keep it
        callers.append(request.client_address)
        body(json.dumps(CALM).encode())(request)
        request.close_connection = True

    with serving(answer) as url:
        client = SHRINKClient(url)
        for wanted in range(1, 4):
            assert client.get_metrics() == CALM
            assert len(callers) == wanted, "and asked once"


def test_a_server_that_hangs_up_without_a_word_is_not_asked_for_ever() -> None:
    with serving(lambda _: None) as url, pytest.raises(ShrinkUnavailable, match="without an answer"):
        SHRINKClient(url).get_reading()


def test_a_name_and_a_password_of_the_address_are_sent_and_not_shown() -> None:
    sent: list[str | None] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        sent.append(request.headers["Authorization"])
        body(b"{}", 401)(request)

    with serving(answer) as url, pytest.raises(ShrinkUnavailable, match="401") as raised:
        SHRINKClient(url.replace("://", "://soc:se%2Fcret@")).get_reading()
    assert sent == ["Basic c29jOnNlL2NyZXQ="]
    assert "cret" not in str(raised.value)


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert SHRINKClient(url).check_availability() is False


def test_latest_never_waits_for_a_hanging_server() -> None:
    """Who routes asks for the latest reading; only the poller's own thread hangs."""
    gate = threading.Event()

    def hang(_: BaseHTTPRequestHandler) -> None:
        gate.wait(20)

    with serving(hang) as url:
        poller = ShrinkPoller(url, 0.05)
        poller.start()
        started = time.monotonic()
        for _ in range(10_000):
            assert poller.latest() is None
        assert time.monotonic() - started < 0.4, "ten thousand questions within one time-out"
        until(lambda: poller.problem)
        poller.stop()
        gate.set()


def test_a_reading_older_than_three_polls_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    now = [0.0]
    with serving(body(json.dumps(CALM).encode())) as url:
        poller = ShrinkPoller(url, 1.0, clock=lambda: now[0])
        poller.poll()
    now[0] = 2.9
    reading = poller.latest()
    assert reading is not None
    assert reading.age_s == pytest.approx(2.9)
    now[0] = 3.1
    assert poller.latest() is None
    assert poller.ok is False
    poller.poll()
    assert poller.problem, "and the failed poll is told"
    assert [r.ts for r in poller.take_readings()] == [1000.0]
    assert poller.take_readings() == []
