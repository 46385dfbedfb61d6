"""A SHRINK endpoint for tests, answering what the test says."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ShrinkStub:
    """Serves ``metrics`` while the ``with`` block lasts; None accepts requests and never answers them."""

    def __init__(self, metrics: dict[str, Any] | None) -> None:
        """Bind to a free port on loopback."""
        #: What is served; may be replaced at any time.
        self.metrics = metrics
        self._over = threading.Event()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # connections are kept, as real servers do

            def do_GET(self) -> None:
                if stub.metrics is None:
                    stub._over.wait()
                if stub._over.is_set() or stub.metrics is None:
                    self.close_connection = True
                    return
                body = json.dumps(stub.metrics).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:  # noqa: ANN401 - the base class's signature
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        #: Address to poll.
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> ShrinkStub:
        """Start serving."""
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Stop serving."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
