"""Statements and schema steps of the hot store, by name."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from typing import Final

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
def schema_steps() -> tuple[tuple[int, str, str], ...]:
    """Return the numbered schema steps, oldest first: number, file name, script."""
    folder = files(__name__).joinpath("schema")
    steps = sorted((f.name, f.read_text("utf-8")) for f in folder.iterdir() if f.name.endswith(".sql"))
    return tuple((int(name.split("_", 1)[0]), name, text) for name, text in steps)
