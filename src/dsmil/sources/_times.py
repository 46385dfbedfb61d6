"""Times as JSON logs write them: ISO 8601, or Unix seconds in any unit; ``_stamps.py`` reads those of text."""

from __future__ import annotations

from datetime import datetime, timezone

from dsmil.errors import EventInvalid
from dsmil.events.model import MAX_TS
from dsmil.sources._stamps import ISO, UNITS, read


def iso_seconds(text: object) -> float | None:
    """Return an ISO 8601 time as Unix seconds; without an offset it is UTC. None when there is none.

    Raises EventInvalid when there is one that cannot be read.
    """
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        when = None
    if when is None:
        # A blank before the zone, slashes, a zone by its name.
        match = ISO.fullmatch(text) if isinstance(text, str) else None
        found = read(match) if match else None
        if found is None or found.unknown_zone:
            raise EventInvalid("bad_time", f"{text!r:.80} is not an ISO 8601 time")
        return found.seconds
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)  # noqa: UP017 - one spelling for all supported versions
    seconds = when.timestamp()
    if seconds < 0:
        raise EventInvalid("bad_time", f"{text!r:.80} lies before 1970")
    return seconds


def epoch_seconds(value: float | str) -> float:
    """Return Unix seconds for a count of seconds, milli-, micro- or nanoseconds; its size tells which.

    Raises EventInvalid for what is no number or lies out of range.
    """
    try:
        number = float(value)
    except ValueError:
        raise EventInvalid("bad_time", f"{value!r:.80} is not a number of seconds") from None
    except OverflowError:
        raise EventInvalid("bad_time", "the time is a huge number") from None
    unit = next((unit for least, unit in UNITS if number >= least), 1.0)
    if not 0 <= number / unit < MAX_TS:
        raise EventInvalid("bad_time", f"{number!r} is no time since 1970")
    return number / unit


def seconds(value: object) -> float | None:
    """Return a time as Unix seconds, be it ISO 8601 or a number; None when there is none.

    Raises EventInvalid when there is one that cannot be read.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return epoch_seconds(value)
    if isinstance(value, str) and value.replace(".", "", 1).isdecimal() and value.isascii():
        is_date = len(value) == 8 and value.isdecimal()  # noqa: PLR2004 - 20260131
        return iso_seconds(value) if is_date else epoch_seconds(value)
    return iso_seconds(value)
