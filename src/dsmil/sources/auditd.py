"""Linux audit logs: ``/var/log/audit/audit.log``, or ``ausearch --raw``; ``_auditd.py`` decodes the records.

The records of one event are one event here: ``records`` has each with its fields, decoded; ``command_line`` is
what was run; ``_raw`` has the lines.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

from dsmil.events.model import EventCategory, Severity
from dsmil.sources import _auditd
from dsmil.sources._audit_lines import AuditLines
from dsmil.sources._feed import Parsed, Source
from dsmil.sources._mapping import Mapping, Path, Take, attack_ids

if TYPE_CHECKING:
    from dsmil.sources._feed import Joiner, RawRecord

#: How records about accounts and logging on begin.
_LOGINS: Final = ("USER_", "CRED_", "LOGIN", "ADD_", "DEL_", "CHUSER", "CHGRP", "ACCT_", "ROLE_", "GRP_")
#: How records begin by which the kernel or a program reports something unusual, or an access that was refused.
_UNUSUAL: Final = ("ANOM_", "RESP_", "AVC", "SELINUX_ERR", "APPARMOR_DENIED", "SECCOMP", "INTEGRITY_")
_WORD_ENDS: Final = re.compile(r"[^A-Za-z0-9.]+")


class Auditd(Source):
    """One event of the kernel or of a program, made of its records."""

    name: ClassVar[str] = "auditd"
    source: ClassVar[str] = "auditd"
    device_id: ClassVar[int] = 5
    keeps_text: ClassVar[bool] = True
    mapping: ClassVar[Mapping] = Mapping(
        time=("time",),
        techniques=("records.fields.key",),
        entities=(
            Take("node", "host"),
            Take("records.enriched.AUID", "user", "src"),
            Take("records.fields.auid", "user", "src"),
            Take("records.enriched.UID", "user"),
            Take("records.fields.uid", "user"),
            Take("records.fields.acct", "user", "dest"),
            Take("records.fields.exe", "process"),
            Take("records.fields.name", "file"),
            Take("records.fields.addr", "ip", "src"),
            Take("records.fields.hostname", "host", "src"),
            Take("records.socket.laddr", "ip", "dest"),
            Take("records.socket.lport", "port", "dest"),
            Take("records.socket.path", "file"),
        ),
        category=EventCategory.SYSTEM,
        notes=(
            "`MEDIUM` for `ANOM_*`, `RESP_*`, `INTEGRITY_*`, `SECCOMP` and accesses that SELinux or AppArmor"
            " refused; category `AUTH` for records about accounts and logging on; ATT&CK from keys"
            " such as `T1059_shell`"
        ),
    )

    def joiner(self) -> Joiner:
        """Return what joins the records of one event."""
        return AuditLines()

    def decode(self, record: RawRecord) -> dict[str, Any]:
        """Return the event of these lines."""
        return _auditd.decode(record.raw.decode("utf-8", "backslashreplace").split("\n"))

    def parse(self, record: dict[str, Any]) -> Parsed:
        """Map an event."""
        is_login = any(kind.startswith(_LOGINS) for kind in record["types"])
        keys = Path("records.fields.key").values(record)
        return self.mapping.apply(
            record,
            severity=Severity.MEDIUM if any(_is_unusual(inner) for inner in record["records"]) else Severity.LOW,
            category=EventCategory.AUTH if is_login else EventCategory.SYSTEM,
            techniques=attack_ids(_WORD_ENDS.split(key) for key in keys),
        )


def _is_unusual(record: dict[str, Any]) -> bool:
    kind = record["type"]
    if not kind.startswith(_UNUSUAL):
        return False
    # Integrity measurements and access decisions are written for what was allowed as well.
    return not ("granted" in record["fields"].get("words", ()) or record["fields"].get("res") in {"1", "success"})


SOURCE = Auditd
