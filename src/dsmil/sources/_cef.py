r"""Common Event Format: ``CEF:0|vendor|product|version|class id|name|severity|key=value key=value``.

After the ArcSight Common Event Format guide, revisions 23 to 26. In the header ``\|`` and ``\\`` are escapes,
in values ``\=``, ``\\``, ``\n`` and ``\r``. A value ends where white space and the next ``key=`` begin, so it
may hold spaces, and an equals sign whose left neighbour is no single word.
"""

from __future__ import annotations

import re
from typing import Any, Final

from dsmil.errors import EventInvalid
from dsmil.events.model import Severity

#: Where CEF begins in a message; what precedes it was the header of the transport.
START: Final = re.compile(r"(?:^|(?<=[\s:]))CEF: ?(?P<version>\d+(?:\.\d+)?)\|")
HEADER: Final = ("vendor", "product", "device_version", "class_id", "name", "severity")
_HEADER_PART: Final = re.compile(r"((?:[^|\\]|\\.)*+)\|", re.DOTALL)
_KEY: Final = re.compile(r"(?:^|(?<=\s))([A-Za-z_][\w.\-\[\]]*)=", re.ASCII)
_HEADER_ESCAPE: Final = re.compile(r"\\([|\\])")
_VALUE_ESCAPE: Final = re.compile(r"\\([=\\nr|])")
_VALUES: Final = {"n": "\n", "r": "\r"}
#: The words of the format; a number stands for the word of its range.
_WORDS: Final = {
    "low": Severity.LOW,
    "medium": Severity.MEDIUM,
    "high": Severity.HIGH,
    "very-high": Severity.CRITICAL,
    "very high": Severity.CRITICAL,
}


def decode(text: str) -> dict[str, Any]:
    """Return header and extension of a CEF text; raises EventInvalid when its header is not whole.

    ``extension`` has the keys as they were sent, a key sent twice as a list; ``custom`` has the values of labelled
    fields (``cs1`` with ``cs1Label``) by their labels.
    """
    start = START.search(text)
    if start is None:
        raise EventInvalid("bad_cef", "the text has no CEF header: CEF:0|vendor|product|version|id|name|severity|")
    at = start.end()
    parts: list[str] = []
    while len(parts) < len(HEADER) and (part := _HEADER_PART.match(text, at)):
        parts.append(_HEADER_ESCAPE.sub(r"\1", part.group(1)))
        at = part.end()
    if len(parts) == len(HEADER) - 1 and at < len(text):
        parts.append(text[at:].strip())  # a header alone, without its last bar
        at = len(text)
    if len(parts) < len(HEADER):
        raise EventInvalid(
            "bad_cef", f"the CEF header has {len(parts)} of its {len(HEADER)} fields after the version"
        )
    found: dict[str, Any] = {"version": start["version"], **dict(zip(HEADER, parts, strict=True))}
    extension, unread = pairs(text[at:])
    found["extension"] = extension
    if unread:
        found["unread"] = unread
    custom = labelled(extension)
    if custom:
        found["custom"] = custom
    return found


def pairs(text: str) -> tuple[dict[str, Any], str]:
    """Return the keys and values of an extension, and what stands before its first key."""
    found: dict[str, Any] = {}
    keys = [m for m in _KEY.finditer(text) if not _is_escaped(text, m.end() - 1)]
    for key, following in zip(keys, [*keys, None][1:], strict=True):
        value = text[key.end() : following.start() if following else len(text)].strip(" \t\r\n")
        add(found, key.group(1), _VALUE_ESCAPE.sub(_unescape, value))
    return found, text[: keys[0].start() if keys else len(text)].strip()


def _is_escaped(text: str, at: int) -> bool:
    return at > 0 and text[at - 1] == "\\"


def _unescape(match: re.Match[str]) -> str:
    character = match.group(1)
    return _VALUES.get(character, character)


def add(fields: dict[str, Any], key: str, value: str) -> None:
    """Add a value; a key that comes again keeps all its values, in a list."""
    if key not in fields:
        fields[key] = value
    elif isinstance(fields[key], list):
        fields[key].append(value)
    else:
        fields[key] = [fields[key], value]


def labelled(extension: dict[str, Any]) -> dict[str, Any]:
    """Return the values whose names are sent beside them: ``cs1=x cs1Label=Rule`` is ``{"Rule": "x"}``."""
    return {
        str(label): extension[key[:-5]]
        for key, label in extension.items()
        if key.endswith("Label") and label and key[:-5] in extension
    }


def severity(value: str) -> tuple[Severity, tuple[str, ...]]:
    """Return our severity for a CEF or LEEF one (0-3, 4-6, 7-8, 9-10, or words), and a flag when it is unknown."""
    text = value.strip().lower()
    if text in _WORDS:
        return _WORDS[text], ()
    if re.fullmatch(r"\d{1,2}(\.\d+)?", text, re.ASCII) and (number := float(text)) <= 10:  # noqa: PLR2004
        if number >= 9:  # noqa: PLR2004 - very high
            return Severity.CRITICAL, ()
        if number >= 7:  # noqa: PLR2004 - high
            return Severity.HIGH, ()
        return (Severity.MEDIUM if number >= 4 else Severity.LOW), ()  # noqa: PLR2004 - medium
    return Severity.HIGH, (f"unknown_severity:{value[:40]}",)
