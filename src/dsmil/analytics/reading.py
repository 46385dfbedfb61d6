"""Records of network sensors as the analytics see them, from the payloads that the feeds make."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from dsmil.analytics.records import Connection, Lookup, Named, Record
from dsmil.events.model import MAX_TS

if TYPE_CHECKING:
    from collections.abc import Callable

    from dsmil.events.model import Event

    _Reader = Callable[[dict[str, Any], float], Record | None]

#: States of a Zeek connection that was attempted, and refused or not answered (Zeek's manual, ``conn_state``).
_ZEEK_FAILED: Final = frozenset(("S0", "REJ", "RSTOS0", "SH"))
#: Bits of TCP's flags.
_SYN: Final = 0x02
_RST: Final = 0x04
#: Ports below are those of services.
_SERVICES: Final = 1024
#: Fields by which a Zeek log is known when its records do not name it: file writers leave ``_path`` out.
_ZEEK_SHAPES: Final = (
    ("conn", ("conn_state", "orig_pkts")),
    ("dns", ("qtype", "qclass", "rcode", "query")),
    ("kerberos", ("request_type", "till")),
    ("sip", ("call_id", "request_from")),
    ("http", ("trans_depth", "status_code", "method")),
    ("ssl", ("cipher", "established", "server_name")),
)


def look(event: Event) -> tuple[str, Record | None]:
    """Return the feed, and for sensors with many logs which one (``zeek/conn``); and what the record tells.

    The record is None when it tells nothing of the network that is scored.
    """
    sensor = _SENSORS.get(event.source)
    if sensor is None:
        return event.source, None
    kind_of, readers = sensor
    kind = kind_of(event.payload)
    reader = readers.get(kind)
    record = reader(event.payload, event.ts) if reader is not None else None
    return f"{event.source}/{kind}" if kind else event.source, record


# Zeek


def _zeek_kind(payload: dict[str, Any]) -> str:
    """Return which log a record is of; those of connections that are still open count as their own."""
    path = payload.get("_path") or payload.get("@stream")
    if isinstance(path, str):
        return path.removeprefix("open_")
    return next((kind for kind, fields in _ZEEK_SHAPES if not payload.keys().isdisjoint(fields)), "")


def _zeek_end(payload: dict[str, Any], end: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return one of the four ids of a connection; exporters write the dot as such, as ``_``, or as a level."""
    value = payload.get(f"id.{end}")
    if value is None:
        value = payload.get(f"id_{end}")
    if value is None and isinstance(payload.get("id"), dict):
        value = payload["id"].get(end)
    return value


def _zeek_conn(payload: dict[str, Any], ts: float) -> Record | None:
    src, dst = _text(_zeek_end(payload, "orig_h")), _text(_zeek_end(payload, "resp_h"))
    if not src or not dst:
        return None
    state = payload.get("conn_state")
    return Connection(
        ts=ts,
        src=src,
        dst=dst,
        port=_count(_zeek_end(payload, "resp_p")) or 0,
        proto=_text(payload.get("proto")).lower(),
        uid=_text(payload.get("uid")),
        service=_text(payload.get("service")),
        sent=_count(payload.get("orig_bytes")),
        received=_count(payload.get("resp_bytes")),
        failed=state in _ZEEK_FAILED if isinstance(state, str) else None,
    )


def _zeek_named(payload: dict[str, Any], ts: float, field: str) -> Record | None:
    src, dst = _text(_zeek_end(payload, "orig_h")), _text(_zeek_end(payload, "resp_h"))
    if not src or not dst:
        return None
    return Named(
        ts=ts,
        src=src,
        dst=dst,
        port=_count(_zeek_end(payload, "resp_p")) or 0,
        uid=_text(payload.get("uid")),
        name=host_of(_text(payload.get(field))),
        again=(_count(payload.get("trans_depth")) or 1) > 1,
    )


def _zeek_dns(payload: dict[str, Any], ts: float) -> Record | None:
    src, name = _text(_zeek_end(payload, "orig_h")), _text(payload.get("query"))
    if not src or not name or _count(_zeek_end(payload, "resp_p")) not in (None, 53):
        return None  # names of the local link (mDNS, LLMNR, NetBIOS) leave no network
    rcode = payload.get("rcode_name")
    return Lookup(
        ts=ts,
        src=src,
        name=name.lower().rstrip("."),
        kind=_text(payload.get("qtype_name")).upper(),
        missing=rcode == "NXDOMAIN" if isinstance(rcode, str) else None,
    )


# Suricata


