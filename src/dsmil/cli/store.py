"""``dsmil store``."""

from __future__ import annotations

import sys
import time

import click
import msgspec

from dsmil.cli._errors import NO
from dsmil.cli._shared import AS_JSON, clock, console, print_json, safe, settings, size, state_dir_option, table


@click.group("store")
def COMMAND() -> None:
    """Care for the hot store: check it, copy it to disk, build it anew.

    \b
    Examples:
      dsmil store check
      dsmil store snapshot
      dsmil store rebuild --yes
    """


@COMMAND.command("check")
@AS_JSON
@state_dir_option
def check_store(*, as_json: bool) -> int:
    """Look through the whole file, its books and its snapshots; exits 1 when something is wrong."""
    from dsmil.services.store_care import check

    report = check(settings())
    if as_json:
        print_json({**msgspec.to_builtins(report), "whole": report.whole})
        return 0 if report.whole else NO
    screen = console()
    screen.print(f"store      {safe(report.path)}, schema step {report.schema_step}")
    for line in report.damage:
        screen.print(f"damage     {safe(line, 500)}", style="red")
    screen.print(f"rows       {', '.join(f'{name} {rows:,}' for name, rows in report.rows.items())}")
    for stream in report.streams:
        behind = "" if stream.position == stream.newest else f", behind {stream.newest or 'a broker that is away'}"
        sums = f"{stream.entries} entries = {stream.rows} rows + {stream.duplicates} duplicates"
        screen.print(
            f"{stream.stream:10} {sums} + {stream.rejected} rejected, up to {stream.position}{behind}",
            style="" if stream.adds_up else "red",
        )
    shown = table("snapshot", "taken", "size", right=frozenset({"size"}))
    for snapshot in report.snapshots:
        shown.add_row(safe(snapshot["path"]), clock(snapshot["made"]), size(snapshot["size_bytes"]))
    screen.print(shown if report.snapshots else "snapshot   none yet")
    for text in report.unreadable:
        screen.print(f"snapshot   {safe(text, 500)}", style="red")
    screen.print(
        "whole" if report.whole else "not whole: `dsmil store rebuild`", style="green" if report.whole else "red"
    )
    return 0 if report.whole else NO


@COMMAND.command("snapshot")
@AS_JSON
@state_dir_option
def take_snapshot(*, as_json: bool) -> int:
    """Copy the store to disk now, while it is written to; the newest two snapshots are kept."""
    from dsmil.services.store_care import snapshot_now

    started = time.monotonic()
    taken = snapshot_now(settings())
    if as_json:
        print_json(msgspec.to_builtins(taken, enc_hook=str))
    else:
        took = time.monotonic() - started
        click.echo(f"{safe(taken.path)}  {size(taken.size_bytes)} in {took:.1f} s")
    return 0


@COMMAND.command("rebuild")
@click.option("--yes", is_flag=True, help="Do not ask.")
@AS_JSON
@state_dir_option
def rebuild_store(*, yes: bool, as_json: bool) -> int:
    """Empty the store and fill it from the newest snapshot and the streams.

    Events come back whole. What was written by other ways since that snapshot does not: rows that you added or
    changed by SQL, model outputs, SHRINK readings. The fabric may run meanwhile.
    """
    from dsmil.services.store_care import rebuild

    if not yes:
        click.confirm("Empty the hot store and fill it from snapshot and streams?", abort=True)
    started = time.monotonic()
    if as_json or not sys.stderr.isatty():
        rows = rebuild(settings())
    else:
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} rows"), TimeElapsedColumn())
        with Progress(*columns, console=console(stderr=True), transient=True) as bar:
            task = bar.add_task("rows", total=None)
            rows = rebuild(settings(), lambda done: bar.update(task, completed=done))
    took = round(time.monotonic() - started, 2)
    if as_json:
        print_json({"rows": rows, "seconds": took})
    else:
        click.echo(f"{', '.join(f'{name} {count:,}' for name, count in rows.items())} in {took:.1f} s")
    return 0
