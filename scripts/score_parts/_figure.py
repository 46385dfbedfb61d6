"""What a part of the score card gives."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Protocol

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure."""

    #: Key in the JSON, e.g. ``sigma.matched``.
    key: str
    value: float
    #: What it counts, in a few words.
    meaning: str
    #: Whether more is better; a figure of which neither is better is kept as it is.
    better: str = "higher"


class Part(Protocol):
    """One part: figures over one set of public ground truth."""

    name: ClassVar[str]

    def needs(self, fixtures: Path) -> bool:
        """Return whether what it needs is among the fixtures."""
        ...

    def figures(self, fixtures: Path) -> list[Figure]:
        """Return its figures; ``fixtures`` is the folder of public logs."""
        ...
