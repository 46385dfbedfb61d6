"""Suricata EVE JSON: every record as Suricata wrote it."""

from __future__ import annotations

from typing import Any, ClassVar

from dsmil.errors import EventInvalid
from dsmil.events.model import Entity, EventCategory
from dsmil.sources._feed import Parsed, Source
from dsmil.sources._mapping import Mapping, Take
from dsmil.sources._times import iso_seconds


class SuricataEve(Source):
    """One record, one event; the payload is the record itself."""

    name: ClassVar[str] = "suricata-eve"
    source: ClassVar[str] = "suricata"
    device_id: ClassVar[int] = 5
    json_array: ClassVar[bool] = True
    mapping: ClassVar[Mapping] = Mapping(
        time=("timestamp",),
        read_time=iso_seconds,
        techniques=("alert.metadata.mitre_technique_id",),
        entities=(
            Take("src_ip", "ip", "src"),
            Take("src_port", "port", "src"),
            Take("dest_ip", "ip", "dest"),
            Take("dest_port", "port", "dest"),
            Take("http.hostname", "host"),
            Take("tls.sni", "host"),
            Take("quic.sni", "host"),
            Take("dns.rrname", "domain"),
            Take("smtp.helo", "host"),
            Take("fileinfo.sha256", "file"),
            Take("fileinfo.filename", "file"),
            # In an alert the names asked for are a list.
            Take("dns.query.rrname", "domain"),
            Take("dns.queries.rrname", "domain"),
            Take("host", "host", "sensor"),
        ),
        category=EventCategory.NETWORK,
        notes="`event_type` `stats` has category `SYSTEM`; the detector judges, so severity is `LOW`",
    )

    def parse(self, record: dict[str, Any]) -> Parsed:
        """Map an EVE record; severity is the detector's to judge."""
        if not isinstance(record.get("event_type"), str):
            raise EventInvalid("not_eve", "the record has no event_type")
        if record["event_type"] == "stats":
            return self.mapping.apply(record, category=EventCategory.SYSTEM)
        return self.mapping.apply(record)


def entities(record: dict[str, Any]) -> tuple[Entity, ...]:
    """Return who and what a record is about: addresses, ports, host and domain names, files, the sensor."""
    return tuple(dict.fromkeys(found for _, found in SuricataEve.mapping.sources(record)))


SOURCE = SuricataEve
