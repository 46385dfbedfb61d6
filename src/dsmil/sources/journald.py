"""The systemd journal as ``journalctl -o json`` writes it (also ``json-pretty``, ``json-seq`` and ``json-sse``).

Fields that the journal exports as byte values are text in the payload; those that are no UTF-8 are kept as
well, in Base64, under ``_bytes``.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from dsmil.events.model import EventCategory
from dsmil.sources import _journald
from dsmil.sources._feed import Parsed, Source
from dsmil.sources._joiners import JsonDocuments
from dsmil.sources._mapping import Levels, Mapping, Take, require

if TYPE_CHECKING:
    from dsmil.sources._feed import Joiner, RawRecord

#: Syslog's facilities auth and authpriv.
_AUTH: Final = frozenset(("4", "10"))
_LOGINS: Final = frozenset(("sshd", "sshd-session", "sudo", "su", "login", "systemd-logind"))


class Journald(Source):
    """One entry, one event; the payload is the entry."""

    name: ClassVar[str] = "journald"
    source: ClassVar[str] = "journald"
    device_id: ClassVar[int] = 5
    by_message: ClassVar[bool] = True
    mapping: ClassVar[Mapping] = Mapping(
        time=("_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP"),
        read_time=_journald.seconds,
        severity=Levels(
            paths=("PRIORITY",),
            words={str(level): severity for level, severity in enumerate(_journald.SEVERITY)},
        ),
        entities=(
            Take("_HOSTNAME", "host"),
            Take("_EXE", "process"),
            Take("_COMM", "process"),
            Take("SYSLOG_IDENTIFIER", "process"),
            Take("_UID", "user"),
            Take("_AUDIT_LOGINUID", "user", "src"),
            Take("USER_ID", "user", "dest"),
            Take("_SYSTEMD_UNIT", "service"),
            Take("UNIT", "service"),
            Take("CONTAINER_ID_FULL", "container"),
            Take("CONTAINER_NAME", "container"),
        ),
        category=EventCategory.SYSTEM,
        notes="category `AUTH` for facilities auth, authpriv, and `sshd`, `sudo`, `su`; byte values as text",
    )

    def joiner(self) -> Joiner:
        """Return what joins pretty-printed entries."""
        return JsonDocuments()

    def decode(self, record: RawRecord) -> dict[str, Any]:
        """Return the fields of an entry, as text."""
        raw = record.raw.strip(b"\x1e \t\r\n").removeprefix(b"data:")
        fields = super().decode(msgspec.structs.replace(record, raw=raw.strip()))
        kept = {key: _base64(value) for key, value in fields.items() if _is_binary(value)}
        return _journald.plain(fields) | ({"_bytes": kept} if kept else {})

    def parse(self, record: dict[str, Any]) -> Parsed:
        """Map an entry."""
        require(record, "not_journald", "__REALTIME_TIMESTAMP")
        if str(record.get("SYSLOG_FACILITY")) in _AUTH or record.get("SYSLOG_IDENTIFIER") in _LOGINS:
            return self.mapping.apply(record, category=EventCategory.AUTH)
        return self.mapping.apply(record)


def _is_binary(value: object) -> bool:
    """Return whether a value is bytes that are no UTF-8."""
    try:
        (_journald.octets(value) or b"").decode()
    except UnicodeDecodeError:
        return True
    return False


def _base64(value: object) -> str:
    return base64.b64encode(_journald.octets(value) or b"").decode()


SOURCE = Journald
