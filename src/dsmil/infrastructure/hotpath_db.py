"""The documented hot-path database: real-time state in memory, by SQL.

Writers answer True or False and log why; readers return lists of dictionaries, newest first. One
HotPathDB may be shared by threads.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil import log
from dsmil.config import Settings
from dsmil.errors import DsmilError, EventInvalid, StoreUnavailable
from dsmil.events import codec, devices
from dsmil.events.model import Severity, SocEvent, create_event, parse_severity
from dsmil.infrastructure import event_counts, store_place
from dsmil.infrastructure.paging import soc_events
from dsmil.infrastructure.retention import RULES, expire
from dsmil.infrastructure.rows import Row, decoded, json_text, raw_row, soc_row
from dsmil.infrastructure.sql import statement
from dsmil.infrastructure.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["HotPathConfig", "HotPathDB"]

TABLES: Final = (
    "raw_events_fast",
    "model_outputs_fast",
    "layer_state",
    "device_status",
    "soc_events_cache",
    "shrink_metrics",
)
#: The documented metrics that have a column of their own.
SHRINK_COLUMNS: Final = (
    *("risk_acute_stress", "crisis_level", "lbi_hyperfocus_density", "sentiment_score", "entropy"),
)


class HotPathConfig(msgspec.Struct, frozen=True):
    """Where the database lies; empty means the documented place or its fallback."""

    #: File to use.
    db_path: str | Path = ""
    #: File to use when the documented tmpfs is not there.
    fallback_path: str | Path = ""


class HotPathDB:
    """The documented client of the hot store."""

    def __init__(self, config: HotPathConfig | None = None, *, settings: Settings | None = None) -> None:
        """Choose the place; nothing is opened yet."""
        chosen = settings or Settings.from_env()
        if config is not None and config.db_path:
            chosen = chosen.replace(hotpath_db=str(config.db_path))
        if config is not None and config.fallback_path:
            chosen = chosen.replace(hotpath_fallback=str(config.fallback_path))
        #: Where the database lies and why there.
        self.place = store_place.choose(chosen)
        self._store: Store | None = None
        self._lock = threading.RLock()
        self._log = log.get("hotpath-db")

    def connect(self) -> bool:
        """Open the database, making the file if needed; False and a logged reason when that fails."""
        with self._lock:
            if self._store is None:
                try:
                    self._store = Store(self.place.path)
                except DsmilError as exc:
                    self._log.warning("store.connect_failed", path=str(self.place.path), cause=str(exc))
                    return False
                if self.place.degraded:
                    self._log.warning("store.on_disk", path=str(self.place.path), cause=self.place.reason)
            return True

    def initialize_schema(self) -> bool:
        """Bring the schema up to date, step by step."""
        with self._lock:
            try:
                self._ready()
            except DsmilError as exc:
                self._log.warning("store.schema_failed", path=str(self.place.path), cause=str(exc))
                return False
            return True

    # Writers

    def insert_event(
        self,
        event_id: str,
        device_id: int,
        layer: int,
        source: str,
        compartment: str,
        category: str,
        severity: str,
        payload: dict[str, Any],
        *,
        ts: float | None = None,
        token_id: int | None = None,
        clearance: int | None = None,
    ) -> bool:
        """Add a raw event; one whose ``event_id`` is there already changes nothing and is a success."""

        def row() -> Row:
            codec.check_finite(payload)
            event = create_event(
                *(device_id, layer, category, severity, payload),
                event_id=_named(event_id),
                ts=ts,
                source=source,
                compartment=compartment,
                token_id=token_id,
                clearance=clearance,
            )
            return raw_row(event)

        return self._write("insert_raw", row)

    def insert_soc_event(
        self,
        event_id: str,
        severity: str,
        category: str,
        source_device: int,
        source_layer: int,
        payload: dict[str, Any],
        *,
        signals: dict[str, Any] | None = None,
        shrink_metrics: dict[str, Any] | None = None,
        l8_enrichment: dict[str, Any] | None = None,
        original_severity: str | None = None,
        ts: float | None = None,
    ) -> bool:
        """Add a SOC event; the first body of an ``event_id`` stays."""

        def row() -> Row:
            codec.check_finite([payload, signals, shrink_metrics, l8_enrichment])
            judged = parse_severity(severity)[0]
            event = create_event(
                *(source_device, source_layer, category, judged, payload), event_id=_named(event_id), ts=ts
            )
            fused = SocEvent(
                **msgspec.structs.asdict(event),
                original_severity=parse_severity(original_severity or judged)[0],
                escalation=(),
                signals=signals or {},
                shrink_metrics=shrink_metrics,
                l8_enrichment=l8_enrichment or {},
            )
            return soc_row(fused)

        return self._write("insert_soc", row)

    def insert_shrink_metrics(self, metrics: dict[str, Any], *, ts: float | None = None) -> bool:
        """Add a SHRINK reading; metrics without a column of their own stay in ``metrics_json``."""
        when = time.time() if ts is None else ts

        def row() -> Row:
            known = {"crisis_level": metrics.get("shrink_crisis_level")} | metrics
            return (when, *(known.get(name) for name in SHRINK_COLUMNS), _json(metrics))

        return self._write("insert_shrink", row)

    def insert_model_output(
        self,
        output_id: str,
        device_id: int,
        layer: int,
        model: str,
        output: dict[str, Any],
        *,
        input_ref: str | None = None,
        score: float | None = None,
        tops_used: float | None = None,
        latency_ms: float | None = None,
        hardware: str | None = None,
        ts: float | None = None,
    ) -> bool:
        """Add a model's output; ``hardware`` is NPU, GPU or CPU."""
        when = time.time() if ts is None else ts
        first = (when, output_id, device_id, layer, model, input_ref)
        rest = (score, tops_used, latency_ms, hardware)
        return self._write("insert_model_output", lambda: (*first, _json(output), *rest))

    def update_device_status(
        self,
        device_id: int,
        layer: int,
        name: str,
        status: str,
        memory_mb: float | None = None,
        tops_allocated: float | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> bool:
        """Record a device's heartbeat; ``status`` is ONLINE, OFFLINE, BUSY or ERROR."""
        row = (device_id, layer, name, status, memory_mb, tops_allocated, time.time())
        return self._write("upsert_device", lambda: (*row, None if metadata is None else _json(metadata)))

    def update_layer_state(
        self,
        layer: int,
        active_devices: list[int],
        memory_used_gb: float,
        tops_used: float,
        tops_available: float | None = None,
        event_count: int = 0,
    ) -> bool:
        """Record the state of a layer; ``tops_available`` is the layer's budget by default."""

        def row() -> Row:
            budget = devices.layer(layer).tops if tops_available is None else tops_available
            used = (memory_used_gb, tops_used, budget, event_count)
            return (layer, _json(active_devices), *used, time.time())

        return self._write("upsert_layer", row)

    def refresh_layer_states(self, heartbeat_s: float = 15.0) -> bool:
        """Derive ``layer_state`` from the heartbeats of the devices; one older than this counts as gone."""
        now = time.time()
        return self._write("refresh_layers", lambda: {"now": now, "alive": now - heartbeat_s})

    def cleanup_old_data(self) -> dict[str, int]:
        """Delete rows beyond the documented retention; return how many by table."""
        total = dict.fromkeys((rule.table for rule in RULES), 0)
        with self._lock:
            while gone := expire(self._ready(), time.time()):
                for table, rows in gone.items():
                    total[table] += rows
        return total

    # Readers

    def get_recent_events(
        self, layer: int | None = None, severity: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Return the newest raw events, optionally of one layer or severity.

        Each combination of layer and severity is one look into the index; a filter on one of them alone
        merges the newest of each, because no single index has them in order.
        """
        if layer is None and severity is None:
            return self._read("recent_raw", {"limit": limit})
        layers = [layer] if layer is not None else list(range(10))
        severities = [parse_severity(severity)[0]] if severity is not None else list(Severity)
        found = [
            row
            for number in layers
            for level in severities
            for row in self._read("recent_raw_of", {"layer": number, "severity": level.value, "limit": limit})
        ]
        found.sort(key=lambda row: row["ts"], reverse=True)
        return found[:limit] if limit >= 0 else found

    def get_recent_soc_events(self, limit: int = 100, severity: str | None = None) -> list[dict[str, Any]]:
        """Return the newest SOC events, optionally of one severity."""
        if severity is None:
            return self._read("recent_soc", {"limit": limit})
        level = parse_severity(severity)[0].value
        return self._read("recent_soc_of", {"severity": level, "limit": limit})

    def stream_soc_events(self, limit: int = 100, severity: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the newest SOC events, the oldest of them first; only a page of them is in memory."""
        return soc_events(self._read, limit, severity)

    def get_event(self, event_id: str) -> dict[str, dict[str, Any] | None]:
        """Return the rows of one event id: ``raw`` and ``soc``, each None when there is none."""
        raw, soc = self._read("raw_by_id", (event_id,)), self._read("soc_by_id", (event_id,))
        return {"raw": raw[0] if raw else None, "soc": soc[0] if soc else None}

    def get_findings(self, since: float) -> list[dict[str, Any]]:
        """Return the raw rows of Layer 3 findings from ``since`` on, Unix seconds, oldest first."""
        return self._read("findings_since", {"since": since})

    def get_device_statuses(self) -> list[dict[str, Any]]:
        """Return every device that has ever sent a heartbeat."""
        return self._read("device_statuses")

    def get_layer_states(self) -> list[dict[str, Any]]:
        """Return the state of layers 2-9."""
        return self._read("layer_states")

    def get_shrink_metrics(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return the newest SHRINK readings."""
        return self._read("recent_shrink", (limit,))

    def get_model_outputs(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return the newest model outputs."""
        return self._read("recent_model_outputs", (limit,))

    def get_positions(self) -> list[dict[str, Any]]:
        """Return up to where each stream has been copied into the store, with the counts of the copy."""
        return self._read("positions")

    def get_producers(self) -> list[dict[str, Any]]:
        """Return who has spoken: source, device, events, when first and last, longest gap; all in seconds."""
        return self._read("producers")

    def get_event_counts(self) -> list[dict[str, Any]]:
        """Return the rows of each event table by layer and severity; the size of the store does not matter."""
        return self._read("event_counts")

    def get_stats(self) -> dict[str, Any]:
        """Return path, ``db_size_bytes`` (file and log), ``used_bytes`` and the row count of each table."""
        with self._lock:
            store = self._ready()
            counted = event_counts.totals(store)
            counts = {
                table: store.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"]  # noqa: S608 - fixed names
                if table not in counted
                else counted[table]
                for table in TABLES
            }
            return {
                "path": str(self.place.path),
                "place": self.place.reason,
                "db_size_bytes": self.size_bytes(),
                "used_bytes": store.used_bytes(),
                "row_counts": counts,
            }

    def size_bytes(self) -> int:
        """Return the bytes that the file, its log and its index take."""
        return sum(_size(Path(f"{self.place.path}{end}")) for end in ("", "-wal", "-shm"))

    def disconnect(self) -> None:
        """Close the database; a later call opens it again."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None

    def __enter__(self) -> HotPathDB:
        """Return itself; the file is opened on first use."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Disconnect."""
        self.disconnect()

    # Inside

    def _ready(self) -> Store:
        if self._store is not None and self._store.replaced():
            self.disconnect()  # the tmpfs was wiped under us: go on with the new file
        if self._store is None and not self.connect():
            raise StoreUnavailable(f"{self.place.path} cannot be opened")
        if self._store is None:
            raise StoreUnavailable
        if not self._store.migrated:
            self._store.migrate()
        return self._store

    def _write(self, name: str, bindings: Callable[[], Row | dict[str, Any]]) -> bool:
        """Run one writing statement; whatever is wrong with the values is logged and answered with False."""
        with self._lock:
            try:
                values = bindings()
                with self._ready().writing(name) as connection:
                    connection.execute(statement(name), values)
            except (DsmilError, TypeError, ValueError, OverflowError, AttributeError) as exc:
                self._log.warning("store.write_failed", statement=name, cause=f"{type(exc).__name__}: {exc}")
                return False
            return True

    def _read(self, name: str, bindings: Any = ()) -> list[dict[str, Any]]:  # noqa: ANN401 - tuple or mapping
        with self._lock:
            return [decoded(row) for row in self._ready().named(name, bindings)]


def _json(value: object) -> str:
    """Return a value as JSON text; raises EventInvalid for what JSON cannot say."""
    codec.check_finite(value)
    return json_text(value)


def _named(event_id: str) -> str:
    """Return an event id that is there; only a producer may leave it out and be given one."""
    if not event_id:
        raise EventInvalid("bad_field", "event_id is missing")
    return event_id


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
