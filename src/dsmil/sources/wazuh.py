"""Wazuh: ``alerts.json`` and ``archives.json`` of the manager, one JSON object a line.

Source: the Wazuh documentation, "Alert management" and "Rules classification" for the levels. An archived event
has the same fields, without ``rule`` when no rule matched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from dsmil.errors import EventInvalid
from dsmil.events.model import EventCategory, Severity
from dsmil.sources._feed import Source
from dsmil.sources._mapping import Levels, Mapping, Take

if TYPE_CHECKING:
    from dsmil.sources._feed import Parsed

#: Fields of which each Wazuh event has at least two.
_MARKS: Final = ("agent", "manager", "decoder", "rule", "location", "full_log")


class Wazuh(Source):
    """One alert or archived event, one event; the payload is the record itself."""

    name: ClassVar[str] = "wazuh"
    source: ClassVar[str] = "wazuh"
    device_id: ClassVar[int] = 11
    json_array: ClassVar[bool] = True
    mapping: ClassVar[Mapping] = Mapping(
        time=("timestamp", "@timestamp"),
        severity=Levels(
            paths=("rule.level",),
            steps=((0, Severity.LOW), (7, Severity.MEDIUM), (12, Severity.HIGH), (15, Severity.CRITICAL)),
        ),
        techniques=("rule.mitre.id",),
        entities=(
            Take("agent.name", "host"),
            Take("agent.ip", "ip"),
            Take("predecoder.hostname", "host"),
            Take("manager.name", "host", "sensor"),
            Take("data.srcip", "ip", "src"),
            Take("data.src_ip", "ip", "src"),
            Take("data.srcport", "port", "src"),
            Take("data.src_port", "port", "src"),
            Take("data.dstip", "ip", "dest"),
            Take("data.dest_ip", "ip", "dest"),
            Take("data.dstport", "port", "dest"),
            Take("data.dest_port", "port", "dest"),
            Take("data.srcuser", "user", "src"),
            Take("data.dstuser", "user", "dest"),
            Take("data.url", "url"),
            Take("data.win.eventdata.subjectUserName", "user", "src"),
            Take("data.win.eventdata.targetUserName", "user", "dest"),
            Take("data.win.eventdata.user", "user"),
            Take("data.win.eventdata.ipAddress", "ip", "src"),
            Take("data.win.eventdata.sourceIp", "ip", "src"),
            Take("data.win.eventdata.destinationIp", "ip", "dest"),
            Take("data.win.eventdata.destinationHostname", "host", "dest"),
            Take("data.win.eventdata.queryName", "domain"),
            Take("data.win.eventdata.image", "process"),
            Take("data.win.eventdata.parentImage", "process", "parent"),
            Take("data.win.system.computer", "host"),
            Take("data.audit.exe", "process"),
            Take("data.aws.sourceIPAddress", "ip", "src"),
            Take("data.aws.userIdentity.userName", "user", "src"),
            Take("data.github.actor", "user", "src"),
            Take("data.docker.Actor.Attributes.name", "resource"),
            Take("data.src_endpoint.ip", "ip", "src"),
            Take("data.dst_endpoint.ip", "ip", "dest"),
            Take("data.identity.user.name", "user", "src"),
            Take("data.query.hostname", "domain"),
            Take("data.ClientIP", "ip", "src"),
            Take("data.OriginIP", "ip", "dest"),
            Take("data.remote_ip", "ip", "src"),
            Take("data.username", "user", "src"),
            Take("syscheck.path", "file"),
            Take("syscheck.sha256_after", "file"),
            Take("syscheck.md5_after", "file"),
            Take("syscheck.uname_after", "user"),
        ),
        category=EventCategory.SECURITY,
        notes="category `AUTH` for the rule groups `authentication_*`, `SYSTEM` for an event without a rule",
    )

    def parse(self, record: dict[str, Any]) -> Parsed:
        """Map an alert or an archived event."""
        if sum(mark in record for mark in _MARKS) < 2:  # noqa: PLR2004 - one name alone may be anybody's
            raise EventInvalid("not_wazuh", f"the record has no two of {', '.join(_MARKS)}")
        rule = record.get("rule")
        if not isinstance(rule, dict):
            return self.mapping.apply(record, category=EventCategory.SYSTEM)
        groups = rule.get("groups")
        if isinstance(groups, list) and any(str(group).startswith("authentication") for group in groups):
            return self.mapping.apply(record, category=EventCategory.AUTH)
        return self.mapping.apply(record)


SOURCE = Wazuh
