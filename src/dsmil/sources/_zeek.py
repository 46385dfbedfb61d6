"""What both forms of Zeek logs share: where entities lie in any of its logs, and what a log is about."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from dsmil.errors import EventInvalid
from dsmil.events.model import Entity, EventCategory
from dsmil.sources._mapping import Mapping, Take

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dsmil.sources._feed import Parsed

#: Logs about the sensor itself.
_OWN_LOGS: Final = (
    "broker capture_loss cluster config loaded_scripts packet_filter print prof reporter stats stderr stdout"
    " telemetry"
)
#: What a log is about where it is not the network, by its path.
CATEGORIES: Final = {
    **dict.fromkeys(("kerberos", "ntlm", "radius", "ssh"), EventCategory.AUTH),
    **dict.fromkeys(("known_certs", "ocsp", "x509"), EventCategory.CRYPTO),
    **dict.fromkeys(_OWN_LOGS.split(), EventCategory.SYSTEM),
}


class _Logs(Mapping):
    """Knows the fields that mean one thing in one log and another in the next, even without ``_path``."""

    def sources(self, record: dict[str, Any]) -> Iterable[tuple[str, Entity]]:
        """Return the entities of a record."""
        found = super().sources(record)
        if _AMBIGUOUS.isdisjoint(record):
            return found
        return [(path, meant) for path, entity in found if (meant := _meant(path, entity, record)) is not None]


def _meant(path: str, entity: Entity, record: dict[str, Any]) -> Entity | None:
    """Return what an entity is in its log, or None when it is none."""
    if path == "name" and "action" not in record:
        return None  # of a weird, of software: only in smb_files it is a file's
    if path == "client" and entity.value.startswith("SSH-"):
        return None  # a version; in kerberos it is a user
    if path == "host" and _is_address(entity.value):
        return Entity("ip", entity.value)  # of known_hosts, software; in http it is a name
    return entity


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


_AMBIGUOUS: Final = frozenset(("name", "client", "host"))
MAPPING: Final = _Logs(
    time=("ts", "_write_ts"),
    entities=(
        # Some exporters write id_orig_h, because a dot in a name is a level to their store.
        *(
            Take(f"{start}{side}_{end}", kind, role)
            for side, role in (("orig", "src"), ("resp", "dest"))
            for end, kind in (("h", "ip"), ("p", "port"))
            for start in ("id.", "id_")
        ),
        Take("src", "ip", "src"),
        Take("dst", "ip", "dest"),
        Take("tx_hosts", "ip", "src"),
        Take("rx_hosts", "ip", "dest"),
        Take("client_addr", "ip", "src"),
        Take("server_addr", "ip", "dest"),
        Take("assigned_addr", "ip"),
        Take("mac", "mac", "src"),
        Take("host_name", "host", "src"),
        Take("host", "host"),
        Take("server_name", "host", "dest"),
        Take("hostname", "host"),
        Take("helo", "host", "src"),
        Take("query", "domain"),
        Take("domainname", "domain"),
        Take("san.dns", "domain"),
        Take("username", "user"),
        Take("user", "user"),
        Take("client", "user"),
        Take("cookie", "user"),
        Take("mailfrom", "email", "src"),
        Take("rcptto", "email", "dest"),
        Take("uri", "url"),
        Take("filename", "file"),
        Take("name", "file"),
        Take("sha256", "file"),
        Take("sha1", "file"),
        Take("md5", "file"),
        Take("_system_name", "host", "sensor"),
    ),
    category=EventCategory.NETWORK,
    notes="`name` only of `smb_files`, `host` as ip where it is one; category by `_path`: "
    + ", ".join(f"`{path}` {category}" for path, category in CATEGORIES.items()),
)


def parse(record: dict[str, Any]) -> Parsed:
    """Map the fields of a Zeek record, whichever form they were read from."""
    path = record.get("_path")
    if "ts" not in record and not isinstance(path, str):
        raise EventInvalid("not_zeek", "the record has neither ts nor _path")
    return MAPPING.apply(record, category=CATEGORIES.get(str(path), EventCategory.NETWORK))
