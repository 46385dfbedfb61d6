"""``dsmil publish``."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import click

from dsmil.cli._errors import BAD_INPUT
from dsmil.cli._shared import AS_JSON, print_json, safe, settings, state_dir_option

if TYPE_CHECKING:
    from dsmil.events.streams import StreamName
    from dsmil.infrastructure.redis_streams import RedisStreamsClient

_BATCH = 500


@click.command("publish")
@click.argument("stream")
@click.argument("file", default="-", type=click.File("rb"))
@AS_JSON
@state_dir_option
def COMMAND(*, stream: str, file: IO[bytes], as_json: bool) -> int:
    """Publish events, one JSON object a line, from FILE or standard input (-) to STREAM.

    Fields that are missing get their documented defaults. A line that is no event is named on standard error
    and the others are published all the same (exit code 65). What a pipe has is sent before more is waited for.
    SOC_EVENTS is the router's alone.

    \b
    Example:
      echo '{"source_device": 15, "severity": "HIGH", "payload": {"alert": "odd"}}' | dsmil publish L3_OUT -
    """
    from dsmil.errors import ConfigError, EventInvalid, UnknownName
    from dsmil.events import codec
    from dsmil.events.streams import StreamName
    from dsmil.infrastructure.redis_streams import RedisStreamsClient, event_from_dict
    from dsmil.sources._pipe import announcing_pauses

    if stream not in set(StreamName):
        raise UnknownName(f"no stream is called {stream!r}; there are: {', '.join(StreamName)}")
    if stream == StreamName.SOC_EVENTS:
        raise ConfigError("SOC_EVENTS is written by the router alone; publish findings to L3_OUT or L4_OUT")
    with RedisStreamsClient(settings=settings()) as bus:
        sending = _Sending(bus, StreamName(stream), keep=as_json)
        for number, line in enumerate(announcing_pauses(file, sending.send), start=1):
            if line.strip():
                try:
                    sending.add(codec.encode(event_from_dict(codec.parse_object(line.strip()))))
                except EventInvalid as exc:
                    sending.refuse(f"{file.name}:{number}: {exc}")
        sending.send()
    if as_json:
        print_json({"stream": stream, "published": sending.ids, "refused": sending.problems})
    else:
        click.echo(f"{sending.published} published to {stream}")
    return BAD_INPUT if sending.refused else 0


class _Sending:
    """Events on their way, a batch at a time, and what became of them."""

    def __init__(self, bus: RedisStreamsClient, stream: StreamName, *, keep: bool) -> None:
        """``keep`` ids and problems for the end; otherwise problems are told at once, for a pipe may stay open."""
        self._bus = bus
        self._stream = stream
        self._keep = keep
        self._waiting: list[bytes] = []
        self.published = self.refused = 0
        self.ids: list[str] = []
        self.problems: list[str] = []

    def add(self, body: bytes) -> None:
        self._waiting.append(body)
        if len(self._waiting) >= _BATCH:
            self.send()

    def send(self) -> None:
        """Send what is waiting."""
        from dsmil.errors import Unavailable

        if not self._waiting:
            return
        try:
            ids = self._bus.append(self._stream, self._waiting)
        except Unavailable as exc:
            if not self.published:
                raise
            # Events without an id of their own would be doubled if all were sent again.
            raise type(exc)(f"{exc}; the first {self.published} events were published") from exc
        self._waiting.clear()
        self.published += len(ids)
        if self._keep:
            self.ids += ids

    def refuse(self, problem: str) -> None:
        self.refused += 1
        if self._keep:
            self.problems.append(problem)
        else:
            click.echo(f"dsmil: {safe(problem)}", err=True)
