"""A client for the broker whose waits and retries are ours.

The client library's defaults lose and double events: a socket time-out of 5 s is exactly the documented
blocking read, and its silent retries write twice when a reply is lost. Both are set here, once.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from dsmil.config import Settings
from dsmil.errors import BusRefused, BusUnavailable, GroupLost, LoginRefused, NotAllowed
from dsmil.infrastructure.address import broker_url

#: Seconds a reply may come later than the longest blocking read.
_GRACE_S: Final = 5.0
_CONNECT_S: Final = 3.0


def broker_database(settings: Settings) -> int:
    """Return the number of the broker's database."""
    return int(redis.connection.parse_url(broker_url(settings)).get("db", 0))  # type: ignore[no-untyped-call]


def connect(url: str, settings: Settings) -> redis.Redis:
    """Return a client; it connects at its first command. Replies are bytes in their RESP2 shapes."""
    options: dict[str, Any] = {
        "socket_timeout": settings.poll_timeout_ms / 1000 + _GRACE_S,
        "socket_connect_timeout": _CONNECT_S,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "protocol": 2,
        "decode_responses": False,
        "client_name": "dsmil",
        "driver_info": None,  # CLIENT SETINFO would be refused to our users, on every connection
    }
    if settings.redis_username:
        options["username"] = settings.redis_username
    if settings.redis_password:
        options["password"] = str(settings.redis_password)
    if url.startswith("rediss://"):
        options |= _tls(settings)
    if url.startswith("unix://"):
        # A unix socket connects at once or not at all, and its class takes no connect time-out.
        del options["socket_connect_timeout"]
    return redis.Redis.from_url(url, **options)


def _tls(settings: Settings) -> dict[str, Any]:
    """Return what makes a connection believe only a server that proves who it is."""
    return {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": settings.redis_tls_check_hostname,
        "ssl_ca_certs": settings.redis_tls_ca or None,
        "ssl_certfile": settings.redis_tls_cert or None,
        "ssl_keyfile": settings.redis_tls_key or None,
        "ssl_min_version": ssl.TLSVersion.TLSv1_2,
    }


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn the driver's errors into ours, so that no caller needs to know the driver."""
    try:
        yield
    except redis.AuthenticationError as exc:
        msg = f"{what}: the broker refuses user or password (REDIS_USERNAME, REDIS_PASSWORD): {exc}"
        raise LoginRefused(msg) from exc
    except redis.exceptions.NoPermissionError as exc:
        msg = f"{what}: this user may not do that: {exc}"
        raise NotAllowed(msg) from exc
    except (redis.ConnectionError, redis.TimeoutError) as exc:
        msg = f"{what}: the broker does not answer: {exc}"
        raise BusUnavailable(msg) from exc
    except redis.ResponseError as exc:
        text = str(exc)
        if text.startswith("NOGROUP") or "NOGROUP" in text:
            msg = f"{what}: {text}"
            raise GroupLost(msg) from exc
        msg = f"{what}: the broker refuses: {text}"
        raise BusRefused(msg) from exc
    except redis.RedisError as exc:
        msg = f"{what}: {exc}"
        raise BusUnavailable(msg) from exc
