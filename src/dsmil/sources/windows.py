"""Windows events as JSON: Security, Sysmon, PowerShell and every other channel.

Four shapes: what was XML (``Event`` with ``System`` and ``EventData``, as ``evtx_dump`` writes it), Winlogbeat's
(``winlog``), ``Get-WinEvent | ConvertTo-Json``, and flat ones (NXLog, collectors). The payload is the record
itself; the mapping names the fields as Windows does, wherever the shape has them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

from dsmil.errors import EventInvalid
from dsmil.events.model import Entity, EventCategory, Severity
from dsmil.sigma.shapes import flatten
from dsmil.sources._feed import Source
from dsmil.sources._joiners import JsonDocuments
from dsmil.sources._mapping import Levels, Mapping, Take, attack_ids
from dsmil.sources._times import iso_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dsmil.sources._feed import Joiner, Parsed, RawRecord

#: Who wrote an event and where; a record has the number and at least one of these.
_WRITERS: Final = (
    "Channel",
    "Provider_Name",
    "ProviderName",
    "SourceName",
    "EventSourceName",
    "Computer",
    "Hostname",
)
#: What ``evtx_dump`` writes between documents.
_BETWEEN: Final = re.compile(rb"Record \d+")
#: Sysmon's rule names in common configurations: ``technique_id=T1059,technique_name=...``.
_ATTACK_NAME: Final = re.compile(r"technique_id=([Tt]\d{4}(?:\.\d{3})?)")
_HASH: Final = re.compile(r"\b(?:SHA256|SHA1|MD5)=([0-9A-Fa-f]{32,64})")
#: Security's numbers about logging on, Kerberos, NTLM, accounts and groups.
_AUTH: Final = frozenset(
    number
    for numbers in (range(4624, 4650), (4672, 4675, 4964), range(4720, 4782), range(4793, 4804))
    for number in numbers
)
#: Numbers about connections, by channel.
_NETWORK: Final = {
    "security": frozenset((*range(5150, 5160), 5140, 5145)),
    "microsoft-windows-sysmon/operational": frozenset((3, 22)),
}
#: Zones differ by quarters of an hour.
_QUARTER_S: Final = 900


class _Flat(Mapping):
    """Looks at a record with its fields laid flat."""

    def sources(self, record: dict[str, Any]) -> Iterator[tuple[str, Entity]]:
        """Yield the entities of a record, hashes of files included."""
        fields = dict(flatten("windows", record))
        yield from super().sources(fields)
        for name in ("Hashes", "Hash"):
            for value in _HASH.findall(str(fields.get(name) or "")):
                yield name, Entity("file", value.lower())


class Windows(Source):
    """One event of any channel; the payload is the record itself."""

    name: ClassVar[str] = "windows"
    source: ClassVar[str] = "windows"
    device_id: ClassVar[int] = 5
    json_array: ClassVar[bool] = True
    by_message: ClassVar[bool] = True
    mapping: ClassVar[Mapping] = _Flat(
        time=("SystemTime", "TimeCreated", "UtcTime", "EventTime", "@timestamp", "TimeGenerated"),
        severity=Levels(
            paths=("Level", "Severity", "LevelDisplayName"),
            words={
                "critical": Severity.HIGH,
                "error": Severity.MEDIUM,
                **dict.fromkeys(("warning", "information", "info", "verbose", "debug"), Severity.LOW),
            },
            steps=((0, Severity.LOW), (1, Severity.HIGH), (2, Severity.MEDIUM), (3, Severity.LOW)),
        ),
        techniques=("RuleName", "threat.technique.id"),
        entities=(
            Take("Computer", "host"),
            Take("Hostname", "host"),
            Take("SubjectUserName", "user", "src"),
            Take("TargetUserName", "user", "dest"),
            Take("User", "user"),
            Take("SourceUser", "user", "src"),
            Take("TargetUser", "user", "dest"),
            Take("AccountName", "user"),
            Take("MemberName", "user"),
            Take("Image", "process"),
            Take("NewProcessName", "process"),
            Take("ProcessName", "process"),
            Take("Application", "process"),
            Take("SourceImage", "process", "src"),
            Take("TargetImage", "process", "dest"),
            Take("ParentImage", "process", "parent"),
            Take("ParentProcessName", "process", "parent"),
            Take("IpAddress", "ip", "src"),
            Take("IpPort", "port", "src"),
            Take("WorkstationName", "host", "src"),
            Take("SourceIp", "ip", "src"),
            Take("SourceAddress", "ip", "src"),
            Take("SourcePort", "port", "src"),
            Take("SourceHostname", "host", "src"),
            Take("DestinationIp", "ip", "dest"),
            Take("DestAddress", "ip", "dest"),
            Take("DestinationPort", "port", "dest"),
            Take("DestPort", "port", "dest"),
            Take("DestinationHostname", "host", "dest"),
            Take("QueryName", "domain"),
            Take("TargetFilename", "file"),
            Take("ImageLoaded", "file"),
            Take("TargetObject", "registry"),
            Take("ServiceName", "service"),
            Take("ImagePath", "file"),
            Take("TaskName", "task"),
            Take("PipeName", "pipe"),
            Take("ShareName", "share"),
        ),
        category=EventCategory.SYSTEM,
        notes=(
            "fields by their Windows names, in `Event.System` and `Event.EventData`, in `winlog.event_data`, or at"
            " the top; the zone of `EventTime` from `EventReceivedTime` and `@timestamp` beside it; hashes"
            " of files; category `AUTH` for logons and accounts, `NETWORK` for connections, `SECURITY` for"
            " Defender"
        ),
    )

    def joiner(self) -> Joiner:
        """Return what joins pretty-printed documents."""
        return _Documents()

    def parse(self, record: dict[str, Any]) -> Parsed:
        """Map an event of any shape."""
        fields = dict(flatten("windows", record))
        number = _number(fields.get("EventID"))
        if number is None or not any(fields.get(key) for key in _WRITERS):
            raise EventInvalid("not_windows", "the record has no EventID with a Channel, a provider or a Computer")
        given: dict[str, Any] = {
            "payload": record,
            "category": _category(str(fields.get("Channel") or "").lower(), number),
            "entities": tuple(dict.fromkeys(found for _, found in self.mapping.sources(record))),
            "techniques": _techniques(fields, record),
        }
        shifted = _from_local(fields)
        if shifted is not None:
            given["ts"] = shifted
        return self.mapping.apply(fields, **given)


class _Documents(JsonDocuments):
    """Passes over the lines that ``evtx_dump`` writes between documents."""

    def add(self, line: RawRecord) -> Iterable[RawRecord]:
        """Return what is whole with this line."""
        return () if not self.held() and _BETWEEN.fullmatch(line.raw) else super().add(line)


def _number(value: object) -> int | None:
    """Return the number of an event; collectors write it as text too."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None  # noqa: PLR2004 - 32 bits


