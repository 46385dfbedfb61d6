"""``dsmil events``."""

from __future__ import annotations

import click

from dsmil.cli._events import soc_line
from dsmil.cli._shared import AS_JSON, console, open_store, print_json, state_dir_option


@click.command("events")
@click.option(
    "-n",
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help="How many of the newest events.",
)
@click.option("--severity", type=click.Choice(["LOW", "MEDIUM", "HIGH", "CRITICAL"], case_sensitive=False))
@AS_JSON
@state_dir_option
def COMMAND(*, limit: int, severity: str | None, as_json: bool) -> int:
    """Show the newest SOC events of the hot store, oldest of them first. JSON: newest first.

    \b
    Examples:
      dsmil events --severity critical
      dsmil events -n 500 --json | jq '.[].event_id'
    """
    with open_store() as db:
        rows = db.get_recent_soc_events(limit=limit, severity=severity)
    if as_json:
        print_json(rows)
        return 0
    screen = console()
    for row in reversed(rows):
        screen.print(soc_line(row, with_date=True))
    if not rows:
        screen.print("no SOC events yet", style="dim")
    return 0
