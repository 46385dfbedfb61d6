"""An operator-state service that is ill in every way a scenario asks for, and a place nobody may be led to."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

#: What an ill answer carries wherever it can: a router that believed it would make everything CRITICAL.
_LIE: Final = json.dumps({"crisis_level": 1.0, "risk_acute_stress": 1.0}).encode()
_CALM: Final = {"crisis_level": 0.0, "risk_acute_stress": 0.1}
STRESS: Final = {"crisis_level": 0.0, "risk_acute_stress": 0.9}
_CHUNK: Final = b"x" * (1 << 20)
_HUGE: Final = 1 << 30
_DRIP_S: Final = 0.2


class Forbidden(threading.Thread):
    """A server inside the network; counts whoever comes."""

    def __init__(self) -> None:
        super().__init__(name="forbidden", daemon=True)
        self.visits = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/latest/meta-data"

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.visits += 1
                connection.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.join()


class SickShrink:
    """Serves while the ``with`` block lasts; set :attr:`illness` to one of :data:`ILLNESSES`, or None."""

    def __init__(self) -> None:
        self.illness: str | None = None
        #: What it says when it is well.
        self.metrics: dict[str, float] = dict(_CALM)
        #: Requests answered by illness; None counts those that were answered well.
        self.asked: dict[str | None, int] = {}
        self.forbidden = Forbidden()
        self._over = threading.Event()
        sick = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                illness = sick.illness
                sick.asked[illness] = sick.asked.get(illness, 0) + 1
                with contextlib.suppress(OSError):  # the client has had enough
                    if illness is None:
                        sick._say(self, json.dumps(sick.metrics).encode())
                    else:
                        ILLNESSES[illness](sick, self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> SickShrink:
        self._thread.start()
        self.forbidden.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.forbidden.close()

    def _say(
        self, to: BaseHTTPRequestHandler, body: bytes, status: int = 200, length: int | None = None, **more: str
    ) -> None:
        to.send_response(status)
        to.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in more.items():
            to.send_header(name, value)
        to.end_headers()
        to.wfile.write(body)

    def _hang(self, _to: BaseHTTPRequestHandler) -> None:
        self._last("hang")

    def _last(self, illness: str) -> None:
        while self.illness == illness and not self._over.wait(0.02):
            pass

    def _fail(self, to: BaseHTTPRequestHandler) -> None:
        self._say(to, _LIE, 500)

    def _flood(self, to: BaseHTTPRequestHandler) -> None:
        self._say(to, _LIE[:-1] + b', "padding": "', length=_HUGE)
        for _ in range(_HUGE // len(_CHUNK)):
            to.wfile.write(_CHUNK)

    def _nonsense(self, to: BaseHTTPRequestHandler) -> None:
        self._say(to, b'{"crisis_level": NaN, "risk_acute_stress": Infinity, "x": -Infinity}')

    def _redirect(self, to: BaseHTTPRequestHandler) -> None:
        self._say(to, _LIE, 302, Location=self.forbidden.url)

    def _drip(self, to: BaseHTTPRequestHandler) -> None:
        self._say(to, b"", length=len(_LIE))
        for n in range(len(_LIE)):
            if self.illness != "drip":
                return
            to.wfile.write(_LIE[n : n + 1])
            self._over.wait(_DRIP_S)

    def _drip_headers(self, to: BaseHTTPRequestHandler) -> None:
        to.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while self.illness == "drip_headers" and not self._over.is_set():
            to.wfile.write(b"X: y\r\n")
            self._over.wait(_DRIP_S)

    def _page(self, to: BaseHTTPRequestHandler) -> None:
        self._say(to, b"<html>crisis_level 1.0</html>")


ILLNESSES: Final[dict[str, Callable[[SickShrink, BaseHTTPRequestHandler], None]]] = {
    "hang": SickShrink._hang,
    "500": SickShrink._fail,
    "1 GB": SickShrink._flood,
    "NaN": SickShrink._nonsense,
    "redirect": SickShrink._redirect,
    "drip": SickShrink._drip,
    "drip_headers": SickShrink._drip_headers,
    "page": SickShrink._page,
}
