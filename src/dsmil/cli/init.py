"""``dsmil init``."""

from __future__ import annotations

import click

from dsmil.cli._shared import AS_JSON, print_json, settings, state_dir_option


@click.command("init")
@AS_JSON
@state_dir_option
def COMMAND(*, as_json: bool) -> int:
    """Make streams, groups and server-side functions at the broker; what is there already is kept.

    `dsmil up` does this by itself. Run it as the admin user before services start that may not, and after an
    update.

    \b
    Example:
      REDIS_URL=rediss://broker:6379/0 REDIS_USERNAME=dsmil-admin REDIS_PASSWORD=... dsmil init
    """
    from dsmil.infrastructure.redis_streams import RedisStreamsClient
    from dsmil.services.preparation import prepare_broker

    with RedisStreamsClient(settings=settings()) as bus:
        made = prepare_broker(bus.client)
    if as_json:
        print_json({"groups_made": [{"stream": stream, "group": group} for stream, group in made]})
    else:
        click.echo(f"{len(made)} groups made, functions loaded")
    return 0
