"""Many rows of the hot store, a page of them in memory at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dsmil.events.model import parse_severity
from dsmil.infrastructure.rows import json_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Rows that are read at once.
PAGE: Final = 500


def soc_events(
    read: Callable[[str, Any], list[dict[str, Any]]], limit: int, severity: str | None
) -> Iterator[dict[str, Any]]:
    """Yield the newest SOC events, the oldest of them first; ``read`` runs a named statement with its values."""
    level = {} if severity is None else {"severity": parse_severity(severity)[0].value}
    found = read("recent_soc_ids_of" if level else "recent_soc_ids", {"limit": limit} | level)
    for end in range(len(found), 0, -PAGE):
        page = [row["id"] for row in reversed(found[max(0, end - PAGE) : end])]
        yield from read("soc_by_ids", (json_text(page),))
