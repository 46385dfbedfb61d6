"""Full stores: the product's own, filled by its store writer, and one with the documented tables."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import apsw

from benchmarks import checks
from benchmarks.events import CALM, fused, new_events
from benchmarks.rig import BenchFailed, Rig
from dsmil.events.model import Event
from dsmil.fusion.shrink import Reading

_PORTION = 50_000
_BATCH = 1000
_TABLES = Path(__file__).with_name("documented.sql")
_RAW = (
    "INSERT INTO raw_events_fast (ts, event_id, device_id, layer, source, compartment, category, severity,"
    " payload, token_id, clearance) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_SOC = (
    "INSERT INTO soc_events_cache (ts, event_id, severity, category, source_device, source_layer, signals,"
    " shrink_metrics, l8_enrichment, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_SIGNALS = json.dumps({"l3": {"decision": "suspicious transfer", "score": 0.73, "device_id": 16}})
_METRICS = json.dumps({"risk_acute_stress": 0.21, "crisis_level": 0.1, "entropy": 0.3, "sentiment_score": 0.5})
_FLAGS = ("processed_by", "advml_flags", "analytics_flags", "crypto_flags", "threat_flags", "biometric_flags")
_ENRICHMENT = json.dumps({name: [] for name in _FLAGS} | {"final_severity": None, "timestamp": None})


def product_store(path: Path, rows: int, ids: str) -> None:
    """Fill a store of ``rows`` events by the store writer itself, whatever its layout is."""
    with Rig() as rig:
        rig.service("store-writer")
        done = 0
        while done < rows:
            number = min(_PORTION, rows - done)
            # With a reading, as the router writes them: what comes must not be larger than what goes.
            calm = Reading(metrics=CALM, rejected={}, ts=time.time())
            rig.add("SOC_EVENTS", fused(new_events(number, ids), calm))
            done += number
            goal = done
            rig.until(lambda: checks.newest(rig.store, "soc_events_cache") >= goal, 120, "filling of the store")  # noqa: B023
            rig.client.xtrim("SOC_EVENTS", maxlen=0, approximate=False)
        rig.processes[0].end()
        _spread_arrival(rig.store)
        _settle_log(rig.store)
        shutil.copyfile(rig.store, path)


def _spread_arrival(path: Path) -> None:
    """Let the raw rows have come evenly over 20 of the 24 hours they are kept, the SOC rows over 140 of the 168.

    Under pressure the table gives that is nearest its end. So both are at the same point of their time, as in a
    store that has long been at its limit, and give a row each for an event. Of a store that was only just filled
    raw rows alone would go, three and more for each event.
    """
    store, now = apsw.Connection(str(path)), time.time()
    for table, hours in (("raw_events_fast", 20), ("soc_events_cache", 140)):
        span: Any = store.execute(f"SELECT min(id), max(id) FROM {table}").fetchone()  # noqa: S608
        first, last = span
        for start in range(first, last + 1, _PORTION):
            store.execute(
                f"UPDATE {table} SET ingest_ts = ? - ? * (? - id) / ? WHERE id BETWEEN ? AND ?",  # noqa: S608
                (now, hours * 3600.0, last, last - first + 1, start, start + _PORTION - 1),
            )
    store.close()


def documented_store(path: Path, rows: int, ids: str) -> None:
    """Fill the documented tables with ``rows`` events."""
    store = open_documented(path)
    for start in range(0, rows, _PORTION):
        add_rows(store, rows_of(new_events(min(_PORTION, rows - start), ids)))
    store.close()
    _settle_log(path)


def open_documented(path: Path, *, page_bytes: int = 4096) -> apsw.Connection:
    """Open a store with the documented tables."""
    store = apsw.Connection(str(path))
    store.execute(f"PRAGMA page_size = {page_bytes}")
    store.execute(_TABLES.read_text("utf-8")).fetchall()
    return store


def rows_of(events: list[Event]) -> list[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """Return the two rows of each event."""
    found = []
    for e in events:
        payload, where = json.dumps(e.payload), (e.source_device, e.source_layer)
        kind = (e.category.value, e.severity.value)
        raw = (e.ts, e.event_id, *where, e.source, e.compartment, *kind, payload, e.token_id, e.clearance)
        soc = (e.ts, e.event_id, *kind[::-1], *where, _SIGNALS, _METRICS, _ENRICHMENT, payload)
        found.append((raw, soc))
    return found


def add_rows(store: apsw.Connection, rows: list[tuple[tuple[Any, ...], tuple[Any, ...]]]) -> None:
    """Add rows by bare ``executemany``, a thousand events a transaction."""
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        with store:
            store.executemany(_RAW, [raw for raw, _ in batch])
            store.executemany(_SOC, [soc for _, soc in batch])


def _settle_log(path: Path) -> None:
    """Move the log into the file, so that the file alone is the store."""
    store = apsw.Connection(str(path))
    store.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    store.close()
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        raise BenchFailed(f"{log} is not empty: somebody still reads the store")
