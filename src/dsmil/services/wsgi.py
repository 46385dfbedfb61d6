"""A small WSGI server on a socket that is bound already, answering from threads of its own."""

from __future__ import annotations

import threading
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _Handler(WSGIRequestHandler):
    #: Seconds a client may take over its request.
    timeout = 10

    def log_message(self, *_args: Any) -> None:  # noqa: ANN401 - the signature of the base class
        """Say nothing: scrapes are not news."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, sock: socket.socket) -> None:
        address = sock.getsockname()[:2]
        super().__init__(address, _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = sock
        # What server_bind would have filled in.
        self.server_address = address
        self.server_name, self.server_port = address
        self.setup_environ()


def serve(sock: socket.socket, app: WsgiApp) -> WSGIServer:
    """Answer on ``sock`` as long as the process lives, or until ``server_close()`` of what is returned."""
    server = _Server(sock)
    server.set_app(app)
    # Without looking up now and then whether to shut down: an idle process has no reason to wake.
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": None}, name="http", daemon=True).start()
    return server
