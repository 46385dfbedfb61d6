"""What the peers share: fast JSON, rows, the store, and a SHRINK reading kept by a thread of its own."""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import Any

import orjson
import requests

sys.path.append(str(Path(__file__).resolve().parents[2]))

RAISED = {"LOW": "MEDIUM", "MEDIUM": "HIGH", "HIGH": "CRITICAL", "CRITICAL": "CRITICAL"}
STREAMS = ("L3_OUT", "L4_OUT")
BATCH = 500
_FLAGS = "processed_by advml_flags analytics_flags crypto_flags threat_flags biometric_flags enclave_flags".split()
_ENRICHMENT: dict[str, Any] = {name: [] for name in (*_FLAGS, "network_flags", "soar_proposals")}
_ENRICHMENT |= {"final_severity": None, "timestamp": None}
_ENRICHMENT_TEXT = orjson.dumps(_ENRICHMENT).decode()
_RAW = (
    "INSERT OR IGNORE INTO raw_events_fast (ts, event_id, device_id, layer, source, compartment, category,"
    " severity, payload, token_id, clearance) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_SOC = (
    "INSERT OR IGNORE INTO soc_events_cache (ts, event_id, severity, category, source_device, source_layer,"
    " signals, shrink_metrics, l8_enrichment, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Shrink:
    """The newest reading, asked for once a second."""

    def __init__(self, url: str) -> None:
        """Ask once, then go on in a thread."""
        self._url = f"{url}/api/v1/metrics"
        self.metrics = self._ask()
        threading.Thread(target=self._poll, daemon=True).start()

    def _ask(self) -> dict[str, float]:
        found: dict[str, float] = requests.get(self._url, timeout=5).json()
        return found

    def _poll(self) -> None:
        while True:
            time.sleep(1)
            self.metrics = self._ask()


def fused(raw: bytes, stream: str, metrics: dict[str, float]) -> dict[str, Any]:
    """Return the SOC event of one entry."""
    event: dict[str, Any] = orjson.loads(raw)
    severity, payload = event["severity"], event["payload"]
    event["original_severity"] = severity
    if metrics["crisis_level"] >= 0.8:
        event["severity"] = "CRITICAL"
    elif metrics["risk_acute_stress"] >= 0.7:
        event["severity"] = RAISED[severity]
    signal = {
        "decision": payload.get("decision"),
        "score": payload.get("score"),
        "device_id": event["source_device"],
    }
    event["escalation"] = []
    event["signals"] = {"l3" if stream == "L3_OUT" else "l4": signal}
    event["shrink_metrics"] = metrics
    event["l8_enrichment"] = _ENRICHMENT
    return event


class Store:
    """The two documented tables, a batch a transaction."""

    def __init__(self, path: str) -> None:
        """Open the file and make its tables."""
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.executescript(Path(__file__).parents[1].joinpath("documented.sql").read_text("utf-8"))

    def add(self, events: list[dict[str, Any]]) -> None:
        """Add the rows of a batch; rows that are there already stay."""
        raw, soc = [], []
        for e in events:
            payload = orjson.dumps(e["payload"]).decode()
            where = (e["source_device"], e["source_layer"])
            tail = (payload, e["token_id"], e["clearance"])
            kind = (e["source"], e["compartment"], e["category"], e["original_severity"])
            raw.append((e["ts"], e["event_id"], *where, *kind, *tail))
            texts = (orjson.dumps(e["signals"]).decode(), orjson.dumps(e["shrink_metrics"]).decode())
            head = (e["ts"], e["event_id"], e["severity"], e["category"])
            soc.append((*head, *where, *texts, _ENRICHMENT_TEXT, payload))
        with self._db:
            self._db.executemany(_RAW, raw)
            self._db.executemany(_SOC, soc)
