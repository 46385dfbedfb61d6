"""The load: findings as Layers 3 and 4 publish them, and log lines as Suricata writes them."""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from dsmil.events import codec, ids
from dsmil.events.model import Event, create_event
from dsmil.events.streams import StreamName
from dsmil.fusion.fuse import fuse
from dsmil.fusion.shrink import Reading

#: A calm operator: nothing is raised, so that every contender writes the same severities.
CALM = {
    "risk_acute_stress": 0.21,
    "crisis_level": 0.1,
    "lbi_hyperfocus_density": 0.4,
    "sentiment_score": 0.5,
    "entropy": 0.3,
}
_SEVERITIES = ("LOW", "MEDIUM", "MEDIUM", "HIGH", "LOW", "MEDIUM", "HIGH", "CRITICAL")


def _payload(n: int) -> dict[str, Any]:
    """Return nine keys, about 190 bytes."""
    return {
        "decision": "suspicious transfer",
        "score": 0.73,
        "signature_id": 2_100_000 + n % 500,
        "src_ip": f"192.0.2.{n % 250}",
        "src_port": 1024 + n % 50_000,
        "dest_ip": f"198.51.100.{n % 240}",
        "dest_port": 443,
        "proto": "TCP",
        "bytes": 4000 + n % 9000,
    }


def new_events(count: int, id_kind: str) -> list[Event]:
    """Return findings, even ones of Layer 3, odd ones of Layer 4; ``id_kind`` is v7 or v4."""
    start = time.time() - count * 1e-4
    made = []
    for n in range(count):
        ts = start + n * 1e-4
        made.append(
            create_event(
                source_device=16 if n % 2 == 0 else 25,
                source_layer=3 if n % 2 == 0 else 4,
                category="NETWORK",
                severity=_SEVERITIES[n % len(_SEVERITIES)],
                payload=_payload(n),
                event_id=ids.new_id(ts) if id_kind == "v7" else str(uuid.uuid4()),
                ts=ts,
                source="bench",
            )
        )
    return made


def by_stream(events: list[Event]) -> dict[str, list[bytes]]:
    """Return the encoded events for each of the router's streams."""
    found: dict[str, list[bytes]] = {"L3_OUT": [], "L4_OUT": []}
    for event in events:
        found["L3_OUT" if event.source_layer == 3 else "L4_OUT"].append(codec.encode(event))
    return found


def fused(events: list[Event], reading: Reading | None = None) -> list[bytes]:
    """Return the encoded SOC events that the router would make of these, with an operator reading or without."""
    streams = {3: StreamName.L3_OUT, 4: StreamName.L4_OUT}
    return [codec.encode(fuse(event, streams[event.source_layer], reading)) for event in events]


def eve_line(n: int, at: float) -> bytes:
    """Return one line of a Suricata log: a flow, about 400 bytes, seen at ``at`` (Unix seconds)."""
    stamp = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f+0000")
    flow = {
        "pkts_toserver": 12,
        "pkts_toclient": 14,
        "bytes_toserver": 1400 + n % 999,
        "bytes_toclient": 9000,
        "state": "closed",
        "reason": "timeout",
        "age": 3,
    }
    record = {
        "timestamp": stamp,
        "flow_id": 10**15 + n,
        "in_iface": "eth1",
        "event_type": "flow",
        "src_ip": f"192.0.2.{n % 250}",
        "src_port": 1024 + n % 50_000,
        "dest_ip": f"198.51.100.{n % 240}",
        "dest_port": 443,
        "proto": "TCP",
        "app_proto": "tls",
        "flow": flow,
        "host": "sensor-1",
    }
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def zeek_line(n: int, at: float) -> bytes:
    """Return one line of a Zeek log in JSON: a connection, about 400 bytes, seen at ``at`` (Unix seconds)."""
    record = {
        "ts": round(at, 6),
        "uid": f"C{n:017d}",
        "id.orig_h": f"192.0.2.{n % 250}",
        "id.orig_p": 1024 + n % 50_000,
        "id.resp_h": f"198.51.100.{n % 240}",
        "id.resp_p": 443,
        "proto": "tcp",
        "service": "ssl",
        "duration": 0.25,
        "orig_bytes": 1400 + n % 999,
        "resp_bytes": 9000,
        "conn_state": "SF",
        "local_orig": True,
        "local_resp": False,
        "missed_bytes": 0,
        "history": "ShADadfF",
        "orig_pkts": 12,
        "orig_ip_bytes": 2000,
        "resp_pkts": 14,
        "resp_ip_bytes": 9600,
    }
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def syslog_line(n: int, at: float) -> bytes:
    """Return one RFC 5424 line, about 130 bytes, written at ``at`` (Unix seconds)."""
    stamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")
    text = f"Failed password for root from 192.0.2.{n % 250} port {1024 + n % 50_000} ssh2"
    return f"<86>1 {stamp} web{n % 20} sshd {1000 + n % 9000} - - {text}\n".encode()
