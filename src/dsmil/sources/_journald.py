"""Entries of the systemd journal as ``journalctl -o json`` writes them.

A field that is no text is an array of byte values, one that is too large is null, one that comes several times is
an array of these. After ``systemd.journal-fields(7)`` and the journal export formats.
"""

from __future__ import annotations

from typing import Any, Final

from dsmil.errors import EventInvalid
from dsmil.events.model import Severity

_MOST_BYTE: Final = 255
#: Syslog's level, 0 (emerg) to 7 (debug) -> our severity. CRITICAL is left to correlation and operator state.
SEVERITY: Final = (
    Severity.HIGH,
    Severity.HIGH,
    Severity.HIGH,
    Severity.MEDIUM,
    Severity.LOW,
    Severity.LOW,
    Severity.LOW,
    Severity.LOW,
)


def plain(record: dict[str, Any]) -> dict[str, Any]:
    """Return the fields as text, or lists of text; a field that is too large for the export stays None."""
    return {key: _plain(value) for key, value in record.items()}


def _plain(value: object) -> object:
    if not isinstance(value, list):
        return value
    found = octets(value)
    return [_plain(part) for part in value] if found is None else found.decode("utf-8", "backslashreplace")


def octets(value: object) -> bytes | None:
    """Return the bytes that an array of byte values means; None for any other value."""
    if isinstance(value, list) and value and all(type(part) is int and 0 <= part <= _MOST_BYTE for part in value):
        return bytes(value)
    return None


def seconds(value: object) -> float | None:
    """Return microseconds since 1970, in digits, as Unix seconds; None when there are none.

    Raises EventInvalid when it is no number of microseconds.
    """
    if value is None:
        return None
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) <= 17):  # noqa: PLR2004 - the year 5138
        raise EventInvalid("bad_time", f"{text[:40]!r} is not a number of microseconds")
    return int(text) / 1e6
