"""The table of ``docs/feeds.md``: how each built-in feed maps its records, from what the feeds declare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dsmil import sources
from dsmil.registry import discover

if TYPE_CHECKING:
    from dsmil.sources._mapping import Levels, Mapping

_HEAD = (
    "| Feed | Device, source | Event time | Severity | ATT&CK | Category | Entities | Raw | Beside this |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def table() -> str:
    """Return the table as Markdown."""
    return "\n".join([_HEAD, *(_row(kind) for kind in discover(sources, "SOURCE").values())])


def _row(kind: Any) -> str:  # noqa: ANN401 - a class of feeds
    mapping: Mapping = kind.mapping
    cells = [
        f"`{kind.name}`",
        f"{kind.device_id}, `{kind.source}`",
        _paths(mapping.time),
        _severity(mapping.severity),
        _paths(mapping.techniques) or "-",
        f"`{mapping.category}`",
        _entities(mapping),
        "`_raw`" if kind.keeps_text else "the payload is the record",
        mapping.notes or "-",
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _paths(paths: tuple[str, ...]) -> str:
    return ", ".join(f"`{path}`" for path in paths)


def _severity(levels: Levels | None) -> str:
    if levels is None:
        return "`LOW`: a record is no judgement"
    said = [f"from {least} on `{severity}`" for least, severity in levels.steps]
    words: dict[str, list[str]] = {}
    for word, severity in levels.words.items():
        words.setdefault(severity, []).append(word)
    said += [f"{', '.join(names)}: `{severity}`" for severity, names in words.items()]
    missing = "`HIGH`, flagged" if levels.missing is None else f"`{levels.missing}`"
    return f"{_paths(levels.paths)}; {'; '.join(said)}; missing: {missing}; others: `HIGH`, flagged"


def _entities(mapping: Mapping) -> str:
    groups: dict[str, list[str]] = {}
    for take in mapping.entities:
        groups.setdefault(f"{take.type} {take.role}".rstrip(), []).append(f"`{take.path}`")
    return "; ".join(f"{kind}: {', '.join(paths)}" for kind, paths in groups.items()) or "-"
