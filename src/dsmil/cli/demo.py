"""``dsmil demo``: the players behind ``dsmil up --demo``."""

from __future__ import annotations

import socket

import click

from dsmil.cli._shared import settings, state_dir_option


@click.command("demo", hidden=True)
@click.option("--shrink-fd", type=int, required=True)
@state_dir_option
def COMMAND(*, shrink_fd: int) -> int:
    """Play the sample log into L3_IN and recorded readings behind the SHRINK endpoint."""
    from dsmil import log
    from dsmil.services.demo import play

    chosen = settings()
    log.configure(chosen.log_level)
    return play(chosen, socket.socket(fileno=shrink_fd))
