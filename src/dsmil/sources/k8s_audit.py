"""Kubernetes audit log: one ``audit.k8s.io`` event a line, or an ``EventList`` as its webhook sends.

Source: the Kubernetes documentation, "Auditing" and "kube-apiserver Audit Configuration (v1)".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from dsmil.errors import EventInvalid
from dsmil.events.model import EventCategory
from dsmil.sources._feed import Source
from dsmil.sources._joiners import JsonDocuments
from dsmil.sources._mapping import Mapping, Take, require

if TYPE_CHECKING:
    from dsmil.sources._feed import Joiner, Parsed


class K8sAudit(Source):
    """One request at one stage, one event; the payload is the record itself."""

    name: ClassVar[str] = "k8s-audit"
    source: ClassVar[str] = "k8s-audit"
    device_id: ClassVar[int] = 11
    json_array: ClassVar[bool] = True
    array_key: ClassVar[str] = "items"
    mapping: ClassVar[Mapping] = Mapping(
        time=("requestReceivedTimestamp", "stageTimestamp", "timestamp"),
        entities=(
            Take("sourceIPs", "ip", "src"),
            Take("user.username", "user", "src"),
            Take("impersonatedUser.username", "user"),
            Take("objectRef.name", "resource", "dest"),
            Take("objectRef.namespace", "namespace", "dest"),
            Take("requestURI", "url"),
        ),
        category=EventCategory.SYSTEM,
    )

    def joiner(self) -> Joiner:
        """Return what parts lists into events."""
        return JsonDocuments(self.array_key)

    def parse(self, record: dict[str, Any]) -> Parsed:
        """Map a request; a request is no judgement."""
        require(record, "not_k8s_audit", "auditID", "verb")
        if record.get("kind", "Event") != "Event":
            raise EventInvalid("not_k8s_audit", f"kind is {str(record['kind'])[:80]!r}, not 'Event'")
        return self.mapping.apply(record)


SOURCE = K8sAudit
