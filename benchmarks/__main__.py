"""``scripts/bench``: runs the cases, shows the figures, writes them down, guards the ratios."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import cases, guard, page
from benchmarks.context import FULL, QUICK, Context
from benchmarks.machine import describe, peer_versions
from benchmarks.rig import ROOT, BenchFailed, shrink_server


def main(arguments: list[str]) -> int:
    """Run the suite; return the exit code: 1 when an event was lost or a ratio fell."""
    options = _options(arguments)
    if not sys.platform.startswith("linux"):
        print("the benchmarks read CPU time from /proc: they need Linux", file=sys.stderr)
        return 2
    size, about, started = QUICK if options.quick else FULL, describe(), time.monotonic()
    chosen = cases.chosen(options.only, quick=options.quick)
    problems: list[str] = []
    with shrink_server() as url:
        ctx = Context(size, url)
        try:
            rounds = options.rounds or size.rounds
            cases.run(ctx, chosen, range(rounds))
            if options.guard:
                problems = _guarded(ctx, chosen, rounds, everything=not options.only)
        except BenchFailed as exc:
            print(f"bench: {ctx.case}: {exc}", file=sys.stderr)
            return 1
        finally:
            ctx.close()
    about |= {"peers": peer_versions(), "loads": ctx.loads, "rounds": len(ctx.loads)}
    about |= {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "minutes": round((time.monotonic() - started) / 60)}
    about |= {"events": size.events, "naive_events": size.naive_events, "rows": size.rows}
    _show(ctx)
    if options.json:
        Path(options.json).write_text(
            json.dumps(_document(ctx, about, quick=options.quick), indent=2) + "\n", "utf-8"
        )
    if options.write_floor:
        guard.write(guard.values(ctx.samples))
        print(f"wrote {guard.FILE.relative_to(ROOT)}")
    if not options.quick and not options.only and not options.no_docs:
        for path in page.write(ROOT, ctx.samples, about):
            print(f"wrote {path.relative_to(ROOT)}")
    for problem in problems:
        print(f"bench: {problem}", file=sys.stderr)
    if options.guard and not problems:
        stand = len(guard.committed().keys() & ctx.samples.keys())
        print(f"guard: {stand} ratios stand")
    return 1 if problems else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    names = [case.name for case in cases.CASES]
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure the fabric beside what others do.")
    parser.add_argument("--quick", action="store_true", help="small, under three minutes; writes no documents")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", default=[], choices=names, help=f"of: {', '.join(names)}"
    )
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="rounds, 3 by default")
    parser.add_argument("--guard", action="store_true", help="with --quick: fail when a ratio fell by over 20 %%")
    parser.add_argument("--write-floor", action="store_true", help="with --quick: commit this run's ratios")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/performance.md as it is")
    options = parser.parse_args(arguments)
    if (options.guard or options.write_floor) and not options.quick:
        parser.error("--guard and --write-floor belong to --quick: the committed ratios are of the quick tier")
    return options


def _guarded(ctx: Context, chosen: list[cases.Case], rounds: int, *, everything: bool) -> list[str]:
    """Return what has fallen, after a second look at it: one busy minute must not fail a change."""
    floor = {key: was for key, was in guard.committed().items() if everything or key in ctx.samples}
    fallen = guard.fallen(guard.values(ctx.samples), floor)
    again = [case for case in chosen if case.name in {ctx.source.get(key) for key in fallen}]
    if again:
        ctx.say(f"looking again: {', '.join(fallen)}")
        cases.run(ctx, again, range(rounds, 2 * rounds))
        fallen = guard.fallen(guard.values(ctx.samples), floor)
    return list(fallen.values())


def _document(ctx: Context, about: dict[str, Any], *, quick: bool) -> dict[str, Any]:
    """Return the figures by key, and beside them what they were taken on and how far they spread."""
    spread = {key: {"least": min(v), "most": max(v), "samples": v} for key, v in sorted(ctx.samples.items())}
    return ctx.medians() | {"mode": "quick" if quick else "full", "machine": about, "spread": spread}


def _show(ctx: Context) -> None:
    for key, middle in ctx.medians().items():
        values = ctx.samples[key]
        spread = f"  ({page.number(min(values))} - {page.number(max(values))})" if len(values) > 1 else ""
        print(f"{key:42} {page.number(middle):>12}{spread}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
