"""What the broker says of itself and of the streams, in one round trip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import redis

from dsmil.errors import DsmilError
from dsmil.events.streams import DEAD_LETTERS, StreamName
from dsmil.infrastructure.connection import translated

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNKNOWN: Final = "unknown: CONFIG is not allowed"


def broker_picture(client: redis.Redis) -> dict[str, Any]:
    """Return version, memory (bytes), durability, dead letters and streams with their groups.

    Raises Unavailable. A user who may not see the configuration gets a durability that says so.
    """
    with translated("asking the broker"):
        pipeline = client.pipeline(transaction=False)
        pipeline.info("server", "memory")
        pipeline.config_get("append*")
        pipeline.xlen(DEAD_LETTERS)
        for stream in StreamName:
            pipeline.xinfo_stream(stream)
            pipeline.xinfo_groups(stream)
        info, config, letters, *rest = pipeline.execute(raise_on_error=False)
        shown = [
            stream_shape(stream.value, _there(rest[2 * i]), _there(rest[2 * i + 1]))
            for i, stream in enumerate(StreamName)
        ]
        info = _given(info)
        number = info.get("valkey_version") or info.get("redis_version")
        return {
            "version": f"{info.get('server_name', 'redis')} {number}",
            "used_memory": info["used_memory"],
            "maxmemory": info.get("maxmemory"),
            "maxmemory_policy": info.get("maxmemory_policy"),
            "durability": _durability(config),
            "streams": shown,
            "dead_letters": int(_given(letters)),
        }


def durability(client: redis.Redis) -> str:
    """Return when the broker writes to disk: everysec, always, no, or none; unknown when it does not say."""
    try:
        with translated("asking for durability"):
            return _durability(client.config_get("append*"))
    except DsmilError:
        return _UNKNOWN


def stream_shape(name: str, info: Mapping[str, Any] | None, groups: Any) -> dict[str, Any]:  # noqa: ANN401 - a reply
    """Return length, ids and counts of a stream and its groups, from the driver's replies; None: no stream."""
    if info is None:
        return {"name": name, "exists": False, "length": 0, "entries_added": 0, "groups": []}
    return {
        "name": name,
        "exists": True,
        "length": info["length"],
        "entries_added": info.get("entries-added", info["length"]),
        "last_generated_id": _text(info["last-generated-id"]),
        "first_entry_id": _text(info["first-entry"][0]) if info["first-entry"] else None,
        "groups": [
            {
                "name": _text(group["name"]),
                "consumers": group["consumers"],
                "pending": group["pending"],
                "lag": group.get("lag"),
                "last_delivered_id": _text(group["last-delivered-id"]),
            }
            for group in groups or ()
        ],
    }


def _given(reply: Any) -> Any:  # noqa: ANN401 - any reply
    if isinstance(reply, Exception):
        raise reply
    return reply


def _there(reply: Any) -> Any:  # noqa: ANN401 - any reply
    """Return the reply, or None for a stream that nobody has made yet."""
    if isinstance(reply, redis.ResponseError) and "no such key" in str(reply):
        return None
    return _given(reply)


def _durability(reply: Any) -> str:  # noqa: ANN401 - any reply
    if isinstance(reply, redis.ResponseError):
        return _UNKNOWN
    values = {_text(k): _text(v) for k, v in _given(reply).items()}
    return values.get("appendfsync", "unknown") if values.get("appendonly") == "yes" else "none"


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
