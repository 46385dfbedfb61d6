"""The table at the end of a run: what was injected, lost, doubled, and how long recovery took."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

if TYPE_CHECKING:
    from tests.faults.rig import Drained

T = TypeVar("T")

_HEAD: Final = ("scenario", "injected", "lost", "duplicated", "recovery s", "note")


class Row(msgspec.Struct, kw_only=True):
    """One scenario."""

    scenario: str
    #: Number of faults that were injected.
    injected: int = 0
    #: Events that were accepted and did not come out.
    lost: int = 0
    #: Outputs or rows too many.
    duplicated: int = 0
    #: Longest recovery, or time to rest after the last fault; None when it does not apply.
    recovery_s: float | None = None
    #: Figures of the scenario's own: events, rates.
    note: str = ""
    passed: bool = False

    def recovered(self, seconds: float) -> None:
        """Keep the longest recovery."""
        self.recovery_s = max(self.recovery_s or 0.0, seconds)

    def judge(self, found: Drained) -> None:
        """Fill the row from the oracle's verdict, and fail unless nothing is wrong."""
        self.lost = len(found.lost)
        self.duplicated = len(found.duplicated) + len(found.resent)
        if self.recovery_s is None:
            self.recovery_s = found.recovery_s
        problems = found.problems()
        if problems:
            raise AssertionError("\n".join(problems))


class Tier(msgspec.Struct, frozen=True):
    """``short`` runs on every change, ``full`` has the figures of the delivery contract."""

    name: str

    def pick(self, short: T, full: T) -> T:
        """Return the figure of this tier."""
        return full if self.name == "full" else short


class Report(msgspec.Struct):
    """All rows of a run."""

    seed: int
    tier: str
    rows: list[Row] = msgspec.field(default_factory=list)

    def chance(self, scenario: str) -> random.Random:
        """Return the random numbers of one scenario; they do not depend on which others run."""
        return random.Random(f"{self.seed}/{scenario}")

    def lines(self) -> list[str]:
        """Return the table as text."""
        table = [_HEAD] + [
            (
                f"{'' if row.passed else 'FAILED '}{row.scenario}",
                str(row.injected),
                str(row.lost),
                str(row.duplicated),
                "-" if row.recovery_s is None else f"{row.recovery_s:.2f}",
                row.note,
            )
            for row in self.rows
        ]
        widths = [max(len(line[n]) for line in table) for n in range(len(_HEAD))]
        ragged = [
            "  ".join(
                text.rjust(width) if 1 <= n <= 4 else text.ljust(width)
                for n, (text, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in table
        ]
        return [line.rstrip() for line in ragged]

    def write(self, path: Path) -> None:
        """Write the table as JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")
