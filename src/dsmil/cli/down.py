"""``dsmil down``."""

from __future__ import annotations

import os
import signal
import time

import click

from dsmil.cli._errors import NO
from dsmil.cli._shared import settings, state_dir_option

_WAIT_S = 40.0


@click.command("down")
@state_dir_option
def COMMAND() -> int:
    """Stop the running instance and wait until it has ended."""
    from dsmil.infrastructure.instance import StateDir

    state = StateDir(settings().state_dir)
    record = state.running()
    if record is None:
        click.echo(f"no instance runs in {state.path}", err=True)
        return NO
    os.kill(record.pid, signal.SIGTERM)
    deadline = time.monotonic() + _WAIT_S
    while state.running() is not None:
        if time.monotonic() > deadline:
            click.echo(f"pid {record.pid} is still stopping after {_WAIT_S:.0f} s", err=True)
            return NO
        time.sleep(0.05)
    click.echo("stopped")
    return 0
