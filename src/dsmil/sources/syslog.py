"""Syslog lines of files and listeners: RFC 5424, RFC 3164, and CEF or LEEF inside; ``_syslog.py`` says how.

The payload has the decoded parts, and the line as ``_raw``. A time without a year is of the last year that
does not put it after its arrival.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from dsmil.events.model import EventCategory, Severity
from dsmil.sources import _cef, _leef, _stamps, _syslog
from dsmil.sources._feed import Parsed, Source
from dsmil.sources._mapping import Levels, Mapping, Take, attack_ids

if TYPE_CHECKING:
    from dsmil.sources._feed import RawRecord

#: Where CEF says when it happened; the header of the transport says only when it was sent.
_CEF_TIMES: Final = ("rt", "end", "start")
#: Programs whose messages are about logging on, whatever facility they use.
_LOGINS: Final = frozenset(("sshd", "sshd-session", "sudo", "su", "login", "systemd-logind", "dropbear", "doas"))
#: Words in the label of a custom field that promise a technique.
_ATTACK_LABELS: Final = ("mitre", "att&ck", "attack", "technique")


class Syslog(Source):
    """One line or message, one event."""

    name: ClassVar[str] = "syslog"
    source: ClassVar[str] = "syslog"
    device_id: ClassVar[int] = 5
    keeps_text: ClassVar[bool] = True
    mapping: ClassVar[Mapping] = Mapping(
        time=(*(f"cef.extension.{key}" for key in _CEF_TIMES), "leef.extension.devTime", "time"),
        severity=Levels(
            paths=("cef.severity", "leef.extension.sev", "severity"),
            words={
                **dict.fromkeys(("emerg", "alert", "crit"), Severity.HIGH),
                "err": Severity.MEDIUM,
                **dict.fromkeys(("warning", "notice", "info", "debug"), Severity.LOW),
            },
        ),
        techniques=("cef.extension", "leef.extension"),
        entities=(
            Take("host", "host"),
            Take("app", "process"),
            Take("cef.extension.src", "ip", "src"),
            Take("cef.extension.spt", "port", "src"),
            Take("cef.extension.shost", "host", "src"),
            Take("cef.extension.suser", "user", "src"),
            Take("cef.extension.sproc", "process", "src"),
            Take("cef.extension.dst", "ip", "dest"),
            Take("cef.extension.dpt", "port", "dest"),
            Take("cef.extension.dhost", "host", "dest"),
            Take("cef.extension.duser", "user", "dest"),
            Take("cef.extension.dproc", "process", "dest"),
            Take("cef.extension.destinationDnsDomain", "domain", "dest"),
            Take("cef.extension.dvc", "ip", "sensor"),
            Take("cef.extension.dvchost", "host", "sensor"),
            Take("cef.extension.request", "url"),
            Take("cef.extension.fname", "file"),
            Take("cef.extension.filePath", "file"),
            Take("cef.extension.fileHash", "file"),
            Take("leef.extension.src", "ip", "src"),
            Take("leef.extension.srcPort", "port", "src"),
            Take("leef.extension.dst", "ip", "dest"),
            Take("leef.extension.dstPort", "port", "dest"),
            Take("leef.extension.usrName", "user"),
            Take("leef.extension.accountName", "user"),
            Take("leef.extension.identSrc", "ip"),
            Take("leef.extension.identHostName", "host"),
            Take("leef.extension.resource", "host"),
            Take("leef.extension.domain", "domain"),
            Take("leef.extension.url", "url"),
        ),
        category=EventCategory.SYSTEM,
        notes=(
            "severity of CEF and LEEF from their own header or `sev`: 0-3 `LOW`, 4-6 `MEDIUM`, 7-8 `HIGH`, 9-10"
            " `CRITICAL`; ATT&CK from values labelled as such; category `SECURITY` for CEF and LEEF, `AUTH` for"
            " the facilities `auth` and `authpriv` and for `sshd`, `sudo`, `su`"
        ),
    )

    def decode(self, record: RawRecord) -> dict[str, Any]:
        """Return the parts of the line."""
        return _syslog.decode(record.raw)

    def parse(self, record: dict[str, Any]) -> Parsed:
        """Map a line; what could not be read of it is a flag."""
        when = _when(record)
        given: dict[str, Any] = {"ts": None, "techniques": ()}
        flags = [str(record["problem"])] if "problem" in record else []
        if when is not None:
            given |= {"ts": when.seconds, "yearless": when.yearless}
            if when.unknown_zone:
                flags.append(f"unknown_zone:{when.unknown_zone}")
        said = judged(record)
        if said is not None:
            severity, more = _cef.severity(said)
            given["severity"] = severity
            flags += more
        if "cef" in record or "leef" in record:
            given["category"] = EventCategory.SECURITY
            given["techniques"] = attack_ids(_labelled(record))
        elif record.get("facility") in {"auth", "authpriv"} or record.get("app") in _LOGINS:
            given["category"] = EventCategory.AUTH
        return self.mapping.apply(record, flags=tuple(flags), **given)


def judged(record: dict[str, Any]) -> str | None:
    """Return the severity that CEF or LEEF inside a line says, as written; None without one."""
    if "cef" in record:
        return str(record["cef"]["severity"])
    value = record["leef"]["extension"].get("sev") if "leef" in record else None
    return value if isinstance(value, str) and value else None


def _when(record: dict[str, Any]) -> _stamps.When | None:
    """Return when it happened: as CEF or LEEF says, else as the header says."""
    if "cef" in record:
        extension = record["cef"]["extension"]
        for key in _CEF_TIMES:
            value = extension.get(key)
            found = _stamps.text_time(value) if isinstance(value, str) else None
            if found is not None:
                return found
    if "leef" in record:
        found = _leef.event_time(record["leef"]["extension"])
        if found is not None:
            return found
    return _syslog.when(record["time"]) if "time" in record else None


def _labelled(record: dict[str, Any]) -> list[Any]:
    """Return the values of fields whose label or name promises a technique."""
    fields: dict[str, Any] = {}
    for kind in ("cef", "leef"):
        inner = record.get(kind)
        if inner is not None:
            fields |= inner["extension"] | inner.get("custom", {})
    return [value for label, value in fields.items() if any(word in label.lower() for word in _ATTACK_LABELS)]


SOURCE = Syslog
