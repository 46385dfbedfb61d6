"""Times as logs write them: month names, no year, no zone, formats that a record names itself.

A time without a zone is UTC, as everywhere in this fabric. A time without a year is kept as seconds of the year
1972 (a leap year, so that 29 February has a place) until the arrival of its record is known.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_MONTHS: Final = {
    name: number for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1)
}
#: Zones that RFC 2822 and RFC 3164 senders write by name -> hours east of UTC. Other names mean several zones.
_ZONES: Final = {
    "utc": 0, "gmt": 0, "z": 0, "ut": 0, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6,
    "pst": -8, "pdt": -7, "cet": 1, "cest": 2, "eet": 2, "eest": 3, "wet": 0, "west": 1,
}  # fmt: skip
_YEARLESS: Final = 1972
#: The day 1970-01-01, counted as Python does.
_EPOCH_DAY: Final = datetime(1970, 1, 1).toordinal()  # noqa: DTZ001 - a day
#: Numbers from here on count nano-, micro-, milliseconds: as seconds they would lie beyond the year 5138.
UNITS: Final = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
#: How far ahead of its arrival a time without a year may lie: a clock that is wrong, a zone that was not written.
AHEAD_S: Final = 7 * 24 * 3600
_FARTHEST_LEAP_YEAR: Final = 8

_FRACTION = r"(?:[.,](?P<fraction>\d{1,9}))?"
_OFFSET = (
    rf"(?P<zone>(?:{'|'.join(sorted(_ZONES, key=len, reverse=True)).upper()})(?![A-Za-z])"
    r"|[+-]\d{2}:?\d{2}(?!\d)|[A-Z]{3,4}(?=: %|$))"  # an unknown name: only where no word could stand
)
#: ``Mar  1 18:46:11`` with what senders put around it: weekday, year on either side, fraction, zone.
BSD: Final = re.compile(
    r"(?:(?P<year>(?:19|20)\d\d) )?(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?"
    r"(?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +(?P<day>\d{1,2}) (?:(?P<year2>\d{4}) )?"
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d):(?P<second>\d\d)" + _FRACTION + r"(?: ?" + _OFFSET + r")?"
    r"(?: (?P<year3>(?:19|20)\d\d)(?=:?(?:\s|$)))?",
    re.ASCII,
)
#: ``2018-08-14T14:30:02.203151+02:00``, with a space or with slashes too.
ISO: Final = re.compile(
    r"(?P<year>\d{4})(?P<dash>[-/])(?P<month>\d\d)(?P=dash)(?P<day>\d\d)[T ](?P<hour>\d\d):(?P<minute>\d\d):"
    r"(?P<second>\d\d)" + _FRACTION + r"(?: ?" + _OFFSET + r")?",
    re.ASCII,
)


#: What most of the second kind are, and the library reads alone: no more digits than it keeps, a zone in full.
_PLAIN: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_CLOCK: Final = ("day", "hour", "minute", "second", "fraction", "zone")


class When(NamedTuple):
    """A time as far as a record tells it."""

    #: Unix seconds; of the year 1972 when the record tells no year.
    seconds: float
    yearless: bool = False
    #: A zone name that means several zones; read as UTC.
    unknown_zone: str = ""


def plain(text: str) -> When | None:
    """Return the time of a text that is ISO 8601 and nothing else; None for :func:`read` to look at other ones."""
    if _PLAIN.fullmatch(text) is None:
        return None
    try:
        seconds = datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
    return When(seconds) if seconds >= 0 else None


def read(match: re.Match[str]) -> When | None:
    """Return the time that a match of BSD or ISO says, or None when there is no such time (30 February)."""
    if match.re is ISO:
        year, number = match["year"], int(match["month"])
    else:
        years = match.group("year", "year2", "year3")
        year, number = years[0] or years[1] or years[2], _MONTHS[match["month"].lower()]
    day, hour, minute, second, fraction, zone = match.group(*_CLOCK)
    clock = int(hour), int(minute), int(second)
    return make(int(year) if year else None, number, int(day), clock, fraction or "", zone or "")


def make(
    year: int | None, month: int, day: int, clock: tuple[int, int, int], fraction: str = "", zone: str = ""
) -> When | None:
    """Return the time of these parts, or None when there is none; ``fraction`` are decimal digits."""
    hour, minute, second = clock
    begin = _minute(_YEARLESS if year is None else year, month, day, hour, minute)
    if begin is None or second > 60:  # noqa: PLR2004 - a leap second is the 61st
        return None
    east = zone_seconds(zone)
    at = begin + min(second, 59)
    seconds = at - (east or 0) + (float(f"0.{fraction}") if fraction else 0.0)
    if seconds < 0:
        return None
    return When(seconds, year is None, zone if zone and east is None else "")


@lru_cache(maxsize=1024)
def _minute(year: int, month: int, day: int, hour: int, minute: int) -> int | None:
    """Return the Unix seconds at which a minute of UTC begins; None when there is no such minute.

    Remembered, because most lines are of the same minutes.
    """
    try:
        day_number = datetime(year, month, day, hour, minute).toordinal()  # noqa: DTZ001 - for its checks
    except ValueError:
        return None
    return (day_number - _EPOCH_DAY) * 86400 + hour * 3600 + minute * 60


@lru_cache(maxsize=256)
def zone_seconds(zone: str) -> int | None:
    """Return how many seconds east of UTC a zone lies (``+0200``, ``-03:00``, ``CEST``); None when unknown."""
    if zone[:1] in {"+", "-"}:
        digits = zone[1:].replace(":", "").ljust(4, "0")
        return (1 if zone[0] == "+" else -1) * (int(digits[:2]) * 3600 + int(digits[2:4]) * 60)
    hours = _ZONES.get(zone.lower())
    return None if hours is None else hours * 3600


def with_year(seconds: float, arrival: float) -> float:
    """Return a time without a year (see :class:`When`) in the last year that does not put it after its arrival.

    A week of tolerance is for wrong clocks and unwritten zones: on 31 December a line of 1 January is of the next
    year, and on 1 January one of 31 December is of the last.
    """
    base = datetime.fromtimestamp(int(seconds), timezone.utc)  # noqa: UP017
    arrived = datetime.fromtimestamp(arrival, timezone.utc).year  # noqa: UP017
    for year in range(arrived + 1, arrived - _FARTHEST_LEAP_YEAR, -1):
        try:
            # An offset can carry 1 January 1972 into 1971.
            moved = base.replace(year=year + base.year - _YEARLESS)
        except ValueError:
            continue  # 29 February
        at = moved.timestamp() + seconds % 1
        if 0 <= at <= arrival + AHEAD_S:
            return at
    return arrival


def text_time(text: str) -> When | None:
    """Return the time a text says: Unix (milli-, micro-)seconds, ISO 8601, ``May 09 2019 22:03:58.692 UTC``."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) <= 16:  # noqa: PLR2004 - microseconds of our time
        number = int(text)
        return When(number / next((unit for least, unit in UNITS if number >= least), 1.0))
    match = BSD.fullmatch(text) or ISO.fullmatch(text)
    return read(match) if match else None


