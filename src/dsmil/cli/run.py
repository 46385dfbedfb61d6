"""``dsmil run``."""

from __future__ import annotations

import socket

import click

from dsmil.cli._shared import dedupe_option, rules_option, settings, state_dir_option


@click.command("run")
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--metrics-port", type=click.IntRange(0, 65535), help="Serve /metrics and /health here (0: none).")
@click.option("--metrics-fd", type=int, hidden=True)
@click.option("--list", "list_names", is_flag=True, help="List the services and end.")
@dedupe_option
@rules_option
@state_dir_option
def COMMAND(*, names: tuple[str, ...], metrics_port: int | None, metrics_fd: int | None, list_names: bool) -> int:
    """Run the named services in this process until SIGTERM or Ctrl-C.

    \b
    Examples:
      dsmil run soc-router store-writer
      dsmil run --list
    """
    from dsmil import log
    from dsmil.services.catalogue import part_names
    from dsmil.services.host import run_parts
    from dsmil.services.ports import FIRST_PORT, listen

    if list_names or not names:
        click.echo("\n".join(part_names()))
        return 0 if list_names else 2
    chosen = settings()
    log.configure(chosen.log_level, service=names[0])
    sock: socket.socket | None = None
    if metrics_fd is not None:
        sock = socket.socket(fileno=metrics_fd)
    elif metrics_port != 0:
        sock = listen(metrics_port or FIRST_PORT)
    return run_parts(list(names), chosen, metrics_socket=sock)
