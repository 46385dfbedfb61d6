"""Texts and figures cut to columns of a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from dsmil.cli._shared import safe

_BARS: Final = "▁▂▃▄▅▆▇█"
_MANY: Final = 10_000
_FEW: Final = 10
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400


class Column(msgspec.Struct, frozen=True):
    """One column of a table."""

    title: str
    width: int
    right: bool = False


def cut(value: object, width: int) -> str:
    """Return text from anywhere in at most ``width`` columns; what is cut ends in an ellipsis."""
    text = safe(value)
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1) + "…" if width > 0 else ""


def line(columns: Sequence[Column], values: Sequence[object], styles: Sequence[str] = ()) -> Text:
    """Return one row of a table, in exactly the width of its columns."""
    made = Text(no_wrap=True)
    for i, (column, value) in enumerate(zip(columns, values, strict=True)):
        text = cut(value, column.width)
        pad = " " * (column.width - cell_len(text))
        style = styles[i] if i < len(styles) else ""
        made.append(" " if i else "")
        made.append(pad if column.right else "")
        made.append(text, style=style)
        made.append("" if column.right else pad)
    return made


def heading(columns: Sequence[Column]) -> Text:
    """Return the row of a table's titles."""
    return line(columns, [column.title for column in columns], ["bold"] * len(columns))


def fitted(text: Text, width: int) -> Text:
    """Return a line in exactly ``width`` columns."""
    made = text.copy()
    made.no_wrap = True
    made.truncate(width, overflow="ellipsis", pad=True)
    return made


def count(number: float | None) -> str:
    """Return a number for people: 1234, 56.7k, 8.9M; ``?`` for one that is not known."""
    if number is None:
        return "?"
    if abs(number) < _MANY:
        return f"{number:.0f}"
    units = iter("kMG")
    number, unit = number / 1000, next(units)
    while abs(number) >= 1000 and unit != "G":  # noqa: PLR2004 - the step between units
        number, unit = number / 1000, next(units)
    return f"{number:.1f}{unit}"


def rate(per_s: float | None) -> str:
    """Return a rate for people; ``-`` before there is one."""
    if per_s is None:
        return "-"
    return f"{per_s:.1f}" if 0 < per_s < _FEW else count(per_s)


def span(seconds: float | None) -> str:
    """Return a length of time for people, in its two largest units at most."""
    if seconds is None:
        return "-"
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min"
    if seconds < _DAY:
        return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:02.0f} min"
    return f"{seconds // _DAY:.0f} d {seconds % _DAY // _HOUR:.0f} h"


def bars(values: Sequence[float], width: int) -> str:
    """Return rates as a small curve, the newest at the right; its height is that of the highest."""
    shown = list(values)[-width:] if width > 0 else []
    top = max([1.0, *shown])
    curve = "".join(_BARS[min(int(max(v, 0.0) / top * len(_BARS)), len(_BARS) - 1)] for v in shown)
    return curve.rjust(width)
