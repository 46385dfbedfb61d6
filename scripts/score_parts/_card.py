"""The page of the score card: written from figures, read back, compared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from score_parts._figure import Figure

_ROW: Final = re.compile(r"^\| `([\w.-]+)` \| (-?[\d.]+) \|", re.MULTILINE)
_HEAD: Final = """\
# Score card

How the detections do on public ground truth. `scripts/score` measures and writes this page; with `--check` it
writes nothing, and fails when a figure has become worse. The logs are public ones, each with source and licence
beside it; they are no part of this repository (`--fixtures DIR`, or `DSMIL_FIXTURES`). Every record takes the
product's own way: feed, detector, rules.

Read the figures with care: the captures that our rules were written for are the ones they are measured on here.

| Figure | Value | What it counts |
|---|---:|---|
"""


def shown(value: float) -> str:
    """Return a figure for the page."""
    return str(int(value)) if float(value).is_integer() else f"{value:.3f}"


def page(figures: Sequence[Figure]) -> str:
    """Return the page for these figures."""
    return _HEAD + "".join(f"| `{one.key}` | {shown(one.value)} | {one.meaning} |\n" for one in figures)


def stated(text: str) -> dict[str, float]:
    """Return the figures that a page states."""
    return {key: float(value) for key, value in _ROW.findall(text)}


def worse(figures: Sequence[Figure], before: Mapping[str, float], *, all_of_them: bool) -> list[str]:
    """Return what has become worse than it was before, in words.

    A figure of which neither more nor less is better says how much there is to measure: it must stay as it was.
    With ``all_of_them``, a figure that was there before and is no longer measured is worse too.
    """
    found = []
    for figure in figures:
        old, new = before.get(figure.key), float(shown(figure.value))
        if old is None:
            continue
        fell, rose = new < old, new > old
        if (fell and figure.better != "lower") or (rose and figure.better != "higher"):
            found.append(f"{figure.key} was {shown(old)} and is {shown(new)}")
    gone = before.keys() - {figure.key for figure in figures} if all_of_them else ()
    return [*found, *(f"{key} was {shown(before[key])} and is no longer measured" for key in sorted(gone))]
