"""``dsmil tail``."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from dsmil.cli._events import soc_line
from dsmil.cli._shared import AS_JSON, clock, console, print_json, safe, settings, state_dir_option


@click.command("tail")
@click.argument("stream", default="SOC_EVENTS")
@click.option(
    "-n",
    "--lines",
    default=10,
    show_default=True,
    type=click.IntRange(0, 1_000_000),
    help="Start with this many of the newest events.",
)
@click.option("--no-follow", is_flag=True, help="End after those instead of waiting for more.")
@AS_JSON
@state_dir_option
def COMMAND(*, stream: str, lines: int, no_follow: bool, as_json: bool) -> int:
    """Show the events of STREAM as they are published. Ctrl-C ends it.

    \b
    Examples:
      dsmil tail
      dsmil tail L3_OUT --json | jq .severity
    """
    from dsmil.errors import UnknownName
    from dsmil.events.streams import StreamName
    from dsmil.infrastructure.redis_streams import RedisStreamsClient

    if stream not in set(StreamName):
        raise UnknownName(f"no stream is called {stream!r}; there are: {', '.join(StreamName)}")
    screen = console()

    def show(fields: dict[str, Any]) -> None:
        if as_json:
            print_json(fields)
        elif stream == StreamName.SOC_EVENTS:
            screen.print(soc_line(fields))
        else:
            what = f"device {fields['source_device']:<3} {fields['severity']:<8} {fields.get('source', '')}"
            body = msgspec.json.encode(fields["payload"]).decode()
            screen.print(safe(f"{clock(fields['ts'])}  {what}  {body}", 200))

    with RedisStreamsClient(settings=settings()) as bus:
        last = bus.last_id(StreamName(stream))
        for _, event in bus.newest(StreamName(stream), lines):
            show(event.to_dict())
        while not no_follow:
            for entry_id, event in bus.read(StreamName(stream), last_id=last, block_ms=1000):
                last = entry_id
                show(event.to_dict())
    return 0
