"""Log records for the systemd journal in its own form, so that their fields can be searched there."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import structlog

SOCKET: Final = Path("/run/systemd/journal/socket")
#: structlog's level -> syslog's.
_PRIORITY: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2, "exception": 3}
_NOT_IN_NAMES: Final = re.compile(r"[^A-Z0-9_]")
#: Longest field name that the journal takes.
_MAX_NAME: Final = 64


def stderr_is_journal(environ: Mapping[str, str] | None = None) -> bool:
    """Return whether standard error is the stream that systemd connected to the journal."""
    named = (os.environ if environ is None else environ).get("JOURNAL_STREAM", "")
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # closed, or replaced by something without a descriptor
        return False
    return named == f"{found.st_dev}:{found.st_ino}"


class Journal:
    """The last processor but one: sends a record natively, or leaves it to the one after."""

    def __init__(self, service: str, address: Path = SOCKET) -> None:
        """Name the service for SYSLOG_IDENTIFIER; nothing is connected, each record finds its own way."""
        self._identifier = f"dsmil-{service}" if service else "dsmil"
        self._address = str(address)

    def __call__(self, _logger: object, _method: str, fields: Any) -> Any:  # noqa: ANN401 - structlog's own shape
        """Send the record; return it for standard error when the journal does not take it."""
        try:
            # Waiting here would let a stuck journal stop the routing: what it cannot take goes on to stderr.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.sendto(encode(fields, self._identifier), socket.MSG_DONTWAIT, self._address)
        except OSError:  # too large for a datagram, the queue is full, or journald is starting anew
            return fields
        raise structlog.DropEvent


def encode(fields: Mapping[str, Any], identifier: str) -> bytes:
    """Return a record as the journal's native protocol has it."""
    rest = {name: value for name, value in fields.items() if name not in {"event", "level", "timestamp"}}
    event, exception = str(fields.get("event", "")), rest.get("exception", "")
    words = (f"{name}={_text(value)}" for name, value in rest.items() if name not in {"component", "exception"})
    message = " ".join([event, *words])
    records = {
        "MESSAGE": f"{message}\n{exception}" if exception else message,
        "PRIORITY": str(_PRIORITY.get(str(fields.get("level", "")), 6)),
        "SYSLOG_IDENTIFIER": identifier,
        "DSMIL_EVENT": event,
    }
    for name, value in rest.items():
        records.setdefault("DSMIL_" + _NOT_IN_NAMES.sub("_", name.upper())[: _MAX_NAME - 6], _text(value))
    return b"".join(_field(name, value) for name, value in records.items())


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _field(name: str, value: str) -> bytes:
    data = value.encode(errors="backslashreplace")
    if b"\n" in data:  # a value of several lines gives its length; it could otherwise forge fields
        return b"%s\n%s%s\n" % (name.encode(), len(data).to_bytes(8, "little"), data)
    return b"%s=%s\n" % (name.encode(), data)
