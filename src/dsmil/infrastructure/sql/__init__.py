"""Statements and schema steps of the hot store, by name."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

#: Number, file name and script of one schema step.
SchemaStep = tuple[int, str, str]

_NAME: Final = re.compile(r"^-- ([a-z_]+) --$", re.MULTILINE)


@lru_cache(maxsize=1)
def _statements() -> dict[str, str]:
    text = files(__name__).joinpath("statements.sql").read_text("utf-8")
    parts = _NAME.split(text)
    return {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def statement(name: str) -> str:
    """Return one statement of ``statements.sql``; KeyError when there is none of that name."""
    return _statements()[name]


@lru_cache(maxsize=1)
def schema_steps() -> tuple[SchemaStep, ...]:
    """Return the numbered schema steps of this version, oldest first."""
    return read_steps(files(__name__).joinpath("schema"))


def read_steps(folder: Traversable) -> tuple[SchemaStep, ...]:
    """Return the schema steps of a folder, oldest first: files named ``NNNN_words.sql``."""
    steps = sorted((f.name, f.read_text("utf-8")) for f in folder.iterdir() if f.name.endswith(".sql"))
    return tuple((int(name.split("_", 1)[0]), name, text) for name, text in steps)
