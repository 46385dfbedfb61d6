"""From a record to Sigma's log sources: what ``sources.toml`` says about each feed."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil.sigma.shapes import flatten
from dsmil.sigma.view import MISSING, View, lookup, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dsmil.sigma.rule import LogSource

#: Most combinations of a feed's telling fields that are remembered.
_MOST: Final = 4096


class Origin(msgspec.Struct, frozen=True):
    """What a record is, in Sigma's words: it may be of several categories and services at once."""

    product: str
    categories: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()

    def includes(self, source: LogSource) -> bool:
        """Return whether a rule about ``source`` is about this record: every part it names agrees."""
        return (
            source.product in {"", self.product}
            and (not source.category or source.category in self.categories)
            and (not source.service or source.service in self.services)
        )


class _Kind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Records of a feed that are one log source."""

    #: Field -> values, of which the record has one (case does not matter); all fields must agree.
    when: dict[str, list[str | int | bool]] = {}
    category: list[str] = []
    service: list[str] = []
    #: Field as rules name it -> field of the record.
    fields: dict[str, str] = {}


class _Feed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One feed, by the ``source`` of its events."""

    product: str
    kind: list[_Kind] = []
    #: Other names of the feed.
    also: list[str] = []


class _Known(msgspec.Struct):
    """What is remembered about one feed."""

    feed: _Feed
    telling: tuple[str, ...]
    seen: dict[tuple[str, ...], tuple[Origin, dict[str, str]]]


@cache
def _feeds() -> dict[str, _Known]:
    text = (resources.files(__package__) / "sources.toml").read_text("utf-8")
    feeds = msgspec.convert(tomllib.loads(text), dict[str, _Feed])
    found: dict[str, _Known] = {}
    for name, feed in feeds.items():
        telling = tuple(dict.fromkeys(field for kind in feed.kind for field in kind.when))
        known = _Known(feed, telling, {})
        for one in (name, *feed.also):
            found[one] = known
    return found


def read(source: str, payload: Mapping[str, Any], ts: float = 0.0) -> tuple[View, Origin] | None:
    """Return a record as rules look at it and what it is; None for a feed that no rule is about.

    ``source`` is the ``source`` of the event, ``payload`` its payload.
    """
    known = _feeds().get(source)
    if known is None:
        return None
    fields = flatten(known.feed.product, payload)
    key = tuple(_told(fields, field) for field in known.telling)
    found = known.seen.get(key)
    if found is None:
        if len(known.seen) >= _MOST:
            known.seen.clear()
        found = known.seen[key] = _recognised(known, key)
    origin, renamed = found
    if renamed:
        fields = dict(fields)
        for name, place in renamed.items():
            if name not in fields:
                value = lookup(fields, place)
                if value is not MISSING:
                    fields[name] = value
    return View(fields, ts), origin


def _told(fields: Mapping[str, Any], field: str) -> str:
    value = lookup(fields, field)
    return "" if value is MISSING or value is None else text_of(value).lower()


def _recognised(known: _Known, key: tuple[str, ...]) -> tuple[Origin, dict[str, str]]:
    said = dict(zip(known.telling, key, strict=True))
    categories: set[str] = set()
    services: set[str] = set()
    fields: dict[str, str] = {}
    for kind in known.feed.kind:
        if all(said[field] in {text_of(one).lower() for one in values} for field, values in kind.when.items()):
            categories.update(kind.category)
            services.update(kind.service)
            fields.update(kind.fields)
    return Origin(known.feed.product, frozenset(categories), frozenset(services)), fields


def feed_names() -> list[str]:
    """Return the feeds that rules can be about, by the ``source`` of their events."""
    return sorted(_feeds())
