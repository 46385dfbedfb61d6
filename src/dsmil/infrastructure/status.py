"""The state of a fabric in one picture: streams, groups, ledger, devices, SHRINK, store, dead letters."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from dsmil.errors import DsmilError
from dsmil.events.streams import DEAD_LETTERS, DEFAULT_GROUP, StreamName
from dsmil.infrastructure.connection import broker_url, public_url, translated
from dsmil.infrastructure.groups import ledger_key
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.instance import StateDir
from dsmil.infrastructure.redis_streams import RedisStreamsClient

if TYPE_CHECKING:
    from dsmil.config import Settings

#: A heartbeat older than this means that nobody is there.
HEARTBEAT_S: Final = 15.0
_ROUTER: Final = 52
#: Ledger fields that count something beside the entries themselves.
_BESIDE: Final = frozenset({"outputs"})


def collect(settings: Settings) -> dict[str, Any]:
    """Return the picture; a part that does not answer is there with its ``error``."""
    now = time.time()
    instance = StateDir(settings.state_dir).running()
    found: dict[str, Any] = {
        "instance": None
        if instance is None
        else {
            "pid": instance.pid,
            "uptime_s": round(now - instance.started, 1),
            "version": instance.version,
            "broker_mode": instance.broker_mode,
            "ports": instance.ports,
            "shrink_url": instance.shrink_url,
        },
        "state_dir": str(settings.state_dir),
        "broker": _broker(settings),
        "store": _store(settings, now),
    }
    found["running"] = _running(found)
    return found


def _running(found: dict[str, Any]) -> bool:
    """Return whether the fabric works: our instance, or services run by units: a router that beats."""
    if found["instance"] is not None:
        return True
    alive = any(d["alive"] for d in found["store"].get("devices", ()) if d["device_id"] == _ROUTER)
    return alive and "error" not in found["broker"]


def _broker(settings: Settings) -> dict[str, Any]:
    url = broker_url(settings)
    picture: dict[str, Any] = {"address": public_url(url)}
    try:
        with RedisStreamsClient(url, settings=settings) as bus, translated("asking the broker"):
            info: Any = bus.client.info()
            picture["version"] = f"{info.get('server_name', 'redis')} {_version(info)}"
            picture["used_memory"] = info["used_memory"]
            picture["maxmemory_policy"] = info.get("maxmemory_policy")
            picture["durability"] = durability(bus)
            picture["streams"] = [_stream(bus, stream) for stream in StreamName]
            picture["dead_letters"] = int(bus.client.xlen(DEAD_LETTERS))
    except DsmilError as exc:
        given = settings.redis_url or settings.redis_explicit or StateDir(settings.state_dir).running()
        why = "" if given else "no address is given and no instance runs; at the default address, "
        picture["error"] = f"{why}{exc}"
    return picture


def _version(info: dict[str, Any]) -> str:
    return str(info.get("valkey_version") or info.get("redis_version"))


def durability(bus: RedisStreamsClient) -> str:
    """Return when the broker writes to disk: everysec, always, no, or none; unknown when it does not say."""
    try:
        with translated("asking for durability"):
            found: Any = bus.client.config_get("append*")
    except DsmilError:
        return "unknown: CONFIG is not allowed"
    values = {_text(k): _text(v) for k, v in found.items()}
    return values.get("appendfsync", "unknown") if values.get("appendonly") == "yes" else "none"


def _stream(bus: RedisStreamsClient, stream: StreamName) -> dict[str, Any]:
    info = bus.get_stream_info(stream)
    for group in info["groups"]:
        ledger = {_text(k): int(v) for k, v in bus.client.hgetall(ledger_key(stream, group["name"])).items()}
        group["ledger"] = ledger
        group["unread"] = group.pop("lag")
        if group["name"] != DEFAULT_GROUP and group["unread"] is not None:
            settled = sum(count for field, count in ledger.items() if field not in _BESIDE)
            # Everything that was added is settled, in work or unread; another sum means loss or doubling.
            group["imbalance"] = info["entries_added"] - settled - group["pending"] - group["unread"]
    return info


def _store(settings: Settings, now: float) -> dict[str, Any]:
    db = HotPathDB(settings=settings)
    picture: dict[str, Any] = {"path": str(db.place.path), "place": db.place.reason}
    if not db.place.path.exists():
        return picture | {"error": "there is no store yet"}
    try:
        picture.update(db.get_stats())
        picture["positions"] = db.get_positions()
        picture["devices"] = [
            {**row, "alive": row["status"] != "OFFLINE" and now - (row["last_heartbeat"] or 0) <= HEARTBEAT_S}
            for row in db.get_device_statuses()
        ]
        newest = db.get_shrink_metrics(limit=1)
        picture["shrink"] = None
        if newest:
            age = now - newest[0]["ts"]
            picture["shrink"] = {
                "age_s": round(age, 1),
                "fresh": age <= HEARTBEAT_S,
                "metrics": newest[0]["metrics_json"],
            }
    except DsmilError as exc:
        picture["error"] = str(exc)
    finally:
        db.disconnect()
    return picture


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
