"""``dsmil sql``."""

from __future__ import annotations

import click

from dsmil.cli._shared import AS_JSON, console, print_json, safe, settings, state_dir_option, table


@click.command("sql", context_settings={"ignore_unknown_options": True})  # it may begin with a comment
@click.argument("statement")
@click.option("--max-rows", default=1000, show_default=True, type=click.IntRange(1))
@click.option("--max-seconds", default=5.0, show_default=True, type=click.FloatRange(0.01))
@AS_JSON
@state_dir_option
def COMMAND(*, statement: str, max_rows: int, max_seconds: float, as_json: bool) -> int:
    """Run one read-only SQL statement on the hot store.

    \b
    Examples:
      dsmil sql 'SELECT layer, severity, COUNT(*) FROM raw_events_fast GROUP BY layer, severity'
      dsmil sql --json 'SELECT * FROM soc_events_cache ORDER BY ts DESC LIMIT 10'
    """
    from dsmil.infrastructure import store_place
    from dsmil.infrastructure.query import query

    place = store_place.choose(settings())
    found = query(place.path, statement, max_rows=max_rows, max_seconds=max_seconds)
    if as_json:
        answer = {"columns": found.columns, "rows": found.rows}
        print_json(answer | {"truncated": True} if found.truncated else answer)
        return 0
    shown = table(*(safe(column) for column in found.columns))
    for row in found.rows:
        shown.add_row(*("" if value is None else safe(value, 200) for value in row))
    if found.columns:
        console().print(shown)
    more = f", stopped at --max-rows {max_rows}" if found.truncated else ""
    click.echo(f"{len(found.rows)} rows in {found.seconds * 1000:.1f} ms{more}", err=True)
    return 0
