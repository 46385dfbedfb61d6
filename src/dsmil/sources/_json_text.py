"""Where things begin and end in JSON text, by its brackets alone.

Whether it is good JSON is for the event's own checks to say: a bad element must not take the others along.
"""

from __future__ import annotations

import json
import re
from typing import Final

#: A string (perhaps without its end) or a bracket.
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[{}\[\]]', re.DOTALL)
_SCALAR: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s,\]"{}\[]+', re.DOTALL)
_ARRAY: Final = re.compile(r"\s*:\s*\[")


def depth(text: str) -> int:
    """Return how many more brackets are opened than closed."""
    return sum((token in ("{", "[")) - (token in ("}", "]")) for token in _TOKEN.findall(text) if len(token) == 1)


def closing(text: str, at: int, level: int = 0) -> int | None:
    """Return where what is ``level`` brackets deep at ``at`` ends, just behind its last bracket, or None."""
    for token in _TOKEN.finditer(text, at):
        if token.group() in ("{", "["):
            level += 1
        elif token.group() in ("}", "]"):
            level -= 1
            if level == 0:
                return token.end()
    return None


def array_start(text: str, key: str, at: int = 0) -> int | None:
    """Return where the array under ``key`` of the object at ``at`` begins (its bracket), or None."""
    wanted, level = json.dumps(key), 0
    for token in _TOKEN.finditer(text, at):
        if token.group() in ("{", "["):
            level += 1
        elif token.group() in ("}", "]"):
            level -= 1
        elif level == 1 and token.group() == wanted:
            found = _ARRAY.match(text, token.end())
            if found:
                return found.end() - 1
        if level == 0:
            return None
    return None


def element_end(text: str, at: int) -> int | None:
    """Return where the array element that begins at ``at`` ends, or None when it does not."""
    if text[at] not in "{[":
        found = _SCALAR.match(text, at)
        return found.end() if found else None
    return closing(text, at)


def skip(text: str, at: int, characters: str) -> int:
    """Return where the first character from ``at`` on that is none of ``characters`` stands."""
    while at < len(text) and text[at] in characters:
        at += 1
    return at
