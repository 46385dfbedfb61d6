"""``dsmil dedupe``."""

from __future__ import annotations

import re
import time
from pathlib import Path

import click

from dsmil.cli._shared import AS_JSON, console, open_store, print_json, safe, settings, state_dir_option


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    found = re.fullmatch(r"(\d{1,6})([smhd])", value)
    if not found:
        raise click.BadParameter(f"{value!r} is not a time such as 30m, 24h or 7d")
    return int(found[1]) * {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}[found[2]]


@click.group("dedupe")
def COMMAND() -> None:
    """Try deduplication rules on findings that are there.

    \b
    Examples:
      dsmil dedupe preview --file dedupe.toml
      dsmil up --dedupe dedupe.toml
    """


@COMMAND.command("preview")
@click.option("--since", default="24h", show_default=True, callback=_seconds, help="How far back to look.")
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rules to try (default: DSMIL_DEDUPE, else only the built-in rule).",
)
@AS_JSON
@state_dir_option
def preview_rules(*, since: float, path: Path | None, as_json: bool) -> int:
    """Say how many things each rule makes of how many findings, with samples; nothing is changed."""
    from dsmil.correlation._dedupe import read_rules
    from dsmil.services.previewing import preview
    from dsmil.services.why import event_of

    chosen = str(path or settings().dedupe)
    rules = read_rules(chosen) if chosen else []
    with open_store() as db:
        rows = db.get_findings(since=time.time() - since)
        told = preview(rules, (event_of(row) for row in rows))
    if as_json:
        print_json({"file": chosen, "findings": sum(one.findings for one in told), "rules": told})
        return 0
    screen = console()
    for one in told:
        screen.print(
            f"{safe(one.name)}: {one.things:,} of {one.findings:,} findings"
            f" (key {safe(', '.join(one.key))}; window {one.window})",
            style="bold",
        )
        if one.problem:
            screen.print(f"  {one.problem}", style="yellow")
        elif one.lacking:
            screen.print(
                f"  {one.lacking:,} more lack a field of the key: the next rule takes them", style="yellow"
            )
        for sample in one.samples:
            screen.print(
                f"  {sample.count:>7,} x {sample.severity:<8} {safe(sample.name, 60)}  {safe(sample.key, 100)}",
                style="dim",
            )
    return 0
