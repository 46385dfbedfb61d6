"""The reference loop: what one writes first. Every figure of the suite is a multiple of this one's.

One event at a time, one question to SHRINK per loop, one transaction per row, the plain client over TCP.
Run by the suite in its own environment: naive.py PORT SHRINK_URL STORE.
"""

from __future__ import annotations

import json
import sys
from typing import Any

sys.modules["hiredis"] = None  # type: ignore[assignment]  # the client as `pip install redis` brings it

import sqlite3
from pathlib import Path

import redis
import requests

STREAMS = {"L3_OUT": ">", "L4_OUT": ">"}
GROUP = "naive"
RAISED = {"LOW": "MEDIUM", "MEDIUM": "HIGH", "HIGH": "CRITICAL", "CRITICAL": "CRITICAL"}
RAW = (
    "INSERT INTO raw_events_fast (ts, event_id, device_id, layer, source, compartment, category, severity,"
    " payload, token_id, clearance) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
SOC = (
    "INSERT INTO soc_events_cache (ts, event_id, severity, category, source_device, source_layer, signals,"
    " shrink_metrics, l8_enrichment, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
ENRICHMENT = [
    *("processed_by", "advml_flags", "analytics_flags", "crypto_flags", "threat_flags", "biometric_flags"),
    *("enclave_flags", "network_flags", "soar_proposals"),
]


def fused(event: dict[str, Any], stream: str, metrics: dict[str, float]) -> dict[str, Any]:
    """Return the SOC event: severity raised by operator state, with signals and the reading."""
    severity = event["severity"]
    if metrics["crisis_level"] >= 0.8:
        severity = "CRITICAL"
    elif metrics["risk_acute_stress"] >= 0.7:
        severity = RAISED[severity]
    payload, layer = event["payload"], "l3" if stream == "L3_OUT" else "l4"
    signal = {
        "decision": payload.get("decision"),
        "score": payload.get("score"),
        "device_id": event["source_device"],
    }
    enrichment: dict[str, Any] = {name: [] for name in ENRICHMENT} | {"final_severity": None, "timestamp": None}
    return event | {
        "severity": severity,
        "original_severity": event["severity"],
        "escalation": [],
        "signals": {layer: signal},
        "shrink_metrics": metrics,
        "l8_enrichment": enrichment,
    }


def raw_row(event: dict[str, Any]) -> tuple[Any, ...]:
    """Return the row of ``raw_events_fast``."""
    names = "ts event_id source_device source_layer source compartment category original_severity".split()
    return (*(event[name] for name in names), json.dumps(event["payload"]), event["token_id"], event["clearance"])


def soc_row(event: dict[str, Any]) -> tuple[Any, ...]:
    """Return the row of ``soc_events_cache``."""
    names = "ts event_id severity category source_device source_layer".split()
    texts = "signals shrink_metrics l8_enrichment payload".split()
    return (*(event[name] for name in names), *(json.dumps(event[name]) for name in texts))


def open_store(path: str) -> sqlite3.Connection:
    """Open the store and make its tables."""
    store = sqlite3.connect(path)
    store.executescript(Path(__file__).with_name("documented.sql").read_text("utf-8"))
    return store


def make_groups(client: redis.Redis, group: str) -> None:
    """Make the group on both streams, reading from the first entry."""
    for stream in STREAMS:
        client.xgroup_create(stream, group, id="0", mkstream=True)


def main(port: str, shrink: str, path: str) -> None:
    """Serve until killed."""
    client = redis.Redis(port=int(port))
    store = open_store(path)
    make_groups(client, GROUP)
    places: dict[Any, Any] = dict(STREAMS)
    while True:
        metrics = requests.get(f"{shrink}/api/v1/metrics", timeout=5).json()
        reply: Any = client.xreadgroup(GROUP, "1", places, count=10, block=1000)
        for name, entries in reply.items() if isinstance(reply, dict) else reply or []:
            for entry_id, fields in _entries(entries):
                event = fused(json.loads(fields[b"event"]), name.decode(), metrics)
                client.xadd("SOC_EVENTS", {"event": json.dumps(event)})
                store.execute(RAW, raw_row(event))
                store.commit()
                store.execute(SOC, soc_row(event))
                store.commit()
                client.xack(name, GROUP, entry_id)


def _entries(found: Any) -> list[Any]:  # noqa: ANN401 - the client's reply
    """Return the entries of one stream: the newer protocol wraps them in one more list."""
    return found[0] if found and isinstance(found[0], list) else found


if __name__ == "__main__":
    main(*sys.argv[1:])
