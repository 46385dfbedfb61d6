"""Looking at what the janitor, the snapshots and the producers say; nothing is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dsmil.doctor.facts import Keeping
from dsmil.errors import DsmilError
from dsmil.infrastructure import store_place
from dsmil.infrastructure.address import broker_url
from dsmil.infrastructure.connection import connect
from dsmil.infrastructure.pressure import Pressure, heard
from dsmil.infrastructure.snapshots import Snapshots
from dsmil.infrastructure.store import Store
from dsmil.services.auditor import SILENCE

if TYPE_CHECKING:
    from dsmil.config import Settings

_JANITOR_DEVICE = 0


def look(settings: Settings, now: float, *, ask_broker: bool) -> Keeping:
    """Return what is known; what cannot be asked is left as if nothing were wrong."""
    path = store_place.choose(settings).path
    pressure = _pressure(settings) if ask_broker else Pressure()
    newest = Snapshots(path, settings.state_dir).newest()
    rows: dict[str, list[dict[str, Any]]] = {"positions": [], "producers": [], "silent": [], "devices": []}
    if path.exists():
        try:
            with Store(path, read_only=True) as store:
                rows["positions"], rows["producers"] = store.named("positions"), store.named("producers")
                rows["silent"] = store.named("silent_producers", {"now": now, **SILENCE})
                rows["devices"] = store.rows(
                    "SELECT key, value FROM device_status, json_each(metadata, '$.holders')"
                    " WHERE device_id = ? AND json_valid(metadata)",
                    (_JANITOR_DEVICE,),
                )
        except DsmilError:
            pass  # the store's own checks say what is wrong
    there = {row["stream"]: row["last_id"] for row in rows["positions"]}
    return Keeping(
        janitor=bool(pressure.shares) or not ask_broker,
        level=pressure.level,
        reason=pressure.reason,
        holders=tuple((row["key"], row["value"]) for row in rows["devices"]),
        snapshot_s=None if newest is None else max(now - newest.made, 0.0),
        snapshot_bytes=0 if newest is None else newest.size_bytes,
        snapshot_late=newest is not None and newest.positions != there,
        producers=len(rows["producers"]),
        silent=tuple((f"{r['source']} (device {r['device_id']})", now - r["last_seen"]) for r in rows["silent"]),
    )


def _pressure(settings: Settings) -> Pressure:
    try:
        with connect(broker_url(settings), settings) as client:
            return heard(client)
    except DsmilError:
        return Pressure()
