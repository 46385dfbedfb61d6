"""A record as rules look at it: fields by name, compared in lower case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

#: What a look-up answers for a field that is not there; None is a field whose value is null.
MISSING: Final = msgspec.UNSET
#: How deep values of a record are followed.
_DEPTH: Final = 32
_NESTED: Final = frozenset({dict, list, tuple})


class View(dict[str, Any]):
    """Field -> its text in lower case; a tuple of texts when it has several values, None when it has none.

    Each is worked out when it is first asked for: a rule set asks for the same few fields again and again.
    """

    __slots__ = ("_all", "raw", "ts")

    def __init__(self, raw: Mapping[str, Any], ts: float = 0.0) -> None:
        """Look at ``raw``, a record of named fields; ``ts`` is its time, Unix seconds."""
        self.raw = raw
        self.ts = ts
        self._all: tuple[str, ...] | None = None

    def __missing__(self, name: str) -> Any:  # noqa: ANN401 - str, tuple or None
        """Work out the text of a field."""
        found = self.raw.get(name, MISSING)
        if found.__class__ is str:
            low = self[name] = found.lower()
            return low
        value = lookup(self.raw, name)
        self[name] = made = None if value is MISSING or value is None else _lower(value)
        return made

    def values_of(self, name: str) -> list[Any]:
        """Return the values of a field as the record has them; a list gives each of its own."""
        value = lookup(self.raw, name)
        if value is MISSING or value is None:
            return []
        return list(_scalars(value, _DEPTH)) if isinstance(value, list | tuple) else [value]

    def texts_of(self, name: str) -> list[str]:
        """Return the values of a field as text, case kept."""
        return [text_of(value) for value in self.values_of(name)]

    def all_texts(self) -> tuple[str, ...]:
        """Return every value of the record as text, case kept."""
        return tuple(text_of(value) for value in _scalars(self.raw, _DEPTH) if value is not None)

    def all_lower(self) -> tuple[str, ...]:
        """Return every value of the record in lower case."""
        if self._all is None:
            self._all = tuple(text.lower() for text in self.all_texts())
        return self._all

    def others(self, names: Container[str], between: str) -> str:
        """Return the values of all fields but these as one text in lower case, for a first look only."""
        values = [value for name, value in self.raw.items() if name not in names]
        if _NESTED.isdisjoint(map(type, values)):
            return between.join(map(str, values)).lower()
        return between.join(self.all_lower())


def lookup(raw: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - JSON
    """Return the value of a field, or MISSING. ``a.b`` is also key b of the object a, in each one of a list."""
    found = raw.get(name, MISSING)
    if found is not MISSING or "." not in name:
        return found
    head, _, rest = name.partition(".")
    while True:  # a key may itself hold a dot: a.b.c is also key c of the object a.b
        inner = raw.get(head, MISSING)
        if isinstance(inner, dict):
            return lookup(inner, rest)
        if isinstance(inner, list):
            several = [lookup(one, rest) for one in inner if isinstance(one, dict)]
            there = [one for one in several if one is not MISSING]
            return there or MISSING
        more, dot, rest = rest.partition(".")
        if not dot:
            return MISSING
        head = f"{head}.{more}"


def text_of(value: object) -> str:
    """Return a value as the text a rule would write for it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    return msgspec.json.encode(value).decode()


def _lower(value: object) -> str | tuple[str, ...]:
    if isinstance(value, list | tuple):
        return tuple(text_of(one).lower() for one in _scalars(value, _DEPTH) if one is not None)
    return text_of(value).lower()


def _scalars(value: object, depth: int) -> Iterator[Any]:
    """Yield what is no list and no object, however deep it lies."""
    if isinstance(value, dict):
        inner: Any = value.values()
    elif isinstance(value, list | tuple):
        inner = value
    else:
        yield value
        return
    if depth:
        for one in inner:
            yield from _scalars(one, depth - 1)
