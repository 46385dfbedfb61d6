"""``dsmil top``."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import click

from dsmil.cli._errors import NO
from dsmil.cli._shared import AS_JSON, console, print_json, settings, state_dir_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dsmil.cli._top_model import View
    from dsmil.config import Settings

#: Columns of a frame that goes into a pipe or a file.
_PIPE_WIDTH = 120


@click.command("top")
@click.option(
    "--interval",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.2, 3600),
    metavar="SECONDS",
    help="How often to look.",
)
@click.option("--once", is_flag=True, help="Show one frame, or one line of JSON, and end.")
@AS_JSON
@state_dir_option
def COMMAND(*, interval: float, once: bool, as_json: bool) -> int:
    """Watch the fabric at work: streams, groups, parts, dead letters and the newest SOC events.

    Keys: q quit, p pause, + and - refresh less or more often, s which events, ? help. Without a terminal it
    prints one frame, taken over one interval, and ends; then exit code 1 means that the broker does not answer.

    \b
    Examples:
      dsmil top
      dsmil top --once
      dsmil top --json --interval 5 | jq .dead_letters.count
    """
    chosen = settings()
    if as_json:
        for view in _views(chosen, interval):
            print_json(view)
            sys.stdout.flush()
            if once:
                return _code(view)
    if once or not _is_terminal():
        view = next(_views(chosen, interval))
        _print(view, interval)
        return _code(view)
    from dsmil.cli._top_live import run

    return run(chosen, interval)


def _is_terminal() -> bool:
    """Return whether there are a keyboard and a screen that can be drawn on."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "") not in {"", "dumb"}


def _views(chosen: Settings, interval: float) -> Iterator[View]:
    """Yield a view at the end of each interval, with its rates."""
    from dsmil.cli._top_model import Model
    from dsmil.services.glance import Looker

    looker, model = Looker(chosen), Model()
    try:
        model.take(looker.look())
        while True:
            time.sleep(interval)
            yield model.take(looker.look())
    finally:
        looker.close()


def _print(view: View, interval: float) -> None:
    from dsmil.cli._top_draw import Frame, draw

    screen = console()
    width = screen.width if screen.is_terminal else _PIPE_WIDTH
    screen.print(draw(view, Frame(width=width, interval_s=interval, keys=False)), soft_wrap=True)


def _code(view: View) -> int:
    return NO if "error" in view.broker else 0
