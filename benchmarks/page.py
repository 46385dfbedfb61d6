"""Writes docs/performance.md and its charts from one full run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import plot
from benchmarks.guard import GUARDED, TOLERANCE
from benchmarks.scaling import Cost, plan, walls

Figures = dict[str, list[float]]
_MISSING = "not measured"
#: Key, words, floor and aim (of the project's performance goals), whether more is better.
_GOALS = (
    ("routed.ratio_to_naive", "routed, published, acknowledged: times the reference loop", "35", "60"),
    ("whole_path.full.ratio_to_naive", "and stored, on a full store with retention running", "22", "40"),
    ("store.full_to_empty", "rate on the full store / on an empty one", "0.85", "0.95"),
    ("latency.5000.p99_ms", "input to `SOC_EVENTS` at 5,000/s, p99, ms", "≤ 3", "1.4"),
    ("latency.20000.p99_ms", "the same at 20,000/s", "≤ 8", "3"),
    ("latency.35000.p99_ms", "the same at 35,000/s", "≤ 40", "10"),
    ("reads.recent_p99_ms", "newest raw rows while writing at full speed, p99, ms", "≤ 1", "0.25"),
    ("reads.soc_p99_ms", "newest SOC rows while writing at full speed, p99, ms", "≤ 1", "0.25"),
    ("reads.group_by_ms", "`GROUP BY layer, severity` on the full store, ms", "≤ 80", "5"),
    ("scale.second_router", "a second router process: times one", "1.3", "1.8"),
    ("cost.guards", "fence, trail and ledger: share of routing's CPU time", "≤ 0.25", "0.10"),
    ("idle.cpu_percent", "whole `dsmil up`, idle: % of one core", "≤ 1", ""),
    ("idle.rss_mb", "whole `dsmil up`, idle: MB resident", "≤ 200", ""),
    ("small_load.cpu_percent", "whole `dsmil up`, 1,000 events/s: % of one core", "≤ 25", ""),
)
_SETTINGS = (
    ("whole_path", "time-ordered ids, disk once a second, empty store"),
    ("whole_path.full", "the same, full store, retention running"),
    ("whole_path.v4", "random ids (UUID version 4), empty store"),
    ("whole_path.v4_full", "random ids, full store"),
    ("whole_path.always", "every write on disk (`--durable`), empty store"),
    ("whole_path.always_full", "every write on disk, full store"),
)


def write(root: Path, figures: Figures, about: dict[str, Any]) -> list[Path]:
    """Write page and charts under ``root/docs``; return what was written."""
    folder = root / "docs" / "performance"
    folder.mkdir(parents=True, exist_ok=True)
    written = {folder / "drain.svg": _drain_chart(figures), folder / "latency.svg": _latency_chart(figures)}
    written[root / "docs" / "performance.md"] = text(figures, about)
    for path, content in written.items():
        path.write_text(content, "utf-8")
    return list(written)


def text(figures: Figures, about: dict[str, Any]) -> str:
    """Return the page."""
    return "\n".join(
        [*_head(about), *_goals(figures), *_drains(figures), *_costs(figures), *_latency(figures)]
        + [*_parts(figures), *_scaling(figures), *_method(about), *_guard(), *_all(figures)]
    )


def median(figures: Figures, key: str) -> float | None:
    """Return the median of a figure, None when it was not measured."""
    values = sorted(figures.get(key, ()))
    if not values:
        return None
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def number(value: float | None) -> str:
    """Return a figure with as many digits as it deserves."""
    if value is None:
        return _MISSING
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _of(figures: Figures, key: str) -> str:
    return number(median(figures, key))


def _head(about: dict[str, Any]) -> list[str]:
    software = ", ".join(f"{name} {about[name]}" for name in ("dsmil", "python", "broker", "sqlite", "redis-py"))
    peers = ", ".join(f"{name} {version}" for name, version in about["peers"].items())
    loads = ", ".join(f"{load:.2f}" for load in about["loads"])
    return [
        "# Performance",
        "",
        "Written by `scripts/bench`; change nothing here by hand. Rates belong to the machine they were taken on. Compare"
        " the ratios: both sides of each ran on the same machine, in the same minutes.",
        "",
        f"- Taken on {about['date']}: {about['cpu']}, {about['cores']} cores, {about['memory_gb']} GB,"
        f" Linux {about['kernel']}.",
        f"- {software}, hiredis {about['hiredis']}, msgspec {about['msgspec']}; {peers}.",
        f"- {about['rounds']} rounds, medians, least to most in brackets. Load average at the start of each: {loads}.",
        f"- A drain is {about['events']:,} events ({about['naive_events']:,} of the reference loop); the full store"
        f" holds {about['rows']:,} events and is at its limit in bytes, so that our retention removes a row for each that"
        " comes; peers have none.",
        "",
    ]


def _goals(figures: Figures) -> list[str]:
    rows = [
        f"| {words} | {_spread(figures, key)} | {floor} | {aim} | `{key}` |" for key, words, floor, aim in _GOALS
    ]
    return ["## Goals", "", "| Figure | Measured | Floor | Aim | Key |", "|---|---:|---:|---:|---|", *rows, ""]


def _drains(figures: Figures) -> list[str]:
    rows = []
    for key, words in _SETTINGS:
        shown = [
            _of(figures, f"{key}.{name}") for name in ("published_per_s", "events_per_s", "naive_events_per_s")
        ]
        ratios = [_of(figures, f"{key}.{name}") for name in ("published_ratio_to_naive", "ratio_to_naive")]
        rows.append(f"| {words} | {shown[0]} | {shown[1]} | {shown[2]} | {ratios[0]} | {ratios[1]} |")
    peers = []
    for key in ("whole_path", "whole_path.full", "whole_path.v4"):
        for name in ("bytewax", "faststream"):
            if f"{key}.{name}_events_per_s" in figures:
                found = [_of(figures, f"{key}.{part}") for part in (f"{name}_events_per_s", f"ratio_to_{name}")]
                peers.append(
                    f"| {name} | {dict(_SETTINGS)[key]} | {found[0]} | {found[1]} | {_of(figures, f'{key}.cpu_ratio_to_{name}')} |"
                )
    return [
        "## The whole path",
        "",
        "Findings wait in `L3_OUT` and `L4_OUT`; router and store writer run as processes of their own. Published: the last"
        " stands in `SOC_EVENTS` and is acknowledged. Stored: the last row of both tables is there.",
        "",
        "![Events a second through the whole path, ours and others](performance/drain.svg)",
        "",
        "| Setting | published/s | stored/s | reference loop/s | published, times it | stored, times it |",
        "|---|---:|---:|---:|---:|---:|",
        *rows,
        "",
        "The peers do the same job, each as its users would write it: batches of 500, one transaction to the store and one"
        " to the broker for each, the documented tables. They have no fence, no ledger, no dead letters and no checks of"
        " bad input.",
        "",
        "| Peer | Setting | stored/s | ours, times it | ours, times it in CPU time |",
        "|---|---|---:|---:|---:|",
        *peers,
        "",
    ]


def _costs(figures: Figures) -> list[str]:
    rows = []
    for key, words in (("routed", "routing alone"), *_SETTINGS):
        shown = [_of(figures, f"{key}.us.{part}") for part in ("router", "store", "ahead", "broker")]
        rows.append(f"| {words} | {' | '.join('-' if one == _MISSING else one for one in shown)} |")
    return [
        "## What an event costs",
        "",
        "CPU microseconds per event, user and system, from `/proc`.",
        "",
        "| Setting | router | store writer | reading ahead of it | broker |",
        "|---|---:|---:|---:|---:|",
        *rows,
        "",
        f"The bare broker, reading, adding and acknowledging the same bytes: {_of(figures, 'broker.us')} us"
        f" ({_of(figures, 'broker.events_per_s')} events/s with one client). Routing reaches"
        f" {_of(figures, 'routed.ratio_to_broker')} of that rate.",
        "",
    ]


def _rates(figures: Figures) -> list[int]:
    return sorted({int(key.split(".")[1]) for key in figures if key.startswith("latency.")})


def _latency(figures: Figures) -> list[str]:
    rows = []
    for rate in _rates(figures):
        names = ("p50_ms", "p99_ms", "stored_p50_ms", "stored_p99_ms", "done_share")
        rows.append(f"| {rate:,} | " + " | ".join(_of(figures, f"latency.{rate}.{name}") for name in names) + " |")
    return [
        "## Latency",
        "",
        "Events are offered at a steady rate whatever becomes of them. Milliseconds from the moment one is sent until a"
        " blocked reader of `SOC_EVENTS` has it, and until it can be selected from the store (looked at every 2 ms)."
        " Sender, readers and fabric share the cores. Done: share that was published when the sender stopped.",
        "",
        "![Latency by offered rate](performance/latency.svg)",
        "",
        "| offered/s | p50 | p99 | stored p50 | stored p99 | done |",
        "|---:|---:|---:|---:|---:|---:|",
        *rows,
        "",
    ]


def _parts(figures: Figures) -> list[str]:
    keys = (
        ("store.events_per_s", "store writer alone, empty store: events/s"),
        ("store.ratio_to_executemany", "the same, of bare `executemany` into the documented tables"),
        (
            "whole_path.full.removed_per_event",
            "rows that retention removed per event on the full store (2 come with each)",
        ),
        ("reads.recent_p50_ms", "newest 10 raw rows of a layer and severity while writing, p50, ms"),
        ("reads.soc_p50_ms", "newest 10 SOC rows while writing, p50, ms"),
        ("reads.counts_ms", "counts by layer and severity of both event tables, as `dsmil status` reads them, ms"),
        ("ingest.eve.records_per_s", "`dsmil ingest suricata-eve`: records/s into `L3_IN`"),
        ("ingest.eve.ratio_to_broker", "the same, of the bare broker taking the same documents"),
        ("ingest.zeek.records_per_s", "`dsmil ingest zeek-json`: records/s into `L3_IN`"),
        (
            "listen.syslog.lines_per_s",
            "`dsmil listen syslog`, RFC 5424 over one TCP connection: lines/s into `L3_IN`",
        ),
        (
            "listen.syslog.ratio_to_rsyslog",
            "the same, of rsyslog putting the lines undecoded into a list (omhiredis)",
        ),
        ("ingest.follow.p99_ms", "a followed log at 1,000 lines/s: line to `L3_IN`, p99, ms"),
        (
            "idle.bare_broker_percent",
            "a bare broker at rest beside the idle `dsmil up`, which has one too: % of one core",
        ),
        ("idle.pss_mb", "idle `dsmil up`: MB, shared pages counted once"),
        ("memory.router_growth_mb", "router's memory after 10 million events, less that after 1 million, MB"),
    )
    rows = [f"| {words} | {_spread(figures, key)} | `{key}` |" for key, words in keys]
    return ["## Parts", "", "| Figure | Measured | Key |", "|---|---:|---|", *rows, ""]


def _scaling(figures: Figures) -> list[str]:
    lines = [
        "## Scaling",
        "",
        "A plan, not a measurement: computed from the microseconds above. Routers of one group share its work, so there"
        " can be as many as it takes. A broker and a store writer have one thread each: to go past them, streams are"
        " partitioned, and each partition has a broker, a store and routers of its own. Events are partitioned by what"
        " belongs together (source device, tenant, site), so that no two partitions need to know of each other.",
        "",
    ]
    for key, words in (("whole_path", "empty store"), ("whole_path.full", "full store, retention running")):
        found = [median(figures, f"{key}.us.{part}") for part in ("router", "broker", "store", "ahead")]
        if None in found or not all(found[:3]):
            lines += [f"With costs of the {words}: {_MISSING}.", ""]
            continue
        cost = Cost(*(value for value in found if value is not None))
        stand = ", ".join(f"{name} {number(rate)}/s" for name, rate in walls(cost).items())
        lines += [
            f"With the costs on the {words} (router {cost.router:.1f}, broker {cost.broker:.1f}, store writer"
            f" {cost.store:.1f}, reading ahead of it {cost.ahead:.1f} us), a process on a core of its own reaches: {stand}.",
            "",
            "| Cores | one broker, one store: events/s | its wall | partitioned: events/s | partitions | routers in all |",
            "|---:|---:|---|---:|---:|---:|",
        ]
        for cores in (2, 8, 64):
            p = plan(cost, cores)
            lines.append(
                f"| {p.cores} | {number(p.single)} | {p.wall} | {number(p.partitioned)} | {p.partitions} | {p.routers} |"
            )
        lines.append("")
    return [
        *lines,
        f"A second router process on this machine: {_of(figures, 'scale.second_router')} times one. The figures leave"
        " nothing for detectors, readers and the system, and assume that caches and memory keep up, which was not"
        " measured: plan with 70 % of them. Memory is the other wall: a store of 4 GB is full after the same number of"
        " events, however fast they come, so each partition needs its own, sized for its rate.",
        "",
    ]


def _method(about: dict[str, Any]) -> list[str]:
    return [
        "## How it is measured",
        "",
        "- Real processes, started as a unit starts them (`dsmil run soc-router`, `dsmil run store-writer`), the bundled"
        " broker on a unix socket, its log on disk, the store in memory. The reference loop"
        " ([benchmarks/naive.py](../benchmarks/naive.py)) comes by TCP, without the fast reply parser, as one writes it"
        " first.",
        "- Everybody drains the same way: start, warm up, be stopped, a backlog is laid, go. Contenders take turns"
        " within each round; a ratio is made of two drains of one round.",
        "- Our store writer has taken its first snapshot before a drain begins; the next is due five minutes later,"
        " whatever the load, and a drain is over by then. A run on the full store in which retention did not remove"
        " about as many rows as came (1.5 to 2.6 per event, where 2 come) has no figures.",
        "- After every run the ids in `SOC_EVENTS` and in both tables are compared with those sent, and the groups must"
        " have read and acknowledged all. A run that lost or doubled an event has no figures and ends the suite.",
        "- Wall rates move by a third when the machine has other work. Ratios move less, and those of CPU time least:"
        " the keys with `cpu_ratio`.",
        f"- What guards cost is the broker's CPU time beyond the bare streams', as a share of all of routing's."
        f" The run took {about['minutes']} minutes.",
        "",
        "```bash",
        "scripts/bench                            # everything; writes this page",
        "scripts/bench --quick                    # three minutes; writes nothing",
        "scripts/bench --only routed --json a.json",
        "```",
        "",
    ]


def _guard() -> list[str]:
    return [
        "## The guard",
        "",
        f"CI runs `scripts/bench --quick --guard`: it fails when a ratio falls more than"
        f" {TOLERANCE:.0%} below the one committed in [benchmarks/floor.json](../benchmarks/floor.json). Before it"
        " fails, the cases concerned are run for as many rounds again, and all rounds count: their median, or the best one"
        " where several processes run at once, because other work on the machine can only lower those. No absolute time"
        f" is guarded. Guarded are {', '.join(f'`{key}`' for key in GUARDED)}."
        " `scripts/bench --quick --write-floor` commits new ones.",
        "",
    ]


def _all(figures: Figures) -> list[str]:
    rows = [f"| `{key}` | {_spread(figures, key)} | {len(values)} |" for key, values in sorted(figures.items())]
    return ["## All figures", "", "| Key | Median (least to most) | Rounds |", "|---|---:|---:|", *rows, ""]


def _spread(figures: Figures, key: str) -> str:
    values = figures.get(key)
    if not values:
        return _MISSING
    if len(values) == 1:
        return number(values[0])
    return f"{_of(figures, key)} ({number(min(values))}-{number(max(values))})"


def _row(figures: Figures, name: str, key: str, *, ours: bool) -> list[tuple[str, float, float, float, bool]]:
    values, middle = figures.get(key), median(figures, key)
    return [] if not values or middle is None else [(name, middle, min(values), max(values), ours)]


def _drain_chart(figures: Figures) -> str:
    rows = [
        *_row(figures, "reference loop", "whole_path.naive_events_per_s", ours=False),
        *_row(figures, "FastStream, batches", "whole_path.faststream_events_per_s", ours=False),
        *_row(figures, "bytewax", "whole_path.bytewax_events_per_s", ours=False),
        *_row(figures, "DSMIL Fabric, stored", "whole_path.events_per_s", ours=True),
        *_row(figures, "DSMIL Fabric, full store", "whole_path.full.events_per_s", ours=True),
        *_row(figures, "DSMIL Fabric, routing alone", "routed.events_per_s", ours=True),
    ]
    return plot.bars("Draining a backlog", rows, "events/s")


def _latency_chart(figures: Figures) -> str:
    rows = []
    for rate in _rates(figures):
        for name in ("p50", "p99"):
            rows += _row(figures, f"{rate:,}/s, {name}", f"latency.{rate}.{name}_ms", ours=True)
    return plot.bars("Input to SOC_EVENTS", rows, "ms")
