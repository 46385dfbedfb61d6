"""The guard: ratios of one run may not fall more than a fifth below the committed ones."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

FILE = Path(__file__).with_name("floor.json")
#: How far a ratio may fall.
TOLERANCE = 0.20
#: Ratios only, higher is better: a time means nothing on another machine. Medians of these count.
STEADY = (
    "routed.ratio_to_naive",
    "routed.cpu_ratio_to_naive",
    "whole_path.cpu_ratio_to_naive",
    "whole_path.full.cpu_ratio_to_naive",
    "whole_path.cpu_ratio_to_bytewax",
    "whole_path.cpu_ratio_to_faststream",
    "store.cpu_ratio_to_executemany",
    "store.cpu_full_to_empty",
    "ingest.eve.ratio_to_broker",
)
#: Rates of several processes at once, which other work on the machine can only lower: the best round counts. They
#: show what CPU time does not: processes that wait for each other.
BEST = ("whole_path.ratio_to_naive", "whole_path.ratio_to_bytewax", "scale.second_router")
GUARDED = STEADY + BEST


def committed(path: Path = FILE) -> dict[str, float]:
    """Return the committed ratios of the quick tier."""
    found: dict[str, float] = json.loads(path.read_text("utf-8"))["quick"]
    return found


def values(samples: dict[str, list[float]]) -> dict[str, float]:
    """Return what counts of a run's rounds, for each guarded ratio it has."""
    found = {key: statistics.median(samples[key]) for key in STEADY if key in samples}
    return found | {key: max(samples[key]) for key in BEST if key in samples}


def write(measured: dict[str, float], path: Path = FILE) -> None:
    """Make this run's ratios the committed ones."""
    missing = [key for key in GUARDED if key not in measured]
    if missing:
        raise ValueError(f"this run has no {', '.join(missing)}: run without --only")
    ratios = {key: round(measured[key], 3) for key in GUARDED}
    path.write_text(json.dumps({"quick": ratios}, indent=2) + "\n", "utf-8")


def fallen(measured: dict[str, float], floor: dict[str, float]) -> dict[str, str]:
    """Return what fell too far, with what is to be said about it; a figure that is missing has fallen."""
    found = {}
    for key, was in floor.items():
        least = was * (1 - TOLERANCE)
        if key not in measured:
            found[key] = f"{key} was not measured; committed is {was:.2f}"
        elif measured[key] < least:
            found[key] = (
                f"{key} is {measured[key]:.2f}, committed {was:.2f}, least allowed {least:.2f}: find what made it"
                f" slower, or commit new ratios with `scripts/bench --quick --write-floor` and say why"
            )
    return found
