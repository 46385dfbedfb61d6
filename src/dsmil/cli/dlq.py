"""``dsmil dlq``."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import click
import msgspec

from dsmil.cli._errors import BAD_INPUT, NO
from dsmil.cli._shared import AS_JSON, clock, console, print_json, safe, settings, state_dir_option, table

if TYPE_CHECKING:
    from dsmil.services.letters import Letter


@click.group("dlq")
def COMMAND() -> None:
    """Look at the dead letters: what could not be handled, with its cause and its bytes.

    \b
    Examples:
      dsmil dlq list
      dsmil dlq show 1795458512762-0
      dsmil dlq redrive --all --cause handler_failed
    """


@COMMAND.command("list")
@click.option(
    "-n",
    "--limit",
    default=50,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help="How many of the newest.",
)
@AS_JSON
@state_dir_option
def list_letters(*, limit: int, as_json: bool) -> int:
    """List the newest dead letters, newest first."""
    from dsmil.services.letters import read_letters

    letters, total = read_letters(settings(), limit)
    if as_json:
        print_json([_shown(letter) for letter in letters])
        return 0
    shown = table("id", "seen", "service", "where", "cause", "detail")
    for letter in letters:
        where = letter.source or f"{letter.stream}/{letter.entry_id}"
        texts = (letter.service, where, letter.cause, letter.detail)
        shown.add_row(letter.id, clock(letter.last_seen), *(safe(text, 80) for text in texts))
    if letters:
        console().print(shown)
    click.echo(f"{len(letters)} of {total} dead letters", err=True)
    return 0


@COMMAND.command("show")
@click.argument("letter_id")
@AS_JSON
@state_dir_option
def show_letter(*, letter_id: str, as_json: bool) -> int:
    """Show one dead letter with its bytes."""
    from dsmil.services.letters import read_letter

    letter = read_letter(settings(), letter_id)
    if letter is None:
        click.echo(f"dsmil: no dead letter {safe(letter_id, 60)}", err=True)
        return NO
    if as_json:
        print_json(_shown(letter))
        return 0
    for name, value in _shown(letter).items():
        if value in ("", 0, 0.0):
            continue
        click.echo(f"{name:11} {safe(clock(value) if name.endswith('_seen') else value, 4000)}")
    return 0


@COMMAND.command("redrive")
@click.argument("letter_ids", nargs=-1, metavar="ID...")
@click.option("--all", "everything", is_flag=True, help="All letters that were not put back yet.")
@click.option("--cause", help="With --all: only those with this cause, e.g. handler_failed.")
@AS_JSON
@state_dir_option
def redrive_letters(*, letter_ids: tuple[str, ...], everything: bool, cause: str | None, as_json: bool) -> int:
    """Put dead letters back into the stream they came from, under the same event ids.

    What is still no event stays, with the reason (exit code 65). The letters themselves are kept.
    """
    from dsmil.infrastructure.redis_streams import RedisStreamsClient
    from dsmil.services.letters import read_letter, read_letters
    from dsmil.services.redrive import Redriven, redrive, redriven_ids

    if everything == bool(letter_ids):
        msg = "name letters, or use --all"
        raise click.UsageError(msg)
    chosen = settings()
    results = []
    with RedisStreamsClient(settings=chosen) as bus:
        if everything:
            done = redriven_ids(bus)
            letters = [one for one in read_letters(chosen, None)[0] if one.id not in done]
            found = [one for one in reversed(letters) if cause in (None, one.cause)]
        else:
            named = {one: read_letter(chosen, one) for one in letter_ids}
            results = [Redriven(one, "", "there is no such letter") for one, letter in named.items() if not letter]
            found = [letter for letter in named.values() if letter]
        results += [redrive(letter, bus) for letter in found]
    if as_json:
        print_json(results)
    else:
        for one in results:
            click.echo(
                f"{one.letter_id}  {f'put back as {one.event_id}' if not one.problem else safe(one.problem)}"
            )
        click.echo(f"{sum(not one.problem for one in results)} of {len(results)} put back", err=True)
    return BAD_INPUT if any(one.problem for one in results) else 0


def _shown(letter: Letter) -> dict[str, Any]:
    """Return a letter for people and scripts: bytes as text where they are text, else as base64."""
    fields = msgspec.structs.asdict(letter)
    raw = fields.pop("raw")
    try:
        fields["raw"] = raw.decode()
    except UnicodeDecodeError:
        fields["raw_base64"] = base64.b64encode(raw).decode()
    return fields
