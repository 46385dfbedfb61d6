"""The command line: one file per command, imported only when it is called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, cast

import click

from dsmil import __version__


class _Commands(click.Group):
    """Finds commands as files of this folder: ``events.py`` is ``dsmil events``."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands."""
        return sorted(i.name.replace("_", "-") for i in iter_modules(__path__) if not i.name.startswith("_"))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the file of one command."""
        if name not in self.list_commands(ctx):
            return None
        return cast("click.Command", import_module(f"{__name__}.{name.replace('-', '_')}").COMMAND)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="dsmil")
@click.option("--state-dir", metavar="DIR", help="Instance to talk to (default: DSMIL_STATE_DIR, else per user).")
def cli(state_dir: str | None) -> None:
    """A SOC data fabric on one host: logs in, detections fused, every decision explained.

    Exit codes: 0 done, 1 not running or nothing found, 2 wrong usage or unknown name, 65 bad input, 66 file
    cannot be read, 69 broker or store unavailable or too slow, 70 internal error, 75 another instance is
    running, 78 wrong configuration, 130 interrupted.
    """
    if state_dir:
        os.environ["DSMIL_STATE_DIR"] = state_dir


def main() -> Any:  # noqa: ANN401 - never returns: click exits
    """Run the command line; errors that are ours become one line and a numbered exit code."""
    from dsmil.cli._errors import guarded, let_go

    code = guarded(lambda: cli(standalone_mode=False))
    let_go()
    sys.exit(code)
