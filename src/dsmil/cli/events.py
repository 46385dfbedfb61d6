"""``dsmil events``."""

from __future__ import annotations

import click

from dsmil.cli._events import said, soc_line
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
@click.option("--ocsf", is_flag=True, help="Print OCSF Detection Findings, one a line, oldest first.")
@AS_JSON
@state_dir_option
def COMMAND(*, limit: int, severity: str | None, ocsf: bool, as_json: bool) -> int:
    """Show the newest SOC events of the hot store, oldest of them first. JSON: newest first.

    \b
    Examples:
      dsmil events --severity critical
      dsmil events -n 500 --json | jq '.[].event_id'
      dsmil events -n 1000000 --ocsf > findings.json
    """
    with open_store() as db:
        if ocsf:
            from dsmil.fusion.ocsf import detection_finding

            for row in db.stream_soc_events(limit=limit, severity=severity):
                print_json(detection_finding(row, said(row)))
            return 0
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
