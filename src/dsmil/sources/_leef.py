"""Log Event Extended Format: ``LEEF:1.0|vendor|product|version|event id|key=value<tab>key=value``.

After IBM's LEEF guide. Version 2.0 has a sixth header field, the delimiter: one character, or its code as
``x5E`` or ``0x5E``; empty means tab. Values have no escapes, so a Windows path stays as it is. A relay may have
written the tab as ``#011``, which is what rsyslog does by default.
"""

from __future__ import annotations

import re
from typing import Any, Final

from dsmil.errors import EventInvalid
from dsmil.sources import _stamps
from dsmil.sources._cef import add, pairs

#: Where LEEF begins in a message.
START: Final = re.compile(r"(?:^|(?<=[\s:]))LEEF: ?(?P<version>\d+(?:\.\d+)?)\|")
HEADER: Final = ("vendor", "product", "device_version", "event_id")
_HEADER_PART: Final = re.compile(r"((?:[^|\\]|\\.)*+)\|", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\([|\\])")
_DELIMITER: Final = re.compile(
    r"(?P<code>0?[xX](?P<hex>[0-9A-Fa-f]{1,4}))?(?P<char>[^|=\w]|\|(?=\|))?\|", re.DOTALL | re.ASCII
)
_KEY: Final = re.compile(r"[^\s=][^=\t]*")


def decode(text: str) -> dict[str, Any]:
    """Return header and attributes of a LEEF text; raises EventInvalid when its header is not whole."""
    start = START.search(text)
    if start is None:
        raise EventInvalid("bad_leef", "the text has no LEEF header: LEEF:1.0|vendor|product|version|event id|")
    at = start.end()
    parts: list[str] = []
    while len(parts) < len(HEADER) and (part := _HEADER_PART.match(text, at)):
        parts.append(_ESCAPE.sub(r"\1", part.group(1)))
        at = part.end()
    if len(parts) == len(HEADER) - 1 and at < len(text):
        parts.append(text[at:].strip())
        at = len(text)
    if len(parts) < len(HEADER):
        raise EventInvalid(
            "bad_leef", f"the LEEF header has {len(parts)} of its {len(HEADER)} fields after the version"
        )
    found: dict[str, Any] = {"version": start["version"], **dict(zip(HEADER, parts, strict=True))}
    delimiter = "\t"
    if not start["version"].startswith("1") and (match := _DELIMITER.match(text, at)):
        delimiter = chr(int(match["hex"], 16)) if match["hex"] else match["char"] or "\t"
        at = match.end()
    found["extension"], unread = attributes(text[at:], delimiter)
    if unread:
        found["unread"] = unread
    return found


def attributes(text: str, delimiter: str = "\t") -> tuple[dict[str, Any], str]:
    """Return keys and values, and the parts that are no pair.

    Where the delimiter is nowhere, the tab of a relay (``#011``) or else blanks part the pairs, as in CEF.
    """
    text = text.strip("\r\n ")
    if delimiter not in text:
        if "#011" in text:
            delimiter = "#011"
        elif delimiter == "\t" and len(re.findall(r"(?:^| )\w+=", text)) > 1:
            return pairs(text)
    found: dict[str, Any] = {}
    unread: list[str] = []
    for part in text.split(delimiter):
        key, equals, value = part.partition("=")
        key = key.strip()
        if equals and key and _KEY.fullmatch(key):
            add(found, key, value.strip())
        elif part.strip():
            unread.append(part.strip())
    return found, " ".join(unread)


def event_time(extension: dict[str, Any]) -> _stamps.When | None:
    """Return ``devTime`` after ``devTimeFormat``, or after LEEF's default formats; None when unreadable."""
    value, pattern = extension.get("devTime"), extension.get("devTimeFormat")
    if not isinstance(value, str):
        return None
    reader = _stamps.java_format(pattern) if isinstance(pattern, str) and pattern else None
    found = reader(value) if reader is not None else None
    return found or _stamps.text_time(value)
