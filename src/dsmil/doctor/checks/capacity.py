"""How long memory and disk last, and whether retention keeps its promise."""

from __future__ import annotations

from typing import Final

from dsmil.doctor.facts import Facts, Store
from dsmil.doctor.finding import Check, Finding, error, info, ok, warning
from dsmil.doctor.words import size, span

_MB: Final = 1024**2
#: Fewer rows say nothing about the bytes of one: empty pages outweigh them.
_ENOUGH_ROWS: Final = 1000
#: Retention runs every few seconds; rows may outlive their time by this much while it catches up.
_GRACE_S: Final = 600.0
#: A rate over less than this is no rate.
_WINDOW_S: Final = 600.0
_OVER_BUDGET: Final = 1.05
_DISK_LOW: Final = 512 * _MB
_DISK_OUT: Final = 64 * _MB
_MEMORY_SHARE: Final = 0.05
_MEMORY_LOW: Final = 256 * _MB


def run(facts: Facts) -> list[Finding]:
    """Judge room and retention."""
    found = [_host(facts), *_disk(facts)]
    if facts.store.exists and not facts.store.error:
        found += [_room(facts), _rate(facts.store), *_retention(facts)]
    return found


def _host(facts: Facts) -> Finding:
    name, total, free = "capacity.memory", facts.host.memory_total, facts.host.memory_free
    if total is None or free is None:
        return info(name, "how much memory is free cannot be told on this system")
    evidence = f"{size(free)} of {size(total)} memory is free"
    if free < max(_MEMORY_SHARE * total, _MEMORY_LOW):
        return warning(name, evidence, "lower HOTPATH_MAX_BYTES and maxmemory of the broker, or add memory")
    return ok(name, evidence)


def _disk(facts: Facts) -> list[Finding]:
    name, total, free = "capacity.disk", facts.instance.fs_total, facts.instance.fs_free
    if total is None or free is None:
        return []
    # A rewrite of the append-only file needs room for a second copy.
    needed = max(_DISK_LOW, 2 * facts.broker.used_memory if facts.broker.mode == "bundled" else 0)
    evidence = f"{size(free)} of {size(total)} are free for {facts.instance.state_dir.path}"
    remedy = "free space, or move the state directory with --state-dir"
    if free < _DISK_OUT:
        return [error(name, evidence, remedy)]
    if free < needed:
        return [warning(name, f"{evidence}; rewriting the broker's file may need {size(needed)}", remedy)]
    return [ok(name, evidence)]


def _room(facts: Facts) -> Finding:
    store, name = facts.store, "capacity.room"
    evidence = f"{size(store.used_bytes)} of {size(store.budget_bytes)} used"
    if store.used_bytes > _OVER_BUDGET * store.budget_bytes:
        return warning(name, f"{evidence}: nobody removes the oldest rows", "start the store writer: `dsmil up`")
    if store.fs_free is None or store.fs_total is None:
        return ok(name, evidence)
    free, what = store.fs_free, "its file system"
    memory = facts.host.memory_free
    if store.on_tmpfs and memory is not None and memory < free:
        free, what = memory, "the host's memory"
    evidence += f", {size(free)} free in {what}"
    # Pages that were freed inside the file are used again first.
    missing = store.budget_bytes - store.file_bytes
    if missing > free:
        fits = max(int(0.8 * (store.file_bytes + free)), 64 * _MB)
        return warning(
            name,
            f"{evidence}: it is full before the budget is used up, and then nothing can be stored or deleted",
            f"HOTPATH_MAX_BYTES={fits}, or a larger file system",
        )
    return ok(name, evidence)


def _rate(store: Store) -> Finding:
    name = "capacity.rate"
    rows = sum(table.rows for table in store.tables)
    recent = sum(table.recent for table in store.tables)
    if rows < _ENOUGH_ROWS:
        return ok(name, f"{rows} rows: too few to tell how long the store lasts")
    if not recent:
        return ok(name, f"{rows} rows, none in the last {span(store.window_s)}")
    per_row = store.used_bytes / rows
    rate = recent / store.window_s
    lasts = store.budget_bytes / (rate * per_row)
    kept = [(table.recent / store.window_s) * table.keep_s * per_row for table in store.tables]
    needed = sum(kept)
    evidence = f"{rate:.1f} rows/s in the last {span(store.window_s)}, {per_row:.0f} bytes each:"
    if needed <= store.budget_bytes:
        return ok(name, f"{evidence} full retention (24 h, SOC events 7 d) takes {size(needed)}, it fits")
    evidence += (
        f" the store is full after {span(lasts)}; full retention (24 h, SOC events 7 d) would take"
        f" {size(needed)} of {size(store.budget_bytes)}, so the oldest rows go earlier"
    )
    remedy = "raise HOTPATH_MAX_BYTES if there is memory for it, or feed less; the streams keep what it gives up"
    if store.window_s < _WINDOW_S:
        # The first file that is read says nothing about every day.
        return info(name, f"{evidence}; the store is too young to judge", remedy)
    return warning(name, evidence, remedy)


def _retention(facts: Facts) -> list[Finding]:
    name, late, said = "capacity.retention", [], []
    for table in facts.store.tables:
        if table.oldest is None:
            continue
        age = facts.now - table.oldest
        said.append(f"{table.name} {span(max(age, 0.0))} of {span(table.keep_s)}")
        if age > table.keep_s + _GRACE_S:
            late.append(f"{table.name} has rows {span(age)} old, kept are {span(table.keep_s)}")
    if late:
        remedy = "start the store writer, which removes them: `dsmil up`"
        if facts.alive:
            remedy = "look at the log of the store writer: it removes thousands of rows a second"
        return [warning(name, "; ".join(late), remedy)]
    return [ok(name, f"oldest rows: {', '.join(said)}")] if said else []


CHECK = Check(
    name="capacity",
    tells={
        "capacity.memory": "warning when less than 5 % or 256 MB of the host's memory is free",
        "capacity.disk": "warning when the state directory's disk has less than 512 MB free, or less than twice"
        " the bundled broker's data; error below 64 MB",
        "capacity.room": "warning when the store's file system, or memory behind its tmpfs, is full before the"
        " byte budget is used up",
        "capacity.rate": "warning when, at the rate of the last 10 minutes and the bytes of a row measured here,"
        " the documented retention (24 h, SOC events 7 d) does not fit the byte budget; info"
        " while the store is younger",
        "capacity.retention": "warning when rows are kept 10 minutes longer than their time",
    },
    run=run,
)
