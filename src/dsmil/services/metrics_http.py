"""``/metrics`` and ``/health`` of a process, on loopback."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from dsmil import log
from dsmil.errors import DsmilError
from dsmil.infrastructure.broker_picture import durability
from dsmil.services.metrics import health
from dsmil.services.wsgi import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from wsgiref.simple_server import WSGIServer

    from dsmil.infrastructure.redis_streams import RedisStreamsClient
    from dsmil.services.metrics import PartsCollector
    from dsmil.services.part import Part

#: Documented port; when it is busy the next free one is taken.
FIRST_PORT: Final = 8000
_TRIES: Final = 200


def listen(first: int = FIRST_PORT) -> socket.socket:
    """Return a listening socket on loopback, on ``first`` or the next free port."""
    for port in range(first, first + _TRIES):
        try:
            return socket.create_server(("127.0.0.1", port), backlog=16)
        except OSError:
            continue
    msg = f"no free port on 127.0.0.1 between {first} and {first + _TRIES - 1}"
    raise DsmilError(msg)


def _fsync(bus: RedisStreamsClient) -> str:
    try:
        return durability(bus.client).split(":")[0]
    except DsmilError:
        return ""  # the parts' own checks say that the broker is away


def serve_parts(
    sock: socket.socket, parts: Sequence[Part], collector: PartsCollector, bus: RedisStreamsClient
) -> WSGIServer:
    """Answer on ``sock`` from a thread of its own; ``shutdown()`` of what is returned ends it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    logger = log.get("metrics")

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path == "/metrics":
            try:
                body, kind, status = generate_latest(registry), CONTENT_TYPE_LATEST, "200 OK"
            except DsmilError as exc:
                logger.warning("metrics.failed", cause=str(exc))
                body, kind, status = (
                    b"# the broker does not answer\n",
                    "text/plain",
                    "503 Service Unavailable",
                )
        elif path == "/health":
            found = health([part.vitals() for part in parts], _fsync(bus))
            status = "503 Service Unavailable" if found["status"] == "unhealthy" else "200 OK"
            body, kind = msgspec.json.encode(found), "application/json"
        else:
            body, kind, status = b"not here; try /metrics or /health\n", "text/plain", "404 Not Found"
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    return serve(sock, app)
