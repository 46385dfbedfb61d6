"""``dsmil source``."""

from __future__ import annotations

import inspect
from pathlib import Path

import click

from dsmil.cli._shared import AS_JSON, console, feeds_option, print_json, safe, table


@click.group("source")
def COMMAND() -> None:
    """Feeds: list those there are, begin one of your own.

    \b
    Examples:
      dsmil source list
      dsmil source new door-log --in ./feeds
      dsmil source new door-log --in ./feeds --map
    """


@COMMAND.command("list")
@feeds_option
@AS_JSON
def list_sources(*, as_json: bool) -> int:
    """List the feeds, your own included, with what each reads."""
    from dsmil.services.feeds import source_classes

    rows = []
    for name, kind in source_classes().items():
        module = inspect.getmodule(kind)
        own = kind.__module__.startswith("dsmil_feed_") or kind.__name__ == "MappedFeed"
        said = kind.mapping.notes if kind.__name__ == "MappedFeed" else (module and module.__doc__) or ""
        rows.append(
            {
                "name": name,
                "reads": str(said).strip().split("\n\n")[0].replace("\n", " "),
                "source": kind.source,
                "device_id": kind.device_id,
                "own": own,
            }
        )
    if as_json:
        print_json(rows)
        return 0
    shown = table("feed", "device", "reads", right=frozenset({"device"}))
    for row in rows:
        shown.add_row(safe(row["name"]), str(row["device_id"]), safe(row["reads"], 200))
    console().print(shown)
    return 0


@COMMAND.command("new")
@click.argument("name")
@click.option(
    "--in",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    show_default="here",
    help="Directory to write to; made when it is not there.",
)
@click.option("--map", "field_map", is_flag=True, help="A field map (TOML) instead of code.")
@AS_JSON
def new_source(*, name: str, folder: Path, field_map: bool, as_json: bool) -> int:
    """Write the files of a new feed, with a test that passes, and tell how to go on."""
    from dsmil.errors import ConfigError
    from dsmil.services.feed_template import write_template
    from dsmil.services.feeds import source_names

    if name in source_names():
        raise ConfigError(
            f"NAME={name!r} is a feed already; choose another, or no feed can be read: names are unique"
        )
    feed, test = write_template(name, folder, field_map=field_map)
    if as_json:
        print_json({"feed": str(feed), "test": str(test)})
        return 0
    place = folder.absolute()
    click.echo(f"wrote {feed} and {test}")
    click.echo(f"see what it makes of a log:  dsmil ingest {name} LOG --explain --limit 3 --feeds {place}")
    click.echo(f"test it:                     python -m pytest {test}")
    click.echo(f"use it everywhere:           export DSMIL_FEEDS={place}")
    return 0
