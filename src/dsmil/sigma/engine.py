"""A rule set: which rules match a record of some source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dsmil.sigma.index import Index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dsmil.sigma.correlation import Correlation
    from dsmil.sigma.rule import About, LogSource, Rule
    from dsmil.sigma.sources import Origin
    from dsmil.sigma.view import View

#: Most kinds of records that are kept an index for; sources are few, but a record may claim anything.
_MOST: Final = 1000


class RuleSet:
    """Rules, indexed by log source."""

    def __init__(self, rules: Sequence[Rule], correlations: Sequence[Correlation] = ()) -> None:
        """Take the rules; the index for a kind of record is built when the first one comes.

        Each of ``correlations`` stands after those it is about.
        """
        self.rules = tuple(rules)
        self.correlations = tuple(correlations)
        #: Ids and names of rules that give no findings of their own: only correlations are about them.
        self.silent = _silent(correlations)
        self._by_source: dict[LogSource, list[Rule]] = {}
        for rule in rules:
            self._by_source.setdefault(rule.source, []).append(rule)
        self._indexes: dict[Origin, Index] = {}

    def index(self, origin: Origin) -> Index:
        """Return the index of the rules about records of this origin."""
        found = self._indexes.get(origin)
        if found is None:
            if len(self._indexes) >= _MOST:
                self._indexes.clear()
            sources = [rules for source, rules in self._by_source.items() if origin.includes(source)]
            found = self._indexes[origin] = Index([rule for rules in sources for rule in rules])
        return found

    def match(self, view: View, origin: Origin) -> list[Rule]:
        """Return the rules that match a record of this origin."""
        return self.index(origin).match(view)

    def speaks(self, about: About) -> bool:
        """Return whether a rule gives findings of its own."""
        return about.id not in self.silent and about.name not in self.silent


def _silent(correlations: Sequence[Correlation]) -> frozenset[str]:
    heard = {word for one in correlations if one.generate for word in one.rules}
    return frozenset(word for one in correlations if not one.generate for word in one.rules) - heard
