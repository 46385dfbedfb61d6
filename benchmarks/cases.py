"""The cases by name, and their order: round by round, so that what is compared runs close together."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from benchmarks import listen, loads, parts, paths
from benchmarks.context import FULL, Context


class Case(msgspec.Struct, frozen=True):
    """One case."""

    name: str
    run: Callable[[Context], None]
    #: Whether --quick runs it.
    quick: bool = True
    #: Whether it takes part in every round of --quick; its figures are no ratios then, or need no median.
    quick_rounds: bool = True


CASES = (
    Case("routed", paths.routed),
    Case("second_router", paths.second_router),
    Case("whole_path", paths.whole_path),
    Case("full_store", paths.full_store),
    Case("settings", paths.settings, quick=False),
    Case("store", parts.store),
    Case("reads", parts.reads, quick_rounds=False),
    Case("ingest", parts.ingest),
    Case("listen", listen.syslog),
    Case("follow", loads.follow, quick_rounds=False),
    Case("latency", loads.latency, quick_rounds=False),
    Case("idle", loads.idle, quick_rounds=False),
    Case("growth", loads.growth, quick=False),
)


def chosen(names: Iterable[str], *, quick: bool) -> list[Case]:
    """Return the cases of a run: those named, else all of its kind."""
    wanted = set(names)
    return [case for case in CASES if (case.name in wanted if wanted else case.quick or not quick)]


def run(ctx: Context, cases: list[Case], rounds: Iterable[int]) -> None:
    """Run the rounds."""
    for number in rounds:
        ctx.begin_round(number)
        ctx.say(f"round {number + 1}, load {ctx.loads[-1]:.2f}")
        for case in cases:
            if number and ctx.size != FULL and not case.quick_rounds:
                continue
            ctx.case = case.name
            ctx.say(case.name)
            case.run(ctx)
