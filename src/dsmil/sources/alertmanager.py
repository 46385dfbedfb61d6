"""Prometheus Alertmanager: the documents its webhook sends, and the alerts of its API; each alert is a record.

Source: the Prometheus documentation, "Alerting, Configuration, webhook_config" (version 4 of the document).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

from dsmil.events import codec
from dsmil.events.model import Entity, EventCategory, Severity
from dsmil.sources._feed import Source
from dsmil.sources._joiners import JsonDocuments
from dsmil.sources._mapping import Levels, Mapping, Path, Take, entity_text, require

if TYPE_CHECKING:
    from dsmil.sources._feed import Joiner, Parsed, RawRecord

_INSTANCE = Path("labels.instance")


class Alertmanager(Source):
    """One alert, one event; the payload is the alert, with the document around it under ``group``."""

    name: ClassVar[str] = "alertmanager"
    source: ClassVar[str] = "alertmanager"
    device_id: ClassVar[int] = 3
    json_array: ClassVar[bool] = True
    mapping: ClassVar[Mapping] = Mapping(
        time=("startsAt",),
        severity=Levels(
            paths=("labels.severity", "labels.priority", "labels.level"),
            words={
                **dict.fromkeys(("critical", "page", "emergency", "disaster", "p1"), Severity.CRITICAL),
                **dict.fromkeys(("error", "high", "major", "p2"), Severity.HIGH),
                **dict.fromkeys(("warning", "warn", "medium", "moderate", "minor", "p3"), Severity.MEDIUM),
                **dict.fromkeys(("info", "information", "low", "notice", "debug", "none", "p4"), Severity.LOW),
            },
            missing=None,
        ),
        techniques=("labels.mitre", "labels.attack", "labels.technique", "labels.mitre_technique"),
        entities=(
            Take("labels.host", "host"),
            Take("labels.hostname", "host"),
            Take("labels.node", "host"),
            Take("labels.nodename", "host"),
            Take("labels.pod", "pod"),
            Take("labels.namespace", "namespace"),
            Take("labels.container", "container"),
            Take("labels.user", "user"),
            Take("labels.domain", "domain"),
        ),
        category=EventCategory.SYSTEM,
        notes="a resolved alert happens at `endsAt` and is `LOW`; `labels.instance` without its port is a host"
        " or an ip",
    )

    def joiner(self) -> Joiner:
        """Return what parts documents into alerts."""
        return JsonDocuments("alerts")

    def decode(self, record: RawRecord) -> dict[str, Any]:
        """Return the alert, with what its document says of all of them."""
        alert = super().decode(record)
        return {**alert, "group": _group(record.head)} if record.head else alert

    def parse(self, record: dict[str, Any]) -> Parsed:
        """Map an alert."""
        require(record, "not_alertmanager", "labels", "startsAt")
        given: dict[str, Any] = {"entities": self._entities(record)}
        if record.get("status") == "resolved":
            given |= {"severity": Severity.LOW, "ts": self.mapping.read_time(record.get("endsAt"))}
        return self.mapping.apply(record, **given)

    def _entities(self, record: dict[str, Any]) -> tuple[Entity, ...]:
        found = [entity for _, entity in self.mapping.sources(record)]
        instance = entity_text(_INSTANCE.first(record), "host")
        name, _, port = instance.rpartition(":")
        if name and port.isdecimal():
            instance = name.strip("[]")
        if instance:
            is_ip = ":" in instance or not instance.strip("0123456789.")
            found.insert(0, Entity("ip" if is_ip else "host", instance))
        return tuple(dict.fromkeys(found))


@functools.lru_cache(maxsize=16)
def _group(head: bytes) -> dict[str, Any]:
    """Return what a document says of all its alerts."""
    fields = codec.parse_object(head, max_bytes=len(head))
    fields.pop("alerts", None)
    return fields


SOURCE = Alertmanager
