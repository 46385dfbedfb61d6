"""All correlation rules of a set over one stream of matches, in event time: same input, same firings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dsmil.sigma.correlation import Correlation, Entry
from dsmil.sigma.view import View, text_of
from dsmil.sigma.windows import Firing, Key, Windows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dsmil.sigma.rule import About


class Correlator:
    """Feeds matches to the correlation rules that are about them, and firings to those about firings."""

    def __init__(self, rules: Sequence[Correlation], before: Correlator | None = None) -> None:
        """Take the rules, each after those it is about; a rule that was there ``before`` keeps its windows."""
        kept = {one.rule.about: one for one in before.windows} if before is not None else {}
        self.windows: list[Windows] = [kept.get(rule.about) or Windows(rule) for rule in rules]
        self._waiting = [windows for windows in self.windows if windows.rule.waits]
        self._by_word: dict[str, list[Windows]] = {}
        for windows in self.windows:
            for word in windows.rule.rules:
                self._by_word.setdefault(word, []).append(windows)
        #: How far event time has come, Unix seconds.
        self.now: float = before.now if before is not None else float("-inf")

    def add(self, about: About, view: View, event_id: str, ts: float) -> list[Firing]:
        """Add a match of a rule; return what fires by it."""
        return list(self._add(about, view, (event_id,), ts))

    def advance(self, ts: float) -> list[Firing]:
        """Say that event time has come to ``ts``; return what fires because something did not happen by then."""
        if ts <= self.now:
            return []
        self.now = ts
        found: list[Firing] = []
        for windows in self._waiting:
            for firing in windows.advance(ts):
                found.append(firing)
                found.extend(self._passed_on(firing))
        return found

    def _add(self, about: About, view: View, evidence: tuple[str, ...], ts: float) -> Iterator[Firing]:
        for word in dict.fromkeys((about.id, about.name)):
            for windows in self._by_word.get(word, ()):
                key = _key(windows.rule, word, view)
                if key is None:
                    continue
                values = tuple(text_of(one) for field in windows.rule.fields for one in view.values_of(field))
                if windows.rule.fields and not values:
                    continue
                firing = windows.add(key, Entry(ts, word, evidence, values))
                if firing is not None:
                    yield firing
                    yield from self._passed_on(firing)

    def _passed_on(self, firing: Firing) -> Iterator[Firing]:
        """Give a firing to the rules that are about it: its fields are those of its group."""
        fields: Mapping[str, Any] = firing.group
        yield from self._add(firing.rule.about, View(fields, firing.end), firing.evidence, firing.end)


def _key(rule: Correlation, word: str, view: View) -> Key | None:
    """Return the values a match is grouped by; None when it lacks one of the fields, and so has no group."""
    key = []
    for field in rule.group_by:
        values = view.values_of(rule.field_of(field, word))
        if not values:
            return None
        key.append(text_of(values[0]) if len(values) == 1 else text_of(values))
    return tuple(key)
