"""``dsmil status``."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from dsmil.cli._errors import NO
from dsmil.cli._screen import paint
from dsmil.cli._shared import AS_JSON, console, print_json, safe, settings, size, state_dir_option, table

if TYPE_CHECKING:
    from rich.console import Console

#: Lines of producers; a table of hundreds helps nobody here.
_MOST_PRODUCERS: Final = 20


@click.command("status")
@click.option("--watch", is_flag=True, help="Show it anew every second until Ctrl-C.")
@AS_JSON
@state_dir_option
def COMMAND(*, watch: bool, as_json: bool) -> int:
    """Show the state of the fabric; exits 0 only while it runs.

    Per stream and group: entries added, settled, in work (pending), unread, and the imbalance of these, which
    is zero while nothing is lost or doubled.

    \b
    Examples:
      dsmil status
      dsmil status --watch
      dsmil status --json | jq .broker.dead_letters
    """
    from dsmil.infrastructure.status import collect

    if watch:
        _watch(as_json=as_json)
    found = collect(settings())
    if as_json:
        print_json(found)
    else:
        _show(console(), found)
    return 0 if found["running"] else NO


def _show(screen: Console, found: dict[str, Any]) -> None:
    _head(screen, found)
    if "streams" in found["broker"]:
        _streams(screen, found["broker"]["streams"])
    if "devices" in found["store"]:
        _store(screen, found["store"])
    for listener in found["listeners"]:
        _listener(screen, listener)


def _listener(screen: Console, word: dict[str, Any]) -> None:
    """Show where one listens and what became of what came in."""
    places = ", ".join(safe(place, 60) for place in word["endpoints"])
    sums = ("received", "published", "dead", "dropped")
    figures = ", ".join(f"{word[name]:,} {name}" for name in sums)
    line = f"listener {places} ({safe(word['name'])}): {figures}, {word['connections']} connections"
    screen.print(
        f"{line}; {safe(word['problem'])}" if word["problem"] else line, style="red" if word["problem"] else ""
    )


def _watch(*, as_json: bool) -> NoReturn:
    """Show the state every second; one JSON line each for scripts."""
    from dsmil.infrastructure.status import collect

    screen = console()
    while True:
        found = collect(settings())
        if as_json:
            print_json(found)
        else:
            paint(screen, partial(_show, screen, found))
        time.sleep(1.0)


def _head(screen: Console, found: dict[str, Any]) -> None:
    instance, broker, store = found["instance"], found["broker"], found["store"]
    if instance is not None:
        ports = ", ".join(f"{name} {port}" for name, port in instance["ports"].items())
        line = f"running, pid {instance['pid']}, up {instance['uptime_s']:.0f} s, ports: {ports}"
    else:
        line = "running" if found["running"] else f"not running (no instance in {found['state_dir']})"
    screen.print(f"fabric   {safe(line)}", style="bold green" if found["running"] else "bold red")
    if "error" in broker:
        screen.print(f"broker   {safe(broker['error'])}", style="red")
    else:
        memory = size(broker["used_memory"])
        facts = f"{broker['version']}, {memory}, fsync {broker['durability']}, {broker['maxmemory_policy']}"
        screen.print(f"broker   {safe(broker['address'])}: {safe(facts)}")
        _memory(screen, found)
        letters = broker["dead_letters"]
        screen.print(f"letters  {letters} dead letters", style="yellow" if letters else "")
    if "error" in store:
        screen.print(f"store    {safe(store['error'])}", style="red")


def _memory(screen: Console, found: dict[str, Any]) -> None:
    """Show how full memory is, and who keeps entries from being removed while it runs short."""
    pressure = found["broker"]["pressure"]
    shares = ", ".join(f"{safe(name)} {share:.0%} full" for name, share in pressure["shares"].items())
    if not shares:
        screen.print("memory   not watched: no janitor runs", style="yellow")
        return
    short, shut = pressure["level"] >= 70, pressure["level"] >= 85  # noqa: PLR2004 - the documented marks
    state = "; new events are refused, producers keep them" if shut else "; running short" if short else ""
    screen.print(f"memory   {shares}{state}", style="red" if shut else "yellow" if short else "")
    for device in found["store"].get("devices", ()):
        for stream, holder in ((device["metadata"] or {}).get("holders") or {}).items():
            if holder and device["alive"]:
                screen.print(f"held     {safe(stream)} by {safe(holder)}", style="yellow")


def _streams(screen: Console, streams: list[dict[str, Any]]) -> None:
    figures = frozenset({"length", "added", "settled", "pending", "unread", "imbalance"})
    shown = table("stream", "length", "added", "group", "settled", "pending", "unread", "imbalance", right=figures)
    for stream in streams:
        groups = [g for g in stream["groups"] if g["name"] != "dsmil"] or [None]
        if not stream["entries_added"] and groups == [None]:
            continue
        for group in groups:
            head = (stream["name"], str(stream["length"]), str(stream["entries_added"]))
            if group is None:
                shown.add_row(*head)
                continue
            settled = sum(count for field, count in group["ledger"].items() if field != "outputs")
            numbers = (settled, group["pending"], group["unread"], group.get("imbalance"))
            shown.add_row(*head, safe(group["name"]), *("?" if n is None else str(n) for n in numbers))
    screen.print()
    screen.print(shown)


def _store(screen: Console, store: dict[str, Any]) -> None:
    screen.print()
    rows = ", ".join(f"{table} {rows}" for table, rows in store["row_counts"].items())
    screen.print(f"store    {safe(store['path'])} ({safe(store['place'])}), {size(store['db_size_bytes'])}")
    screen.print(f"rows     {rows}")
    for place in store["positions"]:
        figures = f"{place['entries']} entries = {place['rows']} rows + {place['duplicates']} duplicates"
        screen.print(f"copied   {place['stream']}: {figures} + {place['rejected']} rejected")
    snapshot = store["snapshot"]
    if snapshot is None:
        screen.print("snapshot none yet", style="yellow")
    else:
        age = max(time.time() - snapshot["made"], 0)
        screen.print(f"snapshot {size(snapshot['size_bytes'])}, {age:.0f} s ago: {safe(snapshot['path'])}")
    for producer in store["producers"][:_MOST_PRODUCERS]:
        silent = time.time() - producer["last_seen"]
        heard = f"{producer['events']:,} events, the last {silent:.0f} s ago"
        screen.print(f"producer {safe(producer['source'] or '-', 60)} (device {producer['device_id']}) {heard}")
    if len(store["producers"]) > _MOST_PRODUCERS:
        screen.print(f"producer and {len(store['producers']) - _MOST_PRODUCERS} more: --json")
    shrink = store["shrink"]
    if shrink is None or not shrink["fresh"]:
        screen.print("shrink   no reading (optional)", style="dim")
    else:
        metrics = ", ".join(f"{safe(k)} {safe(v)}" for k, v in shrink["metrics"].items())
        screen.print(f"shrink   {metrics}")
    for device in store["devices"]:
        state = device["status"] if device["alive"] else "OFFLINE"
        style = {"ONLINE": "green", "OFFLINE": "dim"}.get(state, "red")
        service = (device["metadata"] or {}).get("service", "")
        screen.print(
            f"device   {device['device_id']:>3} {safe(device['name'])} {state} {safe(service)}", style=style
        )
