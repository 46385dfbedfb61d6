"""``dsmil why``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from dsmil.cli._errors import NO
from dsmil.cli._shared import (
    AS_JSON,
    clock,
    console,
    open_store,
    print_json,
    rules_option,
    safe,
    settings,
    state_dir_option,
)

if TYPE_CHECKING:
    from dsmil.fusion.step import Step

_STYLES = {
    "source": "cyan",
    "member": "cyan",
    "correlation": "magenta",
    "detection": "magenta",
    "fusion": "blue",
    "escalation": "yellow",
    "publication": "green",
}


@click.command("why")
@click.argument("event_id")
@AS_JSON
@rules_option
@state_dir_option
def COMMAND(*, event_id: str, as_json: bool) -> int:
    """Tell how an event came to be what it is: source, detection, fusion, escalation, publication.

    Of a group, a chain of tactics or a risk it tells what it is made of; of a raw record which finding each
    detector makes of it, or why none.

    \b
    Example:
      dsmil why "$(dsmil events -n 1 --json | jq -r '.[0].event_id')"
    """
    from dsmil.infrastructure.instance import StateDir
    from dsmil.services.why import find_steps

    running = StateDir(settings().state_dir).running()
    if running is not None and running.rules:
        os.environ.setdefault("DSMIL_RULES", running.rules)
    with open_store() as db:
        steps = find_steps(event_id, db)
    if steps is None:
        click.echo(f"dsmil: no event {safe(event_id, 80)} in the hot store", err=True)
        return NO
    if as_json:
        print_json({"event_id": event_id, "steps": steps})
        return 0
    _tell(event_id, steps)
    return 0


def _tell(event_id: str, steps: list[Step]) -> None:
    from rich.text import Text

    screen = console()
    screen.print(safe(event_id), style="bold")
    for number, step in enumerate(steps, start=1):
        line = Text()
        line.append(f"{number}. ", style="dim")
        line.append(f"{step.stage:<12}", style=_STYLES.get(step.stage, ""))
        line.append(safe(step.text))
        if step.at is not None:
            line.append(f"  {clock(step.at)} UTC", style="dim")
        screen.print(line)
        for key, value in step.detail.items():
            if value not in (None, [], {}):
                screen.print(f"     {safe(key)}: {safe(_words(value), 300)}", style="dim")


def _words(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return ", ".join(f"{k}={_words(v)}" for k, v in value.items() if v is not None)
    if isinstance(value, list):
        return "; ".join(_words(v) for v in value)
    return str(value)
