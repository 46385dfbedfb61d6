"""The state of a fabric in one picture: streams, groups, ledger, devices, SHRINK, store, dead letters."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil.errors import DsmilError
from dsmil.infrastructure.address import broker_url, public_url
from dsmil.infrastructure.books import read_books
from dsmil.infrastructure.broker_picture import broker_picture
from dsmil.infrastructure.connection import connect
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.instance import StateDir
from dsmil.infrastructure.listeners import told
from dsmil.infrastructure.pressure import heard
from dsmil.infrastructure.snapshots import Snapshots
from dsmil.infrastructure.trimming import saved_positions

if TYPE_CHECKING:
    import redis

    from dsmil.config import Settings

#: A heartbeat older than this means that nobody is there.
HEARTBEAT_S: Final = 15.0
_ROUTER: Final = 52


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
        "listeners": msgspec.to_builtins(told(settings.state_dir, now)),
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
        client = connect(url, settings)
        try:
            picture |= broker_picture(client)
            _account(client, picture["streams"])
            picture["pressure"] = msgspec.to_builtins(heard(client))
            picture["saved"] = saved_positions(client)
        finally:
            client.close()
    except DsmilError as exc:
        return {"address": picture["address"], "error": broker_trouble(settings, exc)}
    return picture


def broker_trouble(settings: Settings, exc: DsmilError) -> str:
    """Return why the broker does not answer; without a fabric, that nobody said where it is."""
    given = settings.redis_url or settings.redis_explicit or StateDir(settings.state_dir).running()
    why = "" if given else "no address is given and no instance runs; at the default address, "
    return f"{why}{exc}"


def _account(client: redis.Redis, streams: list[dict[str, Any]]) -> None:
    """Add to each group what became of the entries, and whether that makes everything that was added."""
    groups = {(stream["name"], group["name"]): group for stream in streams for group in stream["groups"]}
    for group in groups.values():
        group["unread"] = group.pop("lag")
        group["ledger"] = {}
    for book in read_books(client, groups):
        group = groups[book.stream, book.group]
        group |= {"pending": book.pending, "unread": book.unread, "ledger": book.ledger}
        # A reader of the user's own keeps no ledger: it has no balance once it has acknowledged something.
        if book.imbalance == 0 or (book.ledger and book.imbalance is not None):
            group["imbalance"] = book.imbalance


def _store(settings: Settings, now: float) -> dict[str, Any]:
    db = HotPathDB(settings=settings)
    picture: dict[str, Any] = {"path": str(db.place.path), "place": db.place.reason}
    if not db.place.path.exists():
        return picture | {"error": "there is no store yet"}
    try:
        picture.update(db.get_stats())
        picture["event_counts"] = db.get_event_counts()
        picture["positions"] = db.get_positions()
        picture["producers"] = db.get_producers()
        newest = Snapshots(db.place.path, settings.state_dir).newest()
        picture["snapshot"] = newest and msgspec.to_builtins(newest, enc_hook=str)
        picture["devices"] = with_life(db.get_device_statuses(), now)
        picture["shrink"] = shrink_reading(db.get_shrink_metrics(limit=1), now)
    except DsmilError as exc:
        picture["error"] = str(exc)
    finally:
        db.disconnect()
    return picture


def with_life(devices: list[dict[str, Any]], now: float) -> list[dict[str, Any]]:
    """Return the rows of ``device_status``, each with ``alive``: whether it has a fresh heartbeat."""
    return [
        {**row, "alive": row["status"] != "OFFLINE" and now - (row["last_heartbeat"] or 0) <= HEARTBEAT_S}
        for row in devices
    ]


def shrink_reading(newest: list[dict[str, Any]], now: float) -> dict[str, Any] | None:
    """Return age, freshness and metrics of the newest SHRINK reading, or None when there is none."""
    if not newest:
        return None
    age = now - newest[0]["ts"]
    return {"age_s": round(age, 1), "fresh": age <= HEARTBEAT_S, "metrics": newest[0]["metrics_json"]}
