r"""Syslog lines: RFC 5424, RFC 3164 as devices really send it, and both as daemons write them to files.

- RFC 5424: ``<PRI>1 TIME HOST APP PROCID MSGID [id key="value"] MESSAGE``; nil (``-``) is left out, a byte order
  mark is dropped, ``\"``, ``\\`` and ``\]`` are the escapes in structured data.
- RFC 3164: ``<PRI>Mmm dd hh:mm:ss HOST TAG[PID]: MESSAGE``, each part optional, as that RFC asks of receivers;
  also with year, fraction, zone or a Cisco sequence number, and with an ISO 8601 time, as rsyslog writes it.
- Without PRI, as in ``/var/log``, a line must begin with a time: else nothing tells it from any other text.

CEF or LEEF in the message is decoded as well. A function of the bytes alone: a time without a year stays one.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from dsmil.errors import EventInvalid
from dsmil.sources import _cef, _leef, _stamps

FACILITIES: Final = (
    "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp audit alert clock"
    " local0 local1 local2 local3 local4 local5 local6 local7"
).split()
SEVERITIES: Final = "emerg alert crit err warning notice info debug".split()
_MOST_PRI: Final = 8 * len(FACILITIES) - 1

_PRI: Final = re.compile(r"<(0|[1-9]\d{0,2})>", re.ASCII)
_RFC5424: Final = re.compile(
    r"(?P<version>[1-9]\d{0,2}) (?P<time>-|\d{4}-\d\d-\d\dT\S+) (?P<host>\S{1,255}) (?P<app>\S{1,255})"
    r" (?P<pid>\S{1,255}) (?P<msgid>\S{1,255})(?: |$)",
    re.ASCII,
)
_ELEMENT: Final = re.compile(
    r'\[(?P<id>[^\s=\]"]{1,255})(?P<params>(?: +[^\s=\]"]{1,255}="(?:[^"\\]|\\.|\\)*+")*) *\]', re.DOTALL
)
_PARAM: Final = re.compile(r'([^\s=\]"]+)="((?:[^"\\]|\\.|\\)*+)"', re.DOTALL)
_PARAM_ESCAPE: Final = re.compile(r'\\(["\\\]])')
#: What Cisco puts before the time: a sequence number, then perhaps a host, then a mark of an unset clock.
_SEQUENCE: Final = re.compile(
    r"(?P<sequence>\d{1,10}): +(?:(?P<host>[\w.\-]+): +)?(?=[*.]?(?:[A-Z][a-z]{2} |\d{4}))", re.ASCII
)
_TAG: Final = re.compile(
    r"(?P<app>[^\s\[\]:%][^\s\[\]:]{0,127})(?:\[(?P<pid>[^\]\s]{0,64})\](?::|(?= )|$)|:(?=\s|$))\s?"
)
_CISCO: Final = re.compile(
    r"%(?P<facility>[A-Z][A-Z0-9_\-]*?)-(?P<severity>[0-7])-(?P<mnemonic>[A-Z0-9_]+):? ", re.ASCII
)
#: Time since its start, which a Cisco device without a clock writes.
_UPTIME: Final = re.compile(r"(?:\d\d:\d\d:\d\d|(?:\d+[ywdh]){2}): (?=%)", re.ASCII)
_BOM: Final = "\ufeff"
_HEADER: Final = ("time", "host", "app", "pid", "msgid")
#: Longest time that is remembered, characters.
_LONGEST_TIME: Final = 64


def decode(raw: bytes) -> dict[str, Any]:
    r"""Return the parts of a line; raises EventInvalid (``not_syslog``, ``empty``) for what is no syslog.

    Keys, each only when it is there: ``format`` (``rfc5424``, ``rfc3164`` or ``bare``), ``facility``,
    ``severity``, ``time``, ``host``, ``app``, ``pid``, ``msgid``, ``structured_data``, ``message``, ``cef``,
    ``leef``, ``cisco``, ``sequence``, ``problem``. Bytes that are no UTF-8 are written as ``\xNN``.
    """
    text = raw.decode("utf-8", "backslashreplace").strip("\x00\r\n").removeprefix(_BOM)
    if not text.strip():
        raise EventInvalid("empty", "the line has no text")
    found: dict[str, Any] = {}
    pri = _PRI.match(text)
    if pri is not None and (number := int(pri[1])) <= _MOST_PRI:
        found["facility"], found["severity"] = FACILITIES[number >> 3], SEVERITIES[number & 7]
        text = text[pri.end() :]
    message = _rfc5424(text, found) if text[:1].isdigit() else None
    if message is None:
        message = _rfc3164(text, found)
    if message:
        found["message"] = message
        _inner(message, found)
    if found["format"] == "bare" and "facility" not in found and not {"cef", "leef", "cisco"} & found.keys():
        raise EventInvalid(
            "not_syslog",
            f"{text[:60]!r} has no priority <N> and begins with no time: it is no syslog line;"
            " dsmil ingest --list names the other feeds",
        )
    return found


def when(text: str) -> _stamps.When | None:
    """Return the time that a ``time`` of :func:`decode` says."""
    return _recent(text) if len(text) <= _LONGEST_TIME else _when(text)


def _when(text: str) -> _stamps.When | None:
    found = _stamps.plain(text)
    if found is not None:
        return found
    match = _stamps.BSD.match(text) or _stamps.ISO.match(text)
    return _stamps.read(match) if match else None


#: Each time is asked for twice, and many lines of a second have the same.
_recent: Final = lru_cache(maxsize=1024)(_when)


def _rfc5424(text: str, found: dict[str, Any]) -> str | None:
    """Take the header apart; return the message, or None when this is no RFC 5424."""
    header = _RFC5424.match(text)
    if header is None:
        return None
    found["format"] = "rfc5424"
    told = zip(_HEADER, header.group(*_HEADER), strict=True)
    found |= {key: value for key, value in told if value != "-"}
    if "time" in found and when(found["time"]) is None:
        found["problem"] = "bad_time"
    rest = text[header.end() :]
    if rest.startswith("["):
        at, elements = _structured(rest)
        if at < len(rest) and rest[at] != " ":
            found["problem"] = "bad_structured_data"  # kept whole in the message: nothing of it is lost
        else:
            found["structured_data"] = elements
            rest = rest[at + 1 :]
    elif rest == "-" or rest.startswith("- "):
        rest = rest[2:]
    return rest.removeprefix(_BOM)


def _structured(text: str) -> tuple[int, dict[str, Any]]:
    elements: dict[str, Any] = {}
    at = 0
    while element := _ELEMENT.match(text, at):
        parameters = elements.setdefault(element["id"], {})
        for key, value in _PARAM.findall(element["params"]):
            _cef.add(parameters, key, _PARAM_ESCAPE.sub(r"\1", value))
        at = element.end()
    return at, elements


def _rfc3164(text: str, found: dict[str, Any]) -> str:
    """Take the header apart, however little of it there is; return the message."""
    found["format"] = "bare"
    if sequence := _SEQUENCE.match(text):
        found["sequence"] = int(sequence["sequence"])
        if sequence["host"]:
            found["host"] = sequence["host"]
        text = text[sequence.end() :]
    text = text.lstrip()
    if uptime := _UPTIME.match(text):
        text = text[uptime.end() :]
    clock = text[1:] if text[:1] in {"*", "."} else text  # Cisco's clock that is not set, or not in step
    stamp = _stamps.BSD.match(clock) or _stamps.ISO.match(clock)
    if stamp is not None and clock[stamp.end() : stamp.end() + 1] in {"", " ", ":", "\t"}:
        found["format"] = "rfc3164"
        found["time"] = stamp.group()
        if _stamps.read(stamp) is None:
            found["problem"] = "bad_time"
        text = clock[stamp.end() :].removeprefix(":").lstrip()
        text = _host(text, found)
    elif "facility" not in found:
        return text
    tag = None if _begins_inside(text) else _TAG.match(text)
    if tag is None:
        return text
    found["app"] = tag["app"]
    if tag["pid"]:
        found["pid"] = tag["pid"]
    return text[tag.end() :]


def _host(text: str, found: dict[str, Any]) -> str:
    """Take the host off, if it is there: a sender on the same machine leaves it out."""
    first, space, rest = text.partition(" ")
    if not space or _begins_inside(text) or first[:1] in "[<{(/\"'":
        return text
    inner = rest.removeprefix(": ")
    if _CISCO.match(inner):  # "host %ASA-6-..", "host : %ASA-6-..", "host: %ASA-6-.."
        found["host"] = first.removesuffix(":")
        return inner
    if first.endswith(":") or _TAG.match(text):
        return text
    found["host"] = first
    return rest.lstrip()


def _begins_inside(text: str) -> bool:
    """Return whether the message itself begins here."""
    return bool(_CISCO.match(text) or _cef.START.match(text) or _leef.START.match(text))


def _inner(message: str, found: dict[str, Any]) -> None:
    """Decode what the message carries; a broken one is told in ``problem`` and the message stays."""
    cisco = _CISCO.match(message)
    if cisco is not None:
        found["cisco"] = {**cisco.groupdict(), "severity": int(cisco["severity"])}
        found.setdefault("severity", SEVERITIES[int(cisco["severity"])])
    try:
        if "CEF:" in message and _cef.START.search(message):
            found["cef"] = _cef.decode(message)
        elif "LEEF:" in message and _leef.START.search(message):
            found["leef"] = _leef.decode(message)
    except EventInvalid as bad:
        if found["format"] == "bare" and "facility" not in found:
            raise
        found["problem"] = bad.cause
