"""Which entities of a finding join it with others, and under what name."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from dsmil.events.model import Entity, Event

#: Types that join findings -> the name they share. Ports, processes and paths are the same everywhere.
LINKING: Final = {
    "host": "host",
    "hostname": "host",
    "ip": "ip",
    "user": "user",
    "username": "user",
    "domain": "domain",
    "url": "url",
    "hash": "hash",
    "email": "email",
    "mac": "mac",
    "container": "container",
    "pod": "pod",
    "resource": "resource",
}
#: Accounts that every host has: they say nothing about who it was.
_EVERYWHERE: Final = frozenset(
    (
        *("root", "system", "administrator", "admin", "nobody", "daemon", "guest", "anonymous", "anonymous logon"),
        *("local service", "network service", "localsystem", "www-data"),
    )
)
_NO_HOSTS: Final = frozenset(("localhost", "localhost.localdomain", "ip6-localhost", "broadcasthost"))
_NOTHING: Final = frozenset(("", "-", "n/a", "unknown", "null", "none", "(null)"))
_HASH: Final = re.compile(r"(?:[a-z0-9]+=)?([0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})")

#: Type and value.
Key = tuple[str, str]


def linking(event: Event) -> tuple[Key, ...]:
    """Return what joins a finding with others, in the order of the finding."""
    return tuple(dict.fromkeys(key for key in map(_key, event.entities) if key is not None))


@lru_cache(maxsize=20_000)
def _key(entity: Entity) -> Key | None:
    value = entity.value.strip().lower()
    if value in _NOTHING or entity.role == "sensor":  # the sensor sees all of them
        return None
    if entity.type == "file":
        found = _HASH.fullmatch(value)
        return ("hash", found[1]) if found else None
    kind = LINKING.get(entity.type)
    if kind == "user":
        value = value.rpartition("\\")[2]
        return None if value in _EVERYWHERE or value.endswith("$") else (kind, value)
    if kind == "host":
        value = value.rstrip(".")
        return None if value in _NO_HOSTS else _address(value) or (kind, value)
    if kind == "ip":
        return _address(value) if value else None
    return None if kind is None else (kind, value)


def _address(text: str) -> Key | None:
    """Return the address a text is, None when it is none or is nobody's own."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if address.is_loopback or address.is_multicast or address.is_unspecified or text == "255.255.255.255":
        return None
    return "ip", str(address)
