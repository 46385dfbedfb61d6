"""Clocks: ours against the broker's, against what was written, and against its own past."""

from __future__ import annotations

from typing import Final

from dsmil.doctor.facts import Facts
from dsmil.doctor.finding import Check, Finding, ok, warning
from dsmil.doctor.words import span

_MOST_DRIFT_S: Final = 1.0
#: A start takes this long at most between the process's beginning and its record.
_STEP_S: Final = 60.0
_SYNC: Final = "synchronise the clocks (chrony, systemd-timesyncd)"


def run(facts: Facts) -> list[Finding]:
    """Judge the clocks."""
    found = [] if facts.broker.error else [_drift(facts)]
    return [*found, *_future(facts), *_step(facts)]


def _drift(facts: Facts) -> Finding:
    offset, doubt = facts.broker.clock_offset_s, facts.broker.clock_error_s
    ahead = "ahead" if offset >= 0 else "behind"
    evidence = f"the broker's clock is {abs(offset) * 1000:.0f} ms {ahead} (± {doubt * 1000:.0f} ms)"
    if abs(offset) - doubt > _MOST_DRIFT_S:
        return warning(
            "clock.drift", f"{evidence}: ages and retention are off by as much", f"{_SYNC} of both hosts"
        )
    return ok("clock.drift", evidence)


def _future(facts: Facts) -> list[Finding]:
    late = facts.now + _MOST_DRIFT_S
    rows = [(t.newest - facts.now, t.name) for t in facts.store.tables if t.newest is not None and t.newest > late]
    files = [(f.mtime - facts.now, f.path) for f in facts.instance.future_files if f.mtime > late]
    found = []
    if rows:
        ahead, table = max(rows)
        found.append(
            warning(
                "clock.future",
                f"the newest row of {table} arrived {span(ahead)} from now",
                f"{_SYNC}; the rows are kept that much longer, nothing is lost",
            )
        )
    if files:
        ahead, path = max(files)
        found.append(
            warning("clock.future", f"{path} was changed {span(ahead)} from now: the clock went back", _SYNC)
        )
    if not found:
        found.append(ok("clock.future", "no row and no file is newer than now"))
    return found


def _step(facts: Facts) -> list[Finding]:
    wall, steady = facts.instance.age_wall_s, facts.instance.age_steady_s
    if wall is None or steady is None:
        return []
    step = wall - steady
    if abs(step) > _STEP_S:
        way = "forward" if step > 0 else "back"
        return [
            warning(
                "clock.step",
                f"the clock was set {way} by {span(abs(step))} since the fabric started",
                f"{_SYNC}; entries in work may be handed out again at once, or late; none is doubled or lost",
            )
        ]
    return [ok("clock.step", f"not set since the fabric started {span(max(steady, 0.0))} ago")]


CHECK = Check(
    name="clock",
    tells={
        "clock.drift": "warning when our clock and the broker's are more than 1 s apart",
        "clock.future": "warning when a row arrived, or a file of ours was changed, later than now",
        "clock.step": "warning when the clock was set by more than a minute since the fabric started (Linux)",
    },
    run=run,
)
