"""Mapping as data: where in a record the fields of an event lie; read by the feed and by its documentation.

A path is keys joined by dots, e.g. ``agent.name``. It finds the value in nested objects, under keys that hold dots
themselves (``id.orig_h``), and in any mixture of both; lists on the way are looked through. Of several paths for
one thing the first that has a value counts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil.errors import EventInvalid
from dsmil.events.model import Entity, EventCategory, Severity
from dsmil.sources._feed import MAX_ENTITY, Parsed
from dsmil.sources._plan import Plan, first
from dsmil.sources._times import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_TECHNIQUE: Final = re.compile(r"T\d{4}(?:\.\d{3})?")
#: What formats write where they know nothing.
_NOTHING: Final = frozenset(("", "-", "N/A", "<NA>", "(null)", "null", "unknown"))

#: Types of entities whose names may be numbers.
_NUMBERED: Final = frozenset(("port", "user", "group", "process", "session"))


class Path:
    """One place in a record."""

    __slots__ = ("splits", "text")

    def __init__(self, text: str) -> None:
        """Take the path as written."""
        self.text = text
        parts = text.split(".")
        #: Its beginnings, shortest first, and the path that remains below each.
        self.splits = tuple((".".join(parts[:n]), Path(".".join(parts[n:]))) for n in range(1, len(parts)))

    def values(self, node: Any) -> Iterator[Any]:  # noqa: ANN401 - any JSON value
        """Yield the values there, none when there is nothing; elements of a list one by one."""
        if isinstance(node, dict):
            value = node.get(self.text)
            if isinstance(value, list):
                yield from value
            elif value is not None:
                yield value
            for head, rest in self.splits:
                below = node.get(head)
                if below is not None:
                    yield from rest.values(below)
        elif isinstance(node, list):
            for item in node:
                yield from self.values(item)

    def first(self, node: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return the first value there, or None."""
        return next(self.values(node), None)


class Take(msgspec.Struct, frozen=True):
    """Values that become entities."""

    #: Where they lie.
    path: str
    #: Type of the entity.
    type: str
    #: Role of the entity.
    role: str = ""


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    """How a format says how bad something is."""

    #: Where it lies; the first that has a value counts.
    paths: tuple[str, ...]
    #: Its words (in lower case) and our severities.
    words: dict[str, Severity] = {}
    #: For numbers: (from this value on, severity), rising.
    steps: tuple[tuple[int, Severity], ...] = ()
    #: When the record says nothing; None: HIGH with the flag ``missing_severity``.
    missing: Severity | None = Severity.LOW

    def read(self, value: object) -> tuple[Severity, tuple[str, ...]]:
        """Return the severity a value means, and a flag when it means none: HIGH then."""
        if value is None:
            return (Severity.HIGH, ("missing_severity",)) if self.missing is None else (self.missing, ())
        known = self.words.get(str(value).lower())
        if known is None and self.steps:
            number = _number(value)
            if number is not None and number >= self.steps[0][0]:
                known = [severity for least, severity in self.steps if number >= least][-1]
        return (Severity.HIGH, (f"unknown_severity:{str(value)[:40]}",)) if known is None else (known, ())


class Mapping:
    """What the fields of an event are made of."""

    def __init__(
        self,
        *,
        time: tuple[str, ...],
        entities: tuple[Take, ...] = (),
        severity: Levels | None = None,
        techniques: tuple[str, ...] = (),
        category: EventCategory = EventCategory.SYSTEM,
        read_time: Callable[[object], float | None] = seconds,
        notes: str = "",
    ) -> None:
        """``time``, ``techniques``: paths. Without ``severity`` a record is LOW: it is no judgement.

        ``read_time`` turns a value into Unix seconds (None for none, EventInvalid for nonsense); ``notes`` are for
        the documentation: what the feed does beside this.
        """
        self.time, self.entities, self.severity, self.techniques = time, entities, severity, techniques
        self.category, self.read_time, self.notes = category, read_time, notes
        self._plan = Plan(
            [(Path(path), None) for path in time],
            [(Path(path), None) for path in severity.paths] if severity else [],
            [(Path(path), None) for path in techniques],
            [(Path(take.path), (take.path, take.type, take.role)) for take in entities],
        )

    def apply(self, record: dict[str, Any], **given: Any) -> Parsed:  # noqa: ANN401 - fields of Parsed
        """Return what is made of a record; ``given`` are fields of Parsed that the feed knows better."""
        times, levels, steps, _ = self._plan.steps(record)
        if self.severity is not None and "severity" not in given:
            severity, flags = self.severity.read(first(levels, record))
            given["severity"] = severity
            given["flags"] = (*flags, *given.get("flags", ()))
        if "ts" not in given:
            given["ts"] = self.read_time(first(times, record))
        if "entities" not in given:
            given["entities"] = tuple(dict.fromkeys([found for _, found in self.sources(record)]))
        if steps and "techniques" not in given:
            given["techniques"] = attack_ids([step.values(record) for step in steps])
        given.setdefault("category", self.category)
        given.setdefault("payload", record)
        return Parsed(**given)

    def sources(self, record: dict[str, Any]) -> Iterable[tuple[str, Entity]]:
        """Return the entities of a record, each with the path it was found under."""
        found: list[tuple[str, Entity]] = []
        for key, below, (path, kind, role) in self._plan.steps(record)[3]:
            value = record[key]
            # As Step.values does; a call for each would be felt here.
            beside = value if value.__class__ is list else (value,)
            values = beside if below is None else below.values(value)
            for one in values:
                if one.__class__ is str and len(one) <= MAX_ENTITY:
                    text = one
                    if text in _NOTHING:
                        continue
                elif not (text := entity_text(one, kind)):
                    continue
                # What should be an address is often a name: of a service, or in place of one.
                if kind == "ip" and ":" not in text and text.strip("0123456789.") != "":
                    found.append((path, Entity("host", text, role)))
                else:
                    found.append((path, Entity(kind, text, role)))
        return found


def entity_text(value: object, kind: str) -> str:
    """Return a value as the name of an entity of a type; empty when it names nothing or is no name."""
    if isinstance(value, str):
        return "" if len(value) > MAX_ENTITY or value in _NOTHING else value
    if kind in _NUMBERED and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 64:
        return str(value)
    return ""


def attack_ids(found: Any) -> tuple[str, ...]:  # noqa: ANN401 - any JSON value
    """Return the ATT&CK technique ids in strings and lists of any depth, in order, once each.

    A string may hold several, parted by commas, semicolons or blanks.
    """
    ids: dict[str, None] = {}
    waiting = [found]
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, str):
            parts = value.upper().replace(",", " ").replace(";", " ").split() if len(value) < MAX_ENTITY else ()
            ids.update(dict.fromkeys(part for part in parts if _TECHNIQUE.fullmatch(part)))
        elif not isinstance(value, dict | bytes | int | float) and value is not None:
            waiting = [*value, *waiting]
    return tuple(ids)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def require(record: dict[str, Any], cause: str, *keys: str) -> None:
    """Raise EventInvalid with ``cause`` unless the record has all the keys: it is of another format."""
    missing = [key for key in keys if key not in record]
    if missing:
        raise EventInvalid(cause, f"the record has no {', '.join(missing)}")
