"""``/metrics`` and ``/health`` of a process, on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from dsmil import log
from dsmil.errors import DsmilError
from dsmil.infrastructure.broker_picture import durability
from dsmil.services.metrics import health
from dsmil.services.wsgi import serve

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Sequence
    from wsgiref.simple_server import WSGIServer

    from dsmil.infrastructure.redis_streams import RedisStreamsClient
    from dsmil.services.metrics import PartsCollector
    from dsmil.services.part import Part


def _fsync(bus: RedisStreamsClient) -> str:
    try:
        return durability(bus.client).split(":")[0]
    except DsmilError:
        return ""  # the parts' own checks say that the broker is away


def serve_parts(
    sock: socket.socket, parts: Sequence[Part], collector: PartsCollector, bus: RedisStreamsClient
) -> WSGIServer:
    """Answer on ``sock`` from threads of its own as long as the process lives."""
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