def _suricata_flow(payload: dict[str, Any], ts: float) -> Record | None:
    src, dst = _text(payload.get("src_ip")), _text(payload.get("dest_ip"))
    if not src or not dst:
        return None
    flow = payload.get("flow")
    flow = flow if isinstance(flow, dict) else {}
    answers = _count(flow.get("pkts_toclient"))
    port, from_port = _count(payload.get("dest_port")) or 0, _count(payload.get("src_port"))
    if from_port is not None and from_port < _SERVICES <= port:
        answers = None  # its beginning was missed, and the server's answer taken for a question
    return Connection(
        ts=_began(flow.get("start"), ts),
        src=src,
        dst=dst,
        port=port,
        proto=_text(payload.get("proto")).lower(),
        uid=_flow_id(payload),
        service=_text(payload.get("app_proto")),
        sent=_count(flow.get("bytes_toserver")),
        received=_count(flow.get("bytes_toclient")),
        failed=None if answers is None else answers == 0 or _refused(payload.get("tcp")),
    )


def _refused(tcp: object) -> bool:
    """Return whether all that the server sent was a reset."""
    flags = tcp.get("tcp_flags_tc") if isinstance(tcp, dict) else None
    try:
        bits = int(flags, 16) if isinstance(flags, str) else 0
    except ValueError:
        return False
    return bool(bits & _RST) and not bits & _SYN


def _suricata_named(payload: dict[str, Any], ts: float, part: str, field: str) -> Record | None:
    src, dst, said = _text(payload.get("src_ip")), _text(payload.get("dest_ip")), payload.get(part)
    if not src or not dst or not isinstance(said, dict):
        return None
    return Named(
        ts=ts,
        src=src,
        dst=dst,
        port=_count(payload.get("dest_port")) or 0,
        uid=_flow_id(payload),
        name=host_of(_text(said.get(field))),
        again=(_count(payload.get("tx_id")) or 0) > 0,
    )


def _suricata_dns(payload: dict[str, Any], ts: float) -> Record | None:
    dns = payload.get("dns")
    if not isinstance(dns, dict):
        return None
    answer = dns.get("type") in ("answer", "response")
    asked = dns.get("queries")
    first = asked[0] if isinstance(asked, list) and asked and isinstance(asked[0], dict) else dns
    name = _text(first.get("rrname"))
    # An answer of older versions is logged from the server's side.
    client = "dest_ip" if answer and payload.get("src_port") == 53 else "src_ip"  # noqa: PLR2004 - DNS
    src = _text(payload.get(client))
    if not src or not name:
        return None
    rcode = dns.get("rcode")
    return Lookup(
        ts=ts,
        src=src,
        name=name.lower().rstrip("."),
        kind=_text(first.get("rrtype")).upper(),
        missing=rcode == "NXDOMAIN" if answer and isinstance(rcode, str) else None,
        is_answer=answer,
    )


def _began(value: object, ts: float) -> float:
    """Return when a flow began.

    Its record is dated when it was written, which is after its end; reading a capture file, Suricata dates the
    records of all flows at the capture's beginning.
    """
    try:
        began = datetime.fromisoformat(value).timestamp() if isinstance(value, str) else ts
    except (ValueError, OverflowError):
        return ts
    return began if 0 <= began < MAX_TS else ts


def _flow_id(payload: dict[str, Any]) -> str:
    value = payload.get("flow_id")
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""


# Values


def host_of(text: str) -> str:
    """Return a host name without its port, in lower case."""
    text = text.strip().lower().rstrip(".")
    if text.startswith("["):
        return text[1:].partition("]")[0]
    head, colon, port = text.rpartition(":")
    return head if colon and port.isdecimal() and ":" not in head else text


def _text(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= 1024 else ""  # noqa: PLR2004 - no name is longer


def _count(value: object) -> int | None:
    """Return a natural number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if 0 <= value < 1 << 62 else None


_ZEEK: Final[dict[str, Callable[[dict[str, Any], float], Record | None]]] = {
    "conn": _zeek_conn,
    "http": lambda payload, ts: _zeek_named(payload, ts, "host"),
    "ssl": lambda payload, ts: _zeek_named(payload, ts, "server_name"),
    "dns": _zeek_dns,
}
_SURICATA: Final[dict[str, Callable[[dict[str, Any], float], Record | None]]] = {
    "flow": _suricata_flow,
    "http": lambda payload, ts: _suricata_named(payload, ts, "http", "hostname"),
    "tls": lambda payload, ts: _suricata_named(payload, ts, "tls", "sni"),
    "quic": lambda payload, ts: _suricata_named(payload, ts, "quic", "sni"),
    "dns": _suricata_dns,
}
_SENSORS: Final[dict[str, tuple[Callable[[dict[str, Any]], str], dict[str, _Reader]]]] = {
    "zeek": (_zeek_kind, _ZEEK),
    "suricata": (lambda payload: _text(payload.get("event_type")), _SURICATA),
}
