"""Parts of a host name: what was registered, and what its owner put before it; and whose an address is."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

#: Second labels under which others register, where the top label is a country.
_SHARED: Final = frozenset("ac co com edu go gob gov gv id ltd me mil ne net nom or org plc sch".split())
_ADDRESS: Final = re.compile(r"[0-9.]+|[0-9a-f:]*:[0-9a-f:.]*")
_COUNTRY: Final = 2


def split(name: str) -> tuple[str, str]:
    """Return what stands before the registered domain, and that domain; both may be empty.

    A rule of thumb stands in for the Public Suffix List, which changes weekly: two labels, or three below
    ``co.uk`` and its like.
    """
    labels = name.split(".")
    if len(labels) > _COUNTRY and len(labels[-1]) == _COUNTRY and labels[-2] in _SHARED:
        return ".".join(labels[:-3]), ".".join(labels[-3:])
    return ".".join(labels[:-2]), ".".join(labels[-2:])


def is_address(name: str) -> bool:
    """Return whether a host was named by its address."""
    return _ADDRESS.fullmatch(name) is not None


@lru_cache(maxsize=4096)
def is_outside(address: str) -> bool:
    """Return whether an address is a public one: not one of the house, nor a reserved one."""
    try:
        return ip_address(address).is_global
    except ValueError:
        return False
