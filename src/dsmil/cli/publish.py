"""``dsmil publish``."""

from __future__ import annotations

from typing import IO

import click

from dsmil.cli._errors import BAD_INPUT
from dsmil.cli._shared import AS_JSON, print_json, safe, settings, state_dir_option

_BATCH = 500


@click.command("publish")
@click.argument("stream")
@click.argument("file", default="-", type=click.File("rb"))
@AS_JSON
@state_dir_option
def COMMAND(*, stream: str, file: IO[bytes], as_json: bool) -> int:
    """Publish events, one JSON object a line, from FILE or standard input (-) to STREAM.

    Fields that are missing get their documented defaults. A line that is no event is named on standard error
    and the others are published all the same (exit code 65). SOC_EVENTS is the router's alone.

    \b
    Example:
      echo '{"source_device": 15, "severity": "HIGH", "payload": {"alert": "odd"}}' | dsmil publish L3_OUT -
    """
    from dsmil.errors import ConfigError, EventInvalid, UnknownName
    from dsmil.events import codec
    from dsmil.events.streams import StreamName
    from dsmil.infrastructure.redis_streams import RedisStreamsClient, event_from_dict

    if stream not in set(StreamName):
        raise UnknownName(f"no stream is called {stream!r}; there are: {', '.join(StreamName)}")
    if stream == StreamName.SOC_EVENTS:
        raise ConfigError("SOC_EVENTS is written by the router alone; publish findings to L3_OUT or L4_OUT")
    published: list[str] = []
    refused: list[str] = []
    waiting: list[bytes] = []
    with RedisStreamsClient(settings=settings()) as bus:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                waiting.append(codec.encode(event_from_dict(codec.parse_object(line.strip()))))
            except EventInvalid as exc:
                refused.append(f"{file.name}:{number}: {exc}")
            if len(waiting) >= _BATCH:
                published += bus.append(StreamName(stream), waiting)
                waiting = []
        if waiting:
            published += bus.append(StreamName(stream), waiting)
    if as_json:
        print_json({"stream": stream, "published": published, "refused": refused})
    else:
        click.echo(f"{len(published)} published to {stream}")
        for problem in refused:
            click.echo(f"dsmil: {safe(problem)}", err=True)
    return BAD_INPUT if refused else 0
