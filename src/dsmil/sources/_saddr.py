"""Socket addresses as the kernel's audit writes them: the bytes of a ``struct sockaddr`` in hexadecimal digits."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final

_FAMILIES: Final = {1: "local", 2: "inet", 10: "inet6", 16: "netlink", 17: "packet"}
_LOCAL, _INET, _INET6 = 1, 2, 10
#: Lengths of the structures that hold an address, bytes.
_INET_BYTES: Final = 8
_INET6_BYTES: Final = 24


def decode(digits: str) -> dict[str, str]:
    """Return family and address, under the names that ``auditd`` uses for them; empty when these are no digits."""
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        return {}
    # Two bytes in the order of the host; families are small numbers.
    family = raw[0] or raw[1] if len(raw) > 1 else 0
    if not family:
        return {}
    found = {"saddr_fam": _FAMILIES.get(family, str(family))}
    if family == _INET and len(raw) >= _INET_BYTES:
        found |= {"laddr": str(IPv4Address(raw[4:8])), "lport": str(int.from_bytes(raw[2:4]))}
    elif family == _INET6 and len(raw) >= _INET6_BYTES:
        found |= {"laddr": str(IPv6Address(raw[8:24])), "lport": str(int.from_bytes(raw[2:4]))}
    elif family == _LOCAL and len(raw) > 2:  # noqa: PLR2004 - the family alone is a socket without a name
        is_abstract = raw[2] == 0
        name = raw[3:].rstrip(b"\0") if is_abstract else raw[2:].partition(b"\0")[0]
        found["path"] = ("@" if is_abstract else "") + name.decode("utf-8", "backslashreplace")
    return found
