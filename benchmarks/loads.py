"""Cases under a steady load, and without any: latency, a followed file, idling, memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import checks, drain
from benchmarks.context import Context
from benchmarks.events import by_stream, eve_line, new_events
from benchmarks.machine import cpu_seconds, family, pss_bytes, rss_bytes
from benchmarks.rig import BenchFailed, Process, Rig

_SETTLE_S = 3.0
_SMALL_RATE = 1000
_FOLLOW_RATE = 1000
_CHUNK = 100_000


def latency(ctx: Context) -> None:
    """Offer events at each rate; how old are they when they stand in SOC_EVENTS, and in the store."""
    for rate in ctx.size.rates:
        with Rig(shrink_url=ctx.shrink_url) as rig:
            rig.service("soc-router")
            rig.service("store-writer")
            warm_up = new_events(20, "v7")
            for stream, bodies in by_stream(warm_up).items():
                rig.add(stream, bodies)
            rig.until(lambda: checks.newest(rig.store, "soc_events_cache") >= 20, 60, "start")
            watchers = [
                rig.tool("watch", "stream", rig.socket, "SOC_EVENTS"),
                rig.tool("watch", "store", rig.store),
            ]
            for watcher in watchers:
                watcher.wait_ready()
            offered = json.loads(rig.tool("offer", rig.socket, str(rate), str(ctx.size.load_s)).wait(120))
            done = rig.client.xlen("SOC_EVENTS") / (offered["sent"] + len(warm_up))
            rig.processes.pop()
            goal = offered["sent"] + len(warm_up)
            rig.until(lambda: checks.newest(rig.store, "soc_events_cache") >= goal, 60, "the last event stored")  # noqa: B023
            inputs = checks.ids_of(rig.client, "L3_OUT") + checks.ids_of(rig.client, "L4_OUT")
            checks.check_stream(rig.client, "SOC_EVENTS", inputs.elements())
            checks.check_groups(rig.client, drain.INPUTS)
            checks.check_rows(rig.store, drain.TABLES, inputs.elements(), {})
            seen = [json.loads(watcher.end()) for watcher in watchers]
        if any(one["seen"] != offered["sent"] for one in seen):
            raise BenchFailed(f"of {offered['sent']} events {seen[0]['seen']} were seen, {seen[1]['seen']} stored")
        ctx.add(f"latency.{rate}.p50_ms", seen[0]["p50_ms"])
        ctx.add(f"latency.{rate}.p99_ms", seen[0]["p99_ms"])
        ctx.add(f"latency.{rate}.stored_p50_ms", seen[1]["p50_ms"])
        ctx.add(f"latency.{rate}.stored_p99_ms", seen[1]["p99_ms"])
        ctx.add(f"latency.{rate}.done_share", done)
        ctx.add(f"latency.{rate}.offered_per_s", offered["sent"] / offered["seconds"])
        ctx.say(f"  latency at {rate:,}/s: stream {seen[0]}, store {seen[1]}")


def follow(ctx: Context) -> None:
    """Append lines to a followed log; how old are they when they stand in L3_IN."""
    with Rig() as rig:
        log = rig.work / "eve.json"
        log.touch()
        words = ("-m", "dsmil", "ingest", "suricata-eve", log, "--follow")
        follower = rig.start("ingest", sys.executable, *words)
        with log.open("ab", buffering=0) as out:
            out.write(eve_line(0, time.time()))
            rig.until(lambda: rig.client.exists("L3_IN") and rig.client.xlen("L3_IN") == 1, 30, "the first line")
            watcher = rig.tool("watch", "stream", rig.socket, "L3_IN")
            watcher.wait_ready()
            count, started, cpu = int(_FOLLOW_RATE * ctx.size.load_s), time.monotonic(), follower.cpu
            for n in range(1, count + 1):
                wait = started + n / _FOLLOW_RATE - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
                out.write(eve_line(n, time.time()))
        rig.until(lambda: rig.client.xlen("L3_IN") == count + 1, 30, "the last line")
        used = follower.cpu - cpu
        if len(checks.ids_of(rig.client, "L3_IN")) != count + 1:
            raise BenchFailed("a followed line was lost")
        seen = json.loads(watcher.end())
    ctx.add("ingest.follow.p50_ms", seen["p50_ms"])
    ctx.add("ingest.follow.p99_ms", seen["p99_ms"])
    ctx.add("ingest.follow.us", used / count * 1e6)
    ctx.say(f"  follow: {seen}")


def idle(ctx: Context) -> None:
    """Measure a whole ``dsmil up`` with nothing to do, then with a thousand events a second."""
    with Rig() as rig:
        environment = {k: v for k, v in rig.environment.items() if k not in {"REDIS_URL", "HOTPATH_DB"}}
        environment |= {"DSMIL_STATE_DIR": str(rig.work / "up"), "SHRINK_URL": ctx.shrink_url}
        environment |= {"HOTPATH_DB": str(rig.store)}
        command = [sys.executable, "-m", "dsmil", "up"]
        fabric = Process("up", command, environment, rig.work / "up.log")
        rig.processes.append(fabric)
        record = rig.work / "up" / "instance.json"
        rig.until(lambda: "running " in fabric.log.read_text(errors="replace"), 60, "the fabric")
        socket = json.loads(record.read_bytes())["socket"]
        rig.until(
            lambda: checks.newest(rig.store, "soc_events_cache") == 0 and rig.store.exists(), 30, "its store"
        )
        time.sleep(_SETTLE_S)
        length = max(ctx.size.load_s, 5.0)
        # Beside it, what this machine charges for a broker that nobody uses and that only looks at its clock.
        bare, started = rig.cpu()["broker"], time.monotonic()
        resting = _share(fabric.pid, lambda: time.sleep(2 * length))
        bare = (rig.cpu()["broker"] - bare) / (time.monotonic() - started) * 100
        everybody = family(fabric.pid)
        rss = sum(rss_bytes(pid) for pid in everybody) / 2**20
        pss = sum(pss_bytes(pid) for pid in everybody) / 2**20
        offer = [sys.executable, "-m", "benchmarks.offer", socket, str(_SMALL_RATE), str(length)]
        busy = _share(fabric.pid, lambda: _run(offer))
        goal = int(_SMALL_RATE * length)
        rig.until(lambda: checks.newest(rig.store, "soc_events_cache") >= goal, 30, "the last event stored")
    ctx.add("idle.cpu_percent", resting)
    ctx.add("idle.bare_broker_percent", bare)
    ctx.add("idle.rss_mb", rss)
    ctx.add("idle.pss_mb", pss)
    ctx.add("small_load.cpu_percent", busy)
    ctx.say(f"  idle {resting:.2f} %, a bare broker {bare:.2f} %; at 1,000/s {busy:.1f} %")
    ctx.say(f"  idle {rss:.0f} MB resident, {pss:.0f} MB own")


def growth(ctx: Context) -> None:
    """Send millions of events through one router and see whether its memory grows."""
    if ctx.round or not ctx.size.growth_events:
        return
    with Rig(shrink_url=ctx.shrink_url) as rig:
        router = rig.service("soc-router")
        bodies = by_stream(new_events(_CHUNK, "v7"))
        expected, sizes = _ids(bodies), list[float]()
        for n in range(ctx.size.growth_events // _CHUNK):
            for stream, found in bodies.items():
                rig.add(stream, found)
            rig.until(lambda: rig.client.xlen("SOC_EVENTS") >= _CHUNK, 120, f"chunk {n}")
            rig.until(lambda: _nothing_pending(rig), 30, f"acknowledgement of chunk {n}")
            checks.check_stream(rig.client, "SOC_EVENTS", expected)
            for stream in (*drain.INPUTS, "SOC_EVENTS"):
                rig.client.xtrim(stream, maxlen=0, approximate=False)
            sizes.append(router.rss / 2**20)
        early = sizes[len(sizes) // 10]
        ctx.add("memory.router_mb", sizes[-1])
        ctx.add("memory.router_growth_mb", sizes[-1] - early)
        ctx.say(
            f"  memory: {early:.1f} MB after a tenth, {sizes[-1]:.1f} MB after {ctx.size.growth_events:,} events"
        )


def _share(pid: int, meanwhile: Any) -> float:  # noqa: ANN401 - anything that takes its time
    """Return the CPU time a process and its children use meanwhile, percent of one core."""
    everybody = family(pid)
    cpu, started = sum(cpu_seconds(one) for one in everybody), time.monotonic()
    meanwhile()
    return (sum(cpu_seconds(one) for one in everybody) - cpu) / (time.monotonic() - started) * 100


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=Path(__file__).resolve().parents[1])


def _nothing_pending(rig: Rig) -> bool:
    groups: list[Any] = [g for stream in drain.INPUTS for g in rig.client.xinfo_groups(stream)]
    return not any(group["entries-read"] and (group["pending"] or group["lag"]) for group in groups)


def _ids(bodies: dict[str, list[bytes]]) -> list[str]:
    return [json.loads(body)["event_id"] for found in bodies.values() for body in found]
