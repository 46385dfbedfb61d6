"""Suricata EVE JSON: every record as Suricata wrote it."""

from __future__ import annotations

from typing import Any, ClassVar

from dsmil.errors import EventInvalid
from dsmil.events.model import Entity, EventCategory
from dsmil.sources._feed import Parsed, iso_seconds, unique

#: Where EVE keeps names: (object, key) -> entity type.
_NAMES = (
    ("http", "hostname", "host"),
    ("tls", "sni", "host"),
    ("quic", "sni", "host"),
    ("dns", "rrname", "domain"),
    ("smtp", "helo", "host"),
    ("fileinfo", "sha256", "file"),
    ("fileinfo", "filename", "file"),
)


class SuricataEve:
    """One record, one event; the payload is the record itself."""

    name: ClassVar[str] = "suricata-eve"
    source: ClassVar[str] = "suricata"
    device_id: ClassVar[int] = 5
    json_array: ClassVar[bool] = True

    def parse(self, record: dict[str, Any]) -> Parsed:
        """Map an EVE record: time, addresses, ports and names; severity is the detector's to judge."""
        if not isinstance(record.get("event_type"), str):
            raise EventInvalid("not_eve", "the record has no event_type")
        return Parsed(
            ts=iso_seconds(record.get("timestamp")),
            payload=record,
            entities=entities(record),
            category=EventCategory.SYSTEM if record["event_type"] == "stats" else EventCategory.NETWORK,
        )


def entities(record: dict[str, Any]) -> tuple[Entity, ...]:
    """Return who and what a record is about: addresses, ports, host and domain names, files, the sensor."""
    found = []
    for side, role in (("src", "src"), ("dest", "dest")):
        address, port = record.get(f"{side}_ip"), record.get(f"{side}_port")
        if isinstance(address, str) and address:
            found.append(Entity("ip", address, role))
        if isinstance(port, int) and not isinstance(port, bool):
            found.append(Entity("port", str(port), role))
    for part, key, kind in _NAMES:
        section = record.get(part)
        value = section.get(key) if isinstance(section, dict) else None
        if isinstance(value, str) and value:
            found.append(Entity(kind, value))
    found += [Entity("domain", name) for name in _queried(record.get("dns"))]
    sensor = record.get("host")
    if isinstance(sensor, str) and sensor:
        found.append(Entity("host", sensor, "sensor"))
    return unique(found)


def _queried(dns: object) -> list[str]:
    """Return the names a DNS record asks for: in an alert they are a list under ``query`` or ``queries``."""
    names: list[str] = []
    if isinstance(dns, dict):
        for key in ("query", "queries"):
            rows = dns.get(key)
            found = (row.get("rrname") for row in _objects(rows))
            names.extend(name for name in found if isinstance(name, str))
    return names


def _objects(rows: object) -> list[dict[str, Any]]:
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


SOURCE = SuricataEve
