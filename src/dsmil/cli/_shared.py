"""What commands share: options, settings, and ways to print."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

from dsmil.config import Settings
from dsmil.text import printable, printable_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.table import Table

    from dsmil.infrastructure.hotpath_db import HotPathDB

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


def _remember(_ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value:
        os.environ["DSMIL_STATE_DIR"] = value


def state_dir_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Accept ``--state-dir`` after the command as well as before it."""
    return click.option(
        "--state-dir",
        metavar="DIR",
        expose_value=False,
        callback=_remember,
        help="Instance to talk to (default: DSMIL_STATE_DIR, else per user).",
    )(function)


def _remember_rules(_ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]) -> None:
    if value:
        os.environ["DSMIL_RULES"] = ":".join(os.path.abspath(one) for one in value)  # noqa: PTH100 - as text


def rules_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Accept ``--rules``: it stands for DSMIL_RULES, also in the processes that are started."""
    return click.option(
        "--rules",
        metavar="DIR",
        multiple=True,
        type=click.Path(exists=True),
        expose_value=False,
        callback=_remember_rules,
        help="Folder of Sigma rules to use beside our own; may be repeated (default: DSMIL_RULES).",
    )(function)


def _remember_dedupe(_ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value:
        os.environ["DSMIL_DEDUPE"] = os.path.abspath(value)  # noqa: PTH100 - as text


def dedupe_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Accept ``--dedupe``: it stands for DSMIL_DEDUPE, also in the processes that are started."""
    return click.option(
        "--dedupe",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False),
        expose_value=False,
        callback=_remember_dedupe,
        help="File of deduplication rules (default: DSMIL_DEDUPE).",
    )(function)


def _remember_feeds(_context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value:
        os.environ["DSMIL_FEEDS"] = value


def feeds_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Accept ``--feeds``, the directory of the user's own feeds."""
    return click.option(
        "--feeds",
        metavar="DIR",
        expose_value=False,
        callback=_remember_feeds,
        help="Directory of your own feeds (default: DSMIL_FEEDS).",
    )(function)


def settings() -> Settings:
    """Return the settings of this call."""
    return Settings.from_env()


def open_store() -> HotPathDB:
    """Return the hot store that is there; a reader makes none. Raises StoreUnavailable with the remedy."""
    from dsmil.errors import StoreUnavailable
    from dsmil.infrastructure.hotpath_db import HotPathDB

    db = HotPathDB(settings=settings())
    if not db.place.path.exists():
        raise StoreUnavailable(f"there is no store at {db.place.path} yet; start the fabric with `dsmil up`")
    return db


def print_json(value: object, *, indent: int = 0) -> None:
    """Print a value as JSON, one line unless ``indent``; nothing in it can act on the terminal."""
    raw = msgspec.json.encode(value, enc_hook=str)
    if indent:
        raw = msgspec.json.format(raw, indent=indent)
    click.echo(printable_json(raw.decode()))


def console(*, stderr: bool = False) -> Console:
    """Return a rich console; colours only when it is a terminal."""
    from rich.console import Console

    class Screen(Console):
        def on_broken_pipe(self) -> None:
            """Leave a broken pipe to the command line's own end: it is no failure."""
            raise BrokenPipeError

    screen = Screen(stderr=stderr, highlight=False, emoji=False, markup=False, soft_wrap=True)
    if not screen.is_terminal:
        screen.width = 240  # whoever reads a pipe wants whole lines
    return screen


def table(*columns: str, right: frozenset[str] = frozenset()) -> Table:
    """Return an empty table without lines, for figures."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def clock(ts: float | None) -> str:
    """Return Unix seconds as UTC for people."""
    if ts is None:
        return "-"
    return datetime.fromtimestamp(ts, UTC).strftime("%Y-%m-%d %H:%M:%S")


def size(octets: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "KB", "MB"):
        if octets < 1024:  # noqa: PLR2004 - the step between units
            return f"{octets:.0f} {unit}" if unit == "B" else f"{octets:.1f} {unit}"
        octets /= 1024
    return f"{octets:.1f} GB"


def safe(value: object, limit: int | None = None) -> str:
    """Return text from outside as one harmless line."""
    return printable("" if value is None else value, limit)
