"""``dsmil ingest``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from dsmil.cli._errors import BAD_INPUT
from dsmil.cli._shared import AS_JSON, clock, console, feeds_option, print_json, safe, settings, state_dir_option

if TYPE_CHECKING:
    from dsmil.services.explaining import Explained
    from dsmil.services.ingest import Tally

#: Characters of a record that are shown.
_SHOWN = 400
#: Time between two drawings of the progress bar, seconds.
_SHOW_EVERY_S = 0.1


@click.command("ingest")
@click.argument("feed", required=False)
@click.argument("files", nargs=-1, metavar="FILE...")
@click.option("--follow", is_flag=True, help="Keep reading what is added, through rotations, until Ctrl-C.")
@click.option(
    "--rate", type=click.FloatRange(min=0), help="With --follow: most records a second per file (0: any)."
)
@click.option("--explain", "explained", is_flag=True, help="Show what is read, mapped, and why; send nothing.")
@click.option("--limit", type=click.IntRange(min=1), help="With --explain: at most this many records.")
@click.option("--list", "list_feeds", is_flag=True, help="List the feeds and end.")
@feeds_option
@AS_JSON
@state_dir_option
def COMMAND(
    *,
    feed: str | None,
    files: tuple[str, ...],
    follow: bool,
    rate: float | None,
    explained: bool,
    limit: int | None,
    list_feeds: bool,
    as_json: bool,
) -> int:
    """Read log files of format FEED into the fabric; - is standard input, gzip is recognised.

    Reading a file again adds nothing: every record has an id made from its content. A line that is no record
    becomes a dead letter with file and line number (exit code 65); a last line that is still being written
    is left for the next reading.

    With --follow the place in each file is kept in the state directory: after any stop, kill -9 included, reading
    goes on where it was, and no line is lost or counted twice. While the broker takes nothing, nothing is read.

    \b
    Examples:
      dsmil ingest suricata-eve /var/log/suricata/eve.json --follow
      dsmil ingest suricata-eve /var/log/suricata/eve.json
      zcat old.json.gz | dsmil ingest suricata-eve -
      dsmil ingest zeek-tsv conn.log --explain --limit 3
    """
    from dsmil.services.feeds import find_source, source_names
    from dsmil.services.garbage import collect_seldom
    from dsmil.services.ingest import Ingest

    if list_feeds or feed is None:
        click.echo("\n".join(source_names()))
        return 0 if list_feeds else 2
    if not files:
        msg = "name at least one FILE, or - for standard input"
        raise click.UsageError(msg)
    if explained:
        if follow or rate is not None:
            msg = "--explain reads what is there; leave --follow and --rate away"
            raise click.UsageError(msg)
        return _explain(feed, files, limit, as_json=as_json)
    if limit is not None:
        msg = "--limit goes with --explain"
        raise click.UsageError(msg)
    if follow:
        return _follow(feed, files, rate)
    if rate is not None:
        msg = "--rate goes with --follow"
        raise click.UsageError(msg)
    reading = Ingest(find_source(feed), settings())
    collect_seldom()
    tally = _with_progress(reading, files) if console(stderr=True).is_terminal else reading.run(files)
    if as_json:
        print_json(tally)
    else:
        _tell(tally)
    return BAD_INPUT if tally.dead or tally.problems else 0


def _explain(feed: str, files: tuple[str, ...], limit: int | None, *, as_json: bool) -> int:
    from itertools import chain, islice

    from dsmil.services.explaining import explain_file
    from dsmil.services.feeds import find_source

    source, bad = find_source(feed), 0
    for one in islice(chain.from_iterable(explain_file(source, name) for name in files), limit):
        bad += bool(one.problem) and not one.partial
        if as_json:
            print_json(one)
        else:
            _tell_record(one)
    return BAD_INPUT if bad else 0


def _tell_record(one: Explained) -> None:
    cut = f" ... ({len(one.raw)} characters)" if len(one.raw) > _SHOWN else ""
    lines = [("read", one.raw[:_SHOWN] + cut)]
    if one.problem:
        lines.append(("still being written" if one.partial else "dead letter", one.problem))
    else:
        lines += [
            ("id", one.event_id),
            ("time", f"{clock(one.ts)}  from {one.ts_from or 'the arrival: the record does not say'}"),
            ("severity", f"{one.severity}  from {one.severity_from or 'the feed'}"),
            ("category", one.category),
        ]
        for row in one.entities:
            named = f"{row['type']} {row['value']} {row['role']}".rstrip()
            lines.append(("entity", f"{named}  from {row['from']}"))
        lines += [("technique", technique) for technique in one.techniques]
        lines += [("flag", flag) for flag in one.flags]
        lines += [("detection", f"{name}: {said}") for name, said in one.detections.items()]
    click.echo(safe(one.place))
    for label, text in lines:
        click.echo(f"  {label:10} {safe(text, 1000)}")


def _follow(feed: str, files: tuple[str, ...], rate: float | None) -> int:
    from pathlib import Path

    from dsmil import log
    from dsmil.services.feeds import find_source
    from dsmil.services.follow import FollowedFile
    from dsmil.services.host import host_parts

    if "-" in files:
        msg = "standard input cannot be followed; name files"
        raise click.UsageError(msg)
    if not all(files):
        msg = "a FILE is empty; name it (in a unit: DSMIL_INGEST_FILE)"
        raise click.UsageError(msg)
    chosen = settings()
    log.configure(chosen.log_level, service="ingest")
    return host_parts(
        [FollowedFile(find_source(feed), Path(file), chosen, rate=rate or None) for file in files], chosen
    )


def _with_progress(reading: Any, files: tuple[str, ...]) -> Tally:  # noqa: ANN401 - imported late
    from pathlib import Path

    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    screen = console(stderr=True)
    total = sum(Path(name).stat().st_size for name in files if name != "-" and Path(name).is_file())
    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TextColumn("{task.fields[events]} events"))
    # Without a thread of its own: reading may start processes, and these would get a copy of its locks.
    with Progress(*columns, TimeRemainingColumn(), console=screen, transient=True, auto_refresh=False) as bar:
        task, shown = bar.add_task("", total=total or None, events=0), 0.0

        def show(done: int, events: int) -> None:
            nonlocal shown
            bar.update(task, completed=done, events=events)
            if time.monotonic() >= shown + _SHOW_EVERY_S:
                shown = time.monotonic()
                bar.refresh()

        tally: Tally = reading.run(files, show)
    return tally


def _tell(tally: Tally) -> None:
    click.echo(
        f"{tally.files} files, {tally.records} records: {tally.published} published to L3_IN,"
        f" {tally.dead} dead-lettered, {tally.partial} still being written"
        f" ({tally.seconds:.2f} s)"
    )
    for problem in tally.problems:
        click.echo(f"dsmil: {safe(problem)}", err=True)
