"""Housekeeping: is memory watched, does the store have a snapshot, who has fallen silent."""

from __future__ import annotations

from typing import Final

from dsmil.doctor.facts import Facts, Keeping
from dsmil.doctor.finding import Check, Finding, error, info, ok, warning
from dsmil.doctor.words import size, span

#: Three snapshots are due in this time.
_OLD_S: Final = 900.0
#: A janitor has spoken by then.
_STARTED_S: Final = 15.0
_SHORT: Final = 70
_SHUT: Final = 85


def run(facts: Facts) -> list[Finding]:
    """Judge the housekeeping."""
    found = []
    if not facts.broker.error:
        found.append(_memory(facts))
    if facts.store.exists and not facts.store.error:
        found += [_snapshot(facts), _producers(facts.keeping)]
    return found


def _memory(facts: Facts) -> Finding:
    name, keeping = "keeping.memory", facts.keeping
    if not keeping.janitor:
        if not facts.alive:
            return info(name, "nothing runs: streams are not trimmed and memory is not watched")
        if (facts.instance.age_wall_s or _STARTED_S) < _STARTED_S:
            return info(name, "the fabric has just been started; no janitor has spoken yet")
        evidence = "no janitor runs: streams are not trimmed, and nothing is refused before memory has run out"
        return warning(name, evidence, "`dsmil run janitor`, or `systemctl start dsmil@janitor`")
    if keeping.level < _SHORT:
        return ok(name, keeping.reason or "memory is watched")
    holders = "; ".join(f"{stream} is kept for {holder}" for stream, holder in keeping.holders if holder)
    evidence = f"{keeping.reason}; {holders}" if holders else keeping.reason
    remedy = "start who holds entries back, or give more memory (BROKER_MAX_BYTES, a larger tmpfs)"
    if keeping.level >= _SHUT:
        return error(name, f"new events are refused, producers keep them: {evidence}", remedy)
    return warning(name, evidence, remedy)


def _snapshot(facts: Facts) -> Finding:
    name, keeping = "keeping.snapshot", facts.keeping
    rows = sum(table.rows for table in facts.store.tables)
    if keeping.snapshot_s is None:
        if not rows:
            return info(name, "no snapshot yet, and nothing to take one of")
        evidence = f"no snapshot of {rows:,} rows: streams are not trimmed, and a reboot reads all of them again"
        return warning(name, evidence, "`dsmil store snapshot`; the store writer's log says why it takes none")
    evidence = f"the newest snapshot is {span(keeping.snapshot_s)} old, {size(keeping.snapshot_bytes)}"
    if facts.store.writer_held and keeping.snapshot_late and keeping.snapshot_s > _OLD_S:
        return warning(
            name, f"{evidence}, and lacks what came since", "see the store writer's log: is the disk full?"
        )
    return ok(name, evidence)


def _producers(keeping: Keeping) -> Finding:
    name = "keeping.producers"
    if keeping.silent:
        names = "; ".join(f"{source}, last heard {span(since)} ago" for source, since in keeping.silent)
        return warning(name, f"silent: {names}", "see that each runs and that its log is followed")
    return ok(name, f"{keeping.producers} producers, none that used to speak is silent")


CHECK = Check(
    name="keeping",
    tells={
        "keeping.memory": "warning when the fabric runs without a janitor, and from 70 % of memory; error from"
        " 85 %, when new events are refused",
        "keeping.snapshot": "warning when the store has rows and no snapshot, or none for 15 minutes while rows"
        " come",
        "keeping.producers": "warning for each producer that used to speak and is silent",
    },
    run=run,
)
