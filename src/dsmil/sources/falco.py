"""Falco with ``json_output``: one JSON object for each rule that was hit, from a file or its HTTP output.

Source: the Falco documentation, "Falco Alerts" and "Default and Local Rules" for the priorities and tags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from dsmil.events.model import Entity, EventCategory, Severity
from dsmil.sources._feed import Source
from dsmil.sources._mapping import Levels, Mapping, Take, require

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dsmil.sources._feed import Parsed


class _Hits(Mapping):
    """Knows that ``fd.name`` is a file only when it is no connection."""

    def sources(self, record: dict[str, Any]) -> Iterable[tuple[str, Entity]]:
        """Return the entities of a record."""
        return [
            (path, entity)
            for path, entity in super().sources(record)
            if path != "output_fields.fd.name" or "->" not in entity.value
        ]


class Falco(Source):
    """One hit, one event; the payload is the record itself."""

    name: ClassVar[str] = "falco"
    source: ClassVar[str] = "falco"
    device_id: ClassVar[int] = 11
    json_array: ClassVar[bool] = True
    mapping: ClassVar[Mapping] = _Hits(
        time=("time", "output_fields.evt.time", "output_fields.evt.time.iso8601"),
        severity=Levels(
            paths=("priority",),
            words={
                **dict.fromkeys(("emergency", "alert", "critical"), Severity.CRITICAL),
                "error": Severity.HIGH,
                "warning": Severity.MEDIUM,
                **dict.fromkeys(("notice", "informational", "info", "debug"), Severity.LOW),
            },
            missing=None,
        ),
        techniques=("tags",),
        entities=(
            Take("hostname", "host", "sensor"),
            Take("output_fields.user.name", "user"),
            Take("output_fields.user.loginname", "user"),
            Take("output_fields.proc.name", "process"),
            Take("output_fields.proc.pname", "process", "parent"),
            Take("output_fields.proc.exepath", "file"),
            Take("output_fields.container.id", "container"),
            Take("output_fields.container.name", "container"),
            Take("output_fields.container.image.repository", "image"),
            Take("output_fields.k8s.pod.name", "pod"),
            Take("output_fields.k8s.ns.name", "namespace"),
            Take("output_fields.fd.cip", "ip", "src"),
            Take("output_fields.fd.cport", "port", "src"),
            Take("output_fields.fd.sip", "ip", "dest"),
            Take("output_fields.fd.sport", "port", "dest"),
            Take("output_fields.fd.name", "file"),
            Take("output_fields.ka.user.name", "user"),
            Take("output_fields.ka.target.name", "resource"),
            Take("output_fields.ka.target.namespace", "namespace"),
            Take("output_fields.ct.user", "user"),
            Take("output_fields.ct.srcip", "ip", "src"),
        ),
        category=EventCategory.SECURITY,
        notes="ATT&CK from tags such as `T1059`",
    )

    def parse(self, record: dict[str, Any]) -> Parsed:
        """Map a hit."""
        require(record, "not_falco", "rule", "priority")
        return self.mapping.apply(record)


SOURCE = Falco
