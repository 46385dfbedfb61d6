"""Feeds without code: a TOML file that says where in JSON records the fields of an event lie."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, Final

from dsmil.errors import ConfigError, EventInvalid
from dsmil.events.model import EventCategory, Severity
from dsmil.sources._feed import Parsed, Source
from dsmil.sources._joiners import JsonDocuments
from dsmil.sources._mapping import Levels, Mapping, Path, Take

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Collection

    from dsmil.sources._feed import Joiner

#: Highest device that may publish raw records: those below the layers.
_LAST_DEVICE: Final = 11
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_KEYS: Final = frozenset(
    "name source device_id category time techniques require array_key severity entities".split()
)


class _Map:
    """One file being read: every complaint names file, line and key."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.begin = 0
        try:
            self._text = path.read_text("utf-8")
            self.fields: dict[str, Any] = tomllib.loads(self._text)
        except OSError as exc:
            raise ConfigError(f"{path} cannot be read: {exc.strerror or exc}") from exc
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
            line = re.search(r"at line (\d+)", str(exc))
            raise ConfigError(f"not TOML: {exc}", source=f"{path}:{line[1] if line else 1}") from None

    def refuse(self, key: str, problem: str, remedy: str) -> ConfigError:
        """Return the complaint about a key, with the line of its first mention from ``begin`` on."""
        pattern = re.compile(rf"""^[ \t]*(?:\[+\s*)?["']?{re.escape(key)}\b""", re.MULTILINE)
        found = pattern.search(self._text, self.begin) or pattern.search(self._text)
        line = self._text.count("\n", 0, found.end()) + 1 if found else 1
        return ConfigError(f"{key}: {problem}; {remedy}", source=f"{self.path}:{line}")

    def enter(self, key: str) -> None:
        """Go on to the next table of a list, so that complaints name its lines."""
        found = re.compile(rf"^[ \t]*\[\[\s*{key}\s*\]\]", re.MULTILINE).search(self._text, self.begin + 1)
        self.begin = found.start() if found else 0

    def only(self, table: dict[str, Any], known: Collection[str]) -> None:
        for key in table:
            if key not in known:
                raise self.refuse(key, "no such key", f"use {', '.join(sorted(known))}")

    def text(self, table: dict[str, Any], key: str, default: str | None = None) -> str:
        value = table.get(key, default)
        if not isinstance(value, str) or (not value and default is None):
            raise self.refuse(key, f"{value!r} is no text", "write it in quotes")
        return value

    def texts(self, table: dict[str, Any], key: str) -> tuple[str, ...]:
        value = table.get(key, [])
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(one, str) and one for one in values):
            raise self.refuse(key, f"{value!r} is neither text nor a list of texts", 'write "a.b" or ["a.b", "c"]')
        return tuple(values)

    def table(self, table: dict[str, Any], key: str) -> dict[str, Any]:
        value = table.get(key, {})
        if not isinstance(value, dict):
            raise self.refuse(key, f"{value!r} is no table", f"begin it with [{key}]")
        return value


def read_field_map(path: pathlib.Path) -> type[Source]:
    """Return the feed that a file describes; raises ConfigError with file, line, key and remedy."""
    made = _Map(path)
    fields = made.fields
    made.only(fields, _KEYS)
    name = made.text(fields, "name", path.stem)
    if not _NAME.fullmatch(name):
        raise made.refuse("name", f"{name!r} is no name of a feed", "use small letters, digits and single hyphens")
    device = fields.get("device_id", _LAST_DEVICE)
    if not isinstance(device, int) or isinstance(device, bool) or not 0 <= device <= _LAST_DEVICE:
        raise made.refuse("device_id", f"{device!r} is not 0-{_LAST_DEVICE}", "use 5 for networks, 11 for hosts")
    mapping = Mapping(
        time=made.texts(fields, "time"),
        entities=_entities(made),
        severity=_levels(made),
        techniques=made.texts(fields, "techniques"),
        category=_category(made),
        notes=f"field map `{path.name}`",
    )
    values = {
        "name": name,
        "source": made.text(fields, "source", name),
        "device_id": device,
        "array_key": made.text(fields, "array_key", ""),
        "mapping": mapping,
        "require": tuple(map(Path, made.texts(fields, "require"))),
    }
    return type("MappedFeed", (FieldMapFeed,), values)


class FieldMapFeed(Source):
    """JSON records, mapped as a file says; the payload is the record itself."""

    json_array = True
    #: Paths that each record of the format has.
    require: tuple[Path, ...] = ()

    def joiner(self) -> Joiner | None:
        """Return what joins pretty-printed records, and parts documents that hold several."""
        return JsonDocuments(self.array_key)

    def parse(self, record: dict[str, Any]) -> Parsed:
        """Map a record."""
        missing = [path.text for path in self.require if path.first(record) is None]
        if missing:
            raise EventInvalid("not_of_map", f"the record has no {', '.join(missing)}, which {self.name} requires")
        return self.mapping.apply(record)


def _category(made: _Map) -> EventCategory:
    value = made.text(made.fields, "category", EventCategory.SYSTEM.value)
    try:
        return EventCategory(value.upper())
    except ValueError:
        raise made.refuse("category", f"{value!r} is none", f"use {', '.join(EventCategory)}") from None


def _severity(made: _Map, key: str, value: object) -> Severity:
    try:
        return Severity(str(value).upper())
    except ValueError:
        raise made.refuse(key, f"{value!r} is no severity", f"use {', '.join(Severity)}") from None


def _levels(made: _Map) -> Levels | None:
    table = made.table(made.fields, "severity")
    if not table:
        return None
    made.only(table, ("from", "words", "steps", "missing"))
    words, steps = made.table(table, "words"), made.table(table, "steps")
    numbers = []
    for key, value in steps.items():
        if not key.lstrip("-").isdecimal():
            raise made.refuse(key, "no whole number", 'write steps as 10 = "HIGH": from 10 on')
        numbers.append((int(key), _severity(made, key, value)))
    if not words and not numbers:
        raise made.refuse("severity", "says what no value means", "add [severity.words] or [severity.steps]")
    paths = made.texts(table, "from")
    if not paths:
        raise made.refuse("severity", "has no from", 'add from = "level", the key that says how bad it is')
    return Levels(
        paths=paths,
        words={key.lower(): _severity(made, key, value) for key, value in words.items()},
        steps=tuple(sorted(numbers)),
        missing=_severity(made, "missing", table["missing"]) if "missing" in table else None,
    )


def _entities(made: _Map) -> tuple[Take, ...]:
    rows = made.fields.get("entities", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise made.refuse("entities", "is no list of tables", "begin each with [[entities]]")
    found = []
    made.begin = -1
    for row in rows:
        made.enter("entities")
        made.only(row, ("from", "type", "role"))
        if "from" not in row or "type" not in row:
            raise made.refuse("entities", f"{row!r} lacks from or type", 'write from = "src_ip" and type = "ip"')
        role = made.text(row, "role", "")
        found += [Take(path, made.text(row, "type"), role) for path in made.texts(row, "from")]
    made.begin = 0
    return tuple(found)
