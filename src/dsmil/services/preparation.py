"""Making everything at the broker that services need and may not make themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsmil.events.streams import DEFAULT_GROUP, StreamName
from dsmil.infrastructure.groups import ensure_group, load_functions, open_books
from dsmil.services.catalogue import handler_classes, service_classes

if TYPE_CHECKING:
    import redis


def service_groups() -> list[tuple[StreamName, str]]:
    """Return stream and group of everything that reads with a group: services that have a ``handle``."""
    parts = (service_classes() | handler_classes()).values()
    return [(stream, part.name) for part in parts if hasattr(part, "handle") for stream in part.reads]


def copied_streams() -> frozenset[StreamName]:
    """Return the streams that are copied without a group: nothing tells the broker how far that has come."""
    parts = (service_classes() | handler_classes()).values()
    return frozenset(stream for part in parts if not hasattr(part, "handle") for stream in part.reads)


def prepare_broker(client: redis.Redis) -> list[tuple[str, str]]:
    """Make streams, groups and server-side functions; return the groups made now. What is there is kept."""
    made = [(stream.value, DEFAULT_GROUP) for stream in StreamName if ensure_group(client, stream, DEFAULT_GROUP)]
    made += [(stream.value, group) for stream, group in service_groups() if open_books(client, stream, group)]
    load_functions(client)
    return made