_FIELDS: Final[dict[str, tuple[str, str]]] = {
    "y": ("year", r"\d{2,4}"),
    "M": ("month", r"[A-Za-z]{3,9}|\d{1,2}"),
    "d": ("day", r"\d{1,2}"),
    "H": ("hour", r"\d{1,2}"),
    "k": ("hour", r"\d{1,2}"),
    "h": ("hour", r"\d{1,2}"),
    "K": ("hour", r"\d{1,2}"),
    "m": ("minute", r"\d{1,2}"),
    "s": ("second", r"\d{1,2}"),
    "S": ("fraction", r"\d{1,9}"),
    "a": ("half", r"[AaPp]\.?[Mm]\.?"),
    "z": ("zone", r"[A-Za-z]{1,5}|[+-]\d{2}:?\d{2}"),
    "Z": ("zone", r"[A-Za-z]{1,5}|[+-]\d{2}:?\d{2}"),
    "X": ("zone", r"[Zz]|[+-]\d{2}(?::?\d{2})?"),
}
_PIECES: Final = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|([^A-Za-z'])")


@lru_cache(maxsize=64)
def java_format(pattern: str) -> Callable[[str], When | None] | None:
    """Return a reader of times written after a Java SimpleDateFormat; None for a pattern with other letters.

    Parts that the pattern does not name are those of midnight; without a year the time is yearless.
    """
    expression, named = "", set()
    for piece in _PIECES.finditer(pattern[:100]):
        literal, letter, other = piece.groups()
        if letter is None:
            expression += re.escape(other if other is not None else literal.replace("''", "'") or "'")
        elif letter in {"E", "u", "G"} and letter not in named:
            named.add(letter)  # once each: the pattern comes from outside, and each of these costs time
            expression += r"\w{1,12}"
        elif letter not in _FIELDS or _FIELDS[letter][0] in named:
            return None
        else:
            name, shape = _FIELDS[letter]
            named.add(name)
            expression += f"(?P<{name}>{shape})"
    if not {"month", "day"} <= named:
        return None
    shape_of = re.compile(expression, re.ASCII)
    return lambda text: _after(shape_of.fullmatch(text[:100].strip()))


def _after(match: re.Match[str] | None) -> When | None:
    if match is None:
        return None
    parts = match.groupdict()
    month = parts["month"].lower()
    number = int(month) if month.isdigit() else _MONTHS.get(month[:3])
    year = parts.get("year")
    hour = int(parts.get("hour") or 0)
    if parts.get("half"):
        hour = hour % 12 + (12 if parts["half"][0] in "pP" else 0)
    if number is None:
        return None
    return make(
        (int(year) + (2000 if len(year) == 2 else 0)) if year else None,  # noqa: PLR2004 - two digits
        number,
        int(parts["day"]),
        (hour, int(parts.get("minute") or 0), int(parts.get("second") or 0)),
        parts.get("fraction") or "",
        parts.get("zone") or "",
    )


def iso_text(seconds: float) -> str:
    """Return Unix seconds as ISO 8601 in UTC, to the microsecond."""
    return (
        (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds))  # noqa: UP017
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z")
    )
