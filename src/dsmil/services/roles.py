"""The users of the broker: one for each service, and those of people. All follow from what parts declare."""

from __future__ import annotations

from typing import Any

from dsmil.events.handling import Remembering
from dsmil.infrastructure.access import Grant, Role, consuming, emptying, looking, preparing, producing
from dsmil.services.catalogue import handler_classes, service_classes


def roles() -> list[Role]:
    """Return every role, services first."""
    own = [_service(part) for part in (service_classes() | handler_classes()).values()]
    others = [
        Role(name="ingest", about="`dsmil ingest`, `dsmil publish L3_IN`, your producers", grants=producing()),
        Role(name="listen", about="`dsmil listen`", grants=(*producing(), *emptying()), keyless=("multi", "exec")),
        Role(
            name="reader",
            about="`dsmil status`, `dsmil tail`, `dsmil dlq`, monitoring",
            grants=looking(),
            keyless=("info", "multi", "exec"),
        ),
    ]
    # `dsmil up` runs every service under the one address it was given, so its user needs what all of them need.
    union: dict[Grant, None] = dict.fromkeys(grant for role in (*own, *others) for grant in role.grants)
    keyless = ("unwatch", "function|load", "function|list", "config|get", "acl|load")
    admin = Role(
        name="admin",
        about="`dsmil init`, `dsmil up`",
        grants=(*preparing(), *union),
        keyless=tuple(dict.fromkeys((*(word for role in (*own, *others) for word in role.keyless), *keyless))),
    )
    return [*own, *others, admin]


def _service(part: Any) -> Role:  # noqa: ANN401 - a class that some file offers
    about = f"`dsmil run {part.name}`"
    if hasattr(part, "handle"):
        remembers = issubclass(part, Remembering)
        grants = consuming(part.name, part.reads, part.writes, remembers=remembers)
        return Role(name=part.name, about=about, grants=grants, keyless=("time",) if remembers else ())
    return Role(name=part.name, about=about, grants=part.grants(), keyless=getattr(part, "keyless", ()))


def table(prefix: str = "dsmil-") -> str:
    """Return the roles as a Markdown table, for docs/secure.md."""
    rows = ["| User | For | Reads | Adds to | Commands |", "|---|---|---|---|---|"]
    for role in roles():
        reads, writes = (
            ", ".join(f"`{s}`" for s in role.streams(written=written)) or "-" for written in (False, True)
        )
        commands = ", ".join(f"`{command.upper().replace('|', ' ')}`" for command in role.commands)
        rows.append(f"| `{prefix}{role.name}` | {role.about} | {reads} | {writes} | {commands} |")
    return "\n".join(rows).replace("FCALL DSMIL_SETTLE", "FCALL dsmil_settle")
