"""Which findings are the same thing again: keys as data, by detector or feed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil.correlation._entities import LINKING, linking
from dsmil.correlation._scores import rule_of
from dsmil.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dsmil.events.model import Event

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN: Final = re.compile(r"(\d+)([smhd])")
#: Key fields that are no entities.
_PLAIN: Final = ("rule", "detector", "source", "severity", "category", "entities")


class DedupeRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Findings of some detectors or feeds are one thing when their key fields are the same."""

    name: str
    #: ``rule``, ``detector``, ``source``, ``severity``, ``category``, ``entities`` (all that join), the type of an
    #: entity (``host``) with or without its role (``src.ip``), or ``payload.`` and a path.
    key: tuple[str, ...]
    #: How long a repeat is one, as ``30m``; from the latest one on.
    window: str = "1h"
    #: Detectors, feeds and rules it is about; empty means all.
    detector: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    rule: tuple[str, ...] = ()

    @property
    def window_s(self) -> float:
        """The window, seconds."""
        found = _SPAN.fullmatch(self.window)
        return float(int(found[1]) * _UNITS[found[2]]) if found else 0.0

    def is_about(self, event: Event) -> bool:
        """Return whether the rule is about a finding."""
        detector, ident, name = rule_of(event)
        return (
            (not self.detector or detector in self.detector)
            and (not self.source or event.source in self.source)
            and (not self.rule or ident in self.rule or name in self.rule)
        )

    def key_of(self, event: Event) -> str | None:
        """Return the key of a finding; None when it lacks a field: nothing is merged on what is not there."""
        parts = [event.compartment, self.name]
        for field in self.key:
            values = _values(field, event)
            if not values:
                return None
            parts.append(msgspec.json.encode(values).decode())
        return "\x1f".join(parts)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    dedupe: list[DedupeRule] = []


#: For findings that no rule of the user's is about: the same rule about the same entities.
DEFAULT: Final = DedupeRule(name="default", key=("detector", "rule", "entities"))


class Deduper:
    """All rules, in their order; the first that is about a finding, and finds its fields in it, gives the key."""

    def __init__(self, rules: Sequence[DedupeRule] = ()) -> None:
        """Take the user's rules; the default comes last."""
        self.rules = (*rules, DEFAULT)

    def key(self, event: Event) -> tuple[DedupeRule, str]:
        """Return the rule that a finding falls under, and its key."""
        for rule in self.rules:
            key = rule.key_of(event) if rule.is_about(event) else None
            if key is not None:
                return rule, key
        return DEFAULT, f"{event.compartment}\x1f{event.event_id}"  # joins nothing, so it is only itself


def read_rules(path: str | Path) -> list[DedupeRule]:
    """Return the rules of a file; ConfigError names file, rule, key and value of what is wrong."""
    try:
        file = msgspec.convert(tomllib.loads(Path(path).read_text("utf-8")), type=_File)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as exc:
        raise ConfigError(f"{path}: these are no deduplication rules: {exc}") from None
    names: set[str] = set()
    for rule in file.dedupe:
        _check(rule, f"{path}: rule {rule.name!r}", names)
        names.add(rule.name)
    return file.dedupe


def _check(rule: DedupeRule, where: str, names: set[str]) -> None:
    if rule.name in names or rule.name in {"", DEFAULT.name}:
        raise ConfigError(f"{where}: each rule needs a name of its own, and not 'default'")
    if not rule.key:
        raise ConfigError(f"{where}: key is empty: it would make one of all findings")
    if rule.window_s <= 0:
        raise ConfigError(f"{where}: window={rule.window!r} is not a time such as 30s, 15m, 1h or 1d")
    for field in rule.key:
        kind = field.rpartition(".")[2]
        known = field in _PLAIN or (field.startswith("payload.") and len(field) > len("payload."))
        if not known and (
            field.count(".") > 1 or (kind not in LINKING and kind not in {"file", "port", "process"})
        ):
            entities = ", ".join(dict.fromkeys(LINKING.values()))
            raise ConfigError(
                f"{where}: key={field!r} is not known; use {', '.join(_PLAIN)}, payload.<path>, or an entity"
                f" ({entities}, file, port, process), with its role as in src.ip"
            )


def _values(field: str, event: Event) -> list[Any]:
    detector, ident, _ = rule_of(event)
    plain: dict[str, Any] = {
        "rule": ident,
        "detector": detector,
        "source": event.source,
        "severity": event.severity.value,
        "category": event.category.value,
    }
    if field in plain:
        return [plain[field]] if plain[field] else []
    if field == "entities":
        return sorted(linking(event))
    if field.startswith("payload."):
        return _at(event.payload, field.removeprefix("payload."))
    role, _, kind = field.rpartition(".")
    return sorted({e.value.lower() for e in event.entities if e.type == kind and (not role or e.role == role)})


def _at(node: Any, path: str) -> list[Any]:  # noqa: ANN401 - any JSON value
    """Return what lies at a path, nothing when there is none; keys may hold dots themselves."""
    if not isinstance(node, dict):
        return []
    if path in node:
        return [] if node[path] is None else [node[path]]
    head, _, rest = path.partition(".")
    return _at(node.get(head), rest) if rest else []