def _category(channel: str, number: int) -> EventCategory:
    if channel == "security" and number in _AUTH:
        return EventCategory.AUTH
    if number in _NETWORK.get(channel, ()):
        return EventCategory.NETWORK
    return EventCategory.SECURITY if "windows defender" in channel else EventCategory.SYSTEM


def _techniques(fields: dict[str, Any], record: dict[str, Any]) -> tuple[str, ...]:
    name = str(fields.get("RuleName") or "")
    threat = record.get("threat")
    named = threat.get("technique") if isinstance(threat, dict) else None
    return attack_ids((_ATTACK_NAME.findall(name), name, named.get("id") if isinstance(named, dict) else None))


def _from_local(fields: dict[str, Any]) -> float | None:
    """Return NXLog's ``EventTime``, which is local time without a zone; None when it is not that.

    ``EventReceivedTime`` is local time too, and ``@timestamp`` about the same moment in UTC.
    """
    if any(fields.get(key) for key in ("SystemTime", "TimeCreated")):
        return None
    local, received, utc = (fields.get(key) for key in ("EventTime", "EventReceivedTime", "@timestamp"))
    if not (isinstance(local, str) and isinstance(received, str) and isinstance(utc, str)):
        return None
    try:
        at, came, moment = iso_seconds(local), iso_seconds(received), iso_seconds(utc)
    except EventInvalid:
        return None
    if at is None or came is None or moment is None or local.endswith("Z") or "+" in local:
        return None
    return at + round((moment - came) / _QUARTER_S) * _QUARTER_S


SOURCE = Windows
