"""``dsmil up``."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING, Any

import click

from dsmil.cli._events import soc_line
from dsmil.cli._shared import console, dedupe_option, rules_option, settings, state_dir_option

if TYPE_CHECKING:
    from rich.console import Console

    from dsmil.config import Settings
    from dsmil.services.supervisor import Supervisor


@click.command("up")
@click.option(
    "--demo", is_flag=True, help="Feed the sample log and recorded SHRINK readings; show what comes out."
)
@click.option("--durable", is_flag=True, help="Bundled broker: wait for the disk at every write.")
@click.option(
    "--broker",
    type=click.Choice(["bundled", "system"]),
    default="bundled",
    help="Broker to start when no address is given: the bundled one, or one from PATH.",
)
@dedupe_option
@rules_option
@state_dir_option
def COMMAND(*, demo: bool, durable: bool, broker: str) -> int:
    """Start the fabric in this terminal; Ctrl-C stops it.

    The broker is the one that REDIS_URL or REDIS_HOST/PORT/DB names, else a private one is started.

    \b
    Examples:
      dsmil up --demo
      REDIS_URL=redis://10.0.0.5:6379/0 dsmil up
    """
    from dsmil.services.signalled import SignalEvent
    from dsmil.services.supervisor import Supervisor

    chosen = settings()
    screen = _Screen(console(stderr=not demo))
    stopped: list[int] = []
    woken = SignalEvent()

    def note(number: int, _frame: object) -> None:
        if number != signal.SIGCHLD:
            stopped.append(number)
        woken.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, note)
    fabric = Supervisor(
        chosen,
        demo=demo,
        durable=durable,
        system_broker=broker == "system",
        log_to_files=demo,
        say=lambda line: screen.print(line, style="dim" if demo else ""),
    )
    fabric.start()
    try:
        if demo:
            screen.print("showing SOC events as they are published; Ctrl-C stops everything", style="bold")
            screen.print("in another terminal: dsmil status, dsmil events, dsmil why EVENT_ID\n", style="dim")
            _show(fabric, chosen, screen, stopped)
        else:
            fabric.run(lambda: bool(stopped), woken)
    finally:
        screen.print("stopping ...", style="dim")
        fabric.stop()
        screen.print("stopped", style="dim")
    return 0


class _Screen:
    """A console that goes quiet when nobody reads it any more: the fabric goes on, or stops in order."""

    def __init__(self, inner: Console) -> None:
        self._inner = inner

    def print(self, *things: Any, style: str | None = None) -> None:  # noqa: ANN401 - anything rich prints
        with contextlib.suppress(OSError, ValueError, SystemExit):  # the library ends the program at a broken pipe
            self._inner.print(*things, style=style)


def _show(fabric: Supervisor, chosen: Settings, screen: _Screen, stopped: list[int]) -> None:
    """Tend the fabric and print each SOC event that is published from now on."""
    from dsmil import log
    from dsmil.errors import DsmilError
    from dsmil.events.streams import StreamName
    from dsmil.infrastructure.redis_streams import RedisStreamsClient

    log.configure(chosen.log_level)
    with RedisStreamsClient(settings=chosen) as bus:
        last = bus.last_id(StreamName.SOC_EVENTS)
        while not stopped:
            fabric.tend()
            try:
                for entry_id, event in bus.read(StreamName.SOC_EVENTS, last_id=last, block_ms=200):
                    last = entry_id
                    fields: dict[str, Any] = event.to_dict()
                    screen.print(soc_line(fields, with_id=False))
            except DsmilError:
                time.sleep(0.2)  # the broker is being started anew
