"""Painting a frame over the one before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console


def paint(screen: Console, show: Callable[[], None]) -> None:
    """Put what ``show`` prints where the last frame was; on no terminal, behind it."""
    with screen.capture() as frame:
        show()
    if not screen.is_terminal:
        click.echo(frame.get(), nl=False)
        return
    # Home, then each line onto an emptied one, then nothing below: no flicker. What was there is wiped before a
    # line is written, because wiping behind a full line would take its last character away.
    *lines, last = frame.get().split("\n")
    above = "".join(f"\x1b[K{line}\n" for line in lines)
    click.echo(f"\x1b[H{above}\x1b[J{last}", nl=False)
