"""Which plain text every match of a regular expression has in it."""

from __future__ import annotations

import re
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any, Final

from dsmil.sigma.tree import Node, Text, Wild, all_of, any_of

#: One letter or digit stands in most records: it announces nothing.
_SHORTEST: Final = 2


def required(field: str | None, expression: re.Pattern[str]) -> Node | None:
    """Return texts that stand in every match, in lower case, as a condition; None when there is none.

    It reads the tree that Python's own compiler makes. A construct that is not known here requires nothing.
    """
    if re.VERBOSE & expression.flags:
        return None
    return _sequence(field, _parser.parse(expression.pattern, expression.flags & ~re.DEBUG))


def _sequence(field: str | None, items: Any) -> Node | None:  # noqa: ANN401 - Python's own tree
    found: list[Node] = []
    run: list[str] = []

    def close() -> None:
        text = "".join(run)
        run.clear()
        if len(text) >= _SHORTEST or (text and not text.isalnum()):
            found.append(Text(field, ((Wild.MANY, text, Wild.MANY),)))

    for kind, value in items:
        char = _char(kind, value)
        if char:
            run.append(char)
            continue
        close()
        inner = _inside(field, kind, value)
        if inner is not None:
            found.append(inner)
    close()
    return all_of(found) if found else None


def _char(kind: Any, value: Any) -> str:  # noqa: ANN401 - Python's own tree
    """Return the one character, in lower case, that an item stands for; empty when it may be several."""
    if kind is sre.LITERAL:
        return chr(value).lower()
    if kind is sre.IN and all(one is sre.LITERAL for one, _ in value):
        chars = {chr(code).lower() for _, code in value}
        return chars.pop() if len(chars) == 1 else ""
    return ""


def _inside(field: str | None, kind: Any, value: Any) -> Node | None:  # noqa: ANN401 - Python's own tree
    if kind is sre.SUBPATTERN:
        return _sequence(field, value[-1])
    if kind is sre.ATOMIC_GROUP:
        return _sequence(field, value)
    if kind in {sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT}:
        least, _, body = value
        return _sequence(field, body) if least else None
    if kind is sre.BRANCH:
        branches = [_sequence(field, one) for one in value[1]]
        known = [one for one in branches if one is not None]
        return any_of(known) if len(known) == len(branches) else None
    return None
