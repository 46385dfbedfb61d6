"""Cases of single parts: the store writer, reads while it writes, and reading a log file."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

from benchmarks import checks, drain
from benchmarks.context import Context
from benchmarks.events import eve_line, fused, new_events, zeek_line
from benchmarks.rig import BenchFailed, Rig

_WARM_UP = 20


def store(ctx: Context) -> None:
    """Copy SOC events into an empty store; beside it, bare ``executemany`` of the same rows."""
    count = ctx.size.events
    with Rig() as rig:
        warm_up, events = new_events(_WARM_UP, "v7"), new_events(count, "v7")
        writer = rig.service("store-writer")
        rig.add("SOC_EVENTS", fused(warm_up))
        rig.until(
            lambda: checks.newest(rig.store, "soc_events_cache") >= _WARM_UP, 60, "start of the store writer"
        )
        writer.hold()
        rig.add("SOC_EVENTS", fused(events))
        cpu, started = writer.cpu, time.monotonic()
        writer.go()
        goal = _WARM_UP + count
        ended = rig.until(lambda: checks.newest(rig.store, "soc_events_cache") >= goal, 120, "storing")
        us = (writer.cpu - cpu) / count * 1e6
        checks.check_rows(rig.store, drain.TABLES, [event.event_id for event in (*warm_up, *events)], {})
        bare = json.loads(rig.tool("bare_store", rig.store.with_name("bare.db"), str(count), "v7").wait(120))
        with checks.reading(rig.store.with_name("bare.db")) as found:
            if found.execute("SELECT count(*) FROM soc_events_cache").fetchone()[0] != count:
                raise BenchFailed("bare executemany lost rows")
    ctx.add("store.events_per_s", count / (ended - started))
    ctx.add("store.us", us)
    ctx.add("store.executemany_events_per_s", count / bare["seconds"])
    ctx.add("store.ratio_to_executemany", count / (ended - started) / (count / bare["seconds"]))
    ctx.add("store.cpu_ratio_to_executemany", bare["cpu"] / count * 1e6 / us)
    ctx.say(f"  store: {count / (ended - started):,.0f}/s, {us:.1f} us; bare {count / bare['seconds']:,.0f}/s")


def reads(ctx: Context) -> None:
    """Ask the full store for the newest events while it is written to at full speed."""
    printed: list[bytes] = []

    def beside(rig: Rig):  # type: ignore[no-untyped-def]  # noqa: ANN202 - as drain says
        reader = rig.tool("reader", rig.store)
        return lambda: printed.append(reader.end())

    drain.drain(
        drain.WHOLE,
        ctx.size.events,
        shrink_url=ctx.shrink_url,
        preloaded=ctx.store("dsmil", "v7"),
        beside=beside,
    )
    found = json.loads(printed[0])
    if found["busy_reads"] < 20:
        raise BenchFailed(f"only {found['busy_reads']} reads were made while writing")
    for name in ("recent_p50_ms", "recent_p99_ms", "soc_p50_ms", "soc_p99_ms", "group_by_ms", "counts_ms"):
        ctx.add(f"reads.{name}", found[name])
    ctx.say(f"  reads: {found}")


def ingest(ctx: Context) -> None:
    """Read logs of Suricata and Zeek into L3_IN; beside each, the bare broker taking the same documents."""
    _ingest(ctx, "eve", "suricata-eve", eve_line)
    _ingest(ctx, "zeek", "zeek-json", zeek_line)


def _ingest(ctx: Context, name: str, feed: str, line: Callable[[int, float], bytes]) -> None:
    count = ctx.size.records
    with Rig() as rig:
        log, now = rig.work / f"{name}.json", time.time()
        log.write_bytes(b"".join(line(n, now + n * 1e-5) for n in range(count)))
        reading = rig.start("ingest", sys.executable, "-m", "dsmil", "ingest", feed, log, "--json")
        told = json.loads(reading.wait(120))
        ids = checks.ids_of(rig.client, "L3_IN")
        if told["published"] != count or len(ids) != count or rig.client.xlen("L3_IN") != count:
            raise BenchFailed(f"{feed}: {count} lines, {len(ids)} ids, {rig.client.xlen('L3_IN')} entries; {told}")
        raw = json.loads(rig.tool("raw_add", rig.socket).wait(120))
    ctx.add(f"ingest.{name}.records_per_s", count / told["seconds"])
    ctx.add(f"ingest.{name}.ratio_to_broker", raw["seconds"] / told["seconds"])
    ctx.say(f"  {feed}: {count / told['seconds']:,.0f}/s; bare broker {count / raw['seconds']:,.0f}/s")
