"""Numbers, times and commands as findings say them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dsmil.doctor.facts import Broker

_STEP = 1024


def size(octets: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "KB", "MB"):
        if abs(octets) < _STEP:
            return f"{octets:.0f} {unit}" if unit == "B" else f"{octets:.1f} {unit}"
        octets /= _STEP
    return f"{octets:.1f} GB"


def span(seconds: float) -> str:
    """Return a time span for people."""
    for unit, length, most in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if abs(seconds) < most:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds / 86_400:,.0f} d"


def redis_cli(broker: Broker, *words: str) -> str:
    """Return a command for a person's shell that talks to this broker."""
    scheme, _, rest = broker.address.partition("://")
    place = ["-s", rest.partition("?")[0]] if scheme == "unix" else ["-u", broker.address]
    return shlex.join(["redis-cli", *place, *words])
