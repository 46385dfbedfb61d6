"""``dsmil config``."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from dsmil.cli._shared import AS_JSON, console, print_json, safe, settings, state_dir_option, table


@click.group("config")
def COMMAND() -> None:
    """Look at the settings.

    \b
    Example:
      dsmil config show
    """


@COMMAND.command("show")
@AS_JSON
@state_dir_option
def show(*, as_json: bool) -> int:
    """Show every setting: its variable, its value, and where the value came from. Secrets are not shown.

    Below them, what follows from the settings: the broker and the hot store that would be used, and why.
    """
    import os

    from dsmil.config import VARIABLES, Secret
    from dsmil.infrastructure import store_place
    from dsmil.infrastructure.address import broker_choice, public_url

    chosen = settings()
    values = msgspec.structs.asdict(chosen)
    rows: list[dict[str, Any]] = []
    for variable, field in VARIABLES.items():
        value = values[field]
        shown = ("set, not shown" if value else "") if isinstance(value, Secret) else str(value)
        shown = public_url(shown) if "://" in shown else shown
        given = bool(os.environ.get(variable, "").strip())
        rows.append({"name": variable, "value": shown, "from": "environment" if given else "default"})
    address, reason = broker_choice(chosen)
    place = store_place.choose(chosen)
    follows = {
        "broker": {"value": address, "why": reason},
        "hot store": {"value": str(place.path), "why": place.reason},
    }
    if as_json:
        print_json({"settings": rows, "follows": follows})
        return 0
    listed = table("variable", "value", "from")
    for row in rows:
        listed.add_row(*(safe(part) for part in row.values()))
    screen = console()
    screen.print(listed)
    for name, choice in follows.items():
        screen.print(f"{name:10} {safe(choice['value'])} ({safe(choice['why'])})")
    return 0
