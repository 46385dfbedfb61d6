"""The rules for one kind of record, behind a search for the texts without which none of them can match."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from dsmil.sigma.anchors import Anchor, choose, estimate, every_anchor, usual_order
from dsmil.sigma.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dsmil.sigma.view import View

#: Values are set between control characters, one for each field, so that "starts with" and "ends with" are texts
#: too. A value that holds such a character makes a rule be asked in vain, no more.
_TAGS: Final = tuple(chr(code) for code in range(1, 32) if chr(code) not in "\t\n\r")
_BETWEEN: Final = "\n"
_FOREIGN: Final = re.compile(r"[^\x00-\x7f]")

#: Values of a field that are remembered with the rules they call for, and how long one may be, characters.
_MOST_SEEN: Final = 4096
_LONGEST_SEEN: Final = 300


class Index:
    """Rules, and which of them are worth asking about a record."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        """Choose an anchor for each rule and build the search for all of them."""
        self._always: list[Rule] = []
        self._tags: dict[str, str] = {}
        self._automaton: Any = None
        self._keywords: list[tuple[str, tuple[Rule, ...]]] = []
        mentions = Counter(anchor.text for rule in rules for anchor in set(every_anchor(rule.condition)))
        cost = estimate(mentions)
        found: dict[str, list[Rule]] = {}
        keywords: dict[str, list[Rule]] = {}
        for rule in rules:
            choice = choose(rule.condition, cost)
            if choice is None:
                self._always.append(rule)
                continue
            for anchor in choice[1]:
                if not anchor.text:
                    self._always.append(rule)
                    break
                if anchor.field is None:
                    keywords.setdefault(anchor.text, []).append(rule)
                    found.setdefault(anchor.text, []).append(rule)
                else:
                    found.setdefault(self._tagged(anchor.field, anchor), []).append(rule)
        self._keywords = [(text, tuple(ones)) for text, ones in keywords.items()]
        self._foreign: dict[str, list[tuple[str, tuple[Rule, ...]]]] = {}
        self._build(found)
        self._fields = tuple((field, tag, dict[Any, frozenset[Rule]]()) for field, tag in self._tags.items())
        self._order = {rule: number for number, rule in enumerate(rules)}

    @property
    def always(self) -> Sequence[Rule]:
        """Rules that no text announces: asked about every record."""
        return self._always

    def _build(self, found: dict[str, list[Rule]]) -> None:
        """Build the search. Text in other alphabets stands apart: a node of many characters is a slow one."""
        import ahocorasick  # of the extra `sigma`: without it there are no rules, and nobody comes here

        automaton = ahocorasick.Automaton()
        for text in sorted(found, key=usual_order):
            rules = tuple(found[text])
            foreign = _FOREIGN.search(text)
            if foreign is None:
                automaton.add_word(text, rules)
            else:
                self._foreign.setdefault(foreign.group(), []).append((text, rules))
        if len(automaton):
            automaton.make_automaton()
            self._automaton = automaton

    def _tagged(self, field: str, anchor: Anchor) -> str:
        number = len(self._tags)
        last = len(_TAGS) - 1
        tag = self._tags.setdefault(field, _TAGS[number] if number < last else f"{_TAGS[last]}{number}\x7f")
        return f"{tag if anchor.starts else ''}{anchor.text}{tag if anchor.ends else ''}"

    def candidates(self, view: View) -> set[Rule]:
        """Return the rules that may match."""
        found = set(self._always)
        for field, tag, seen in self._fields:
            low = view[field]
            if low is None:
                continue
            rules = seen.get(low)
            if rules is None:
                rules = self._search(tag, low, seen)
            if rules:
                found.update(rules)
        if self._keywords:
            # Few rules ask for keywords, and a plain search for each is quicker than a second automaton.
            everything = view.others(self._tags, _BETWEEN)
            for text, ones in self._keywords:
                if text in everything:
                    found.update(ones)
        return found

    def _search(self, tag: str, low: str | tuple[str, ...], seen: dict[Any, frozenset[Rule]]) -> frozenset[Rule]:
        """Return the rules whose text stands in a field's value; most values come again and again."""
        text = f"{tag}{low}{tag}" if isinstance(low, str) else "".join(f"{tag}{one}{tag}" for one in low)
        found: set[Rule] = set()
        if self._automaton is not None:
            for _, rules in self._automaton.iter(text):
                found.update(rules)
        if self._foreign and not text.isascii():
            for char in set(_FOREIGN.findall(text)):
                for word, rules in self._foreign.get(char, ()):
                    if word in text:
                        found.update(rules)
        answer = frozenset(found)
        if len(text) <= _LONGEST_SEEN:
            if len(seen) >= _MOST_SEEN:
                seen.clear()
            seen[low] = answer
        return answer

    def match(self, view: View) -> list[Rule]:
        """Return the rules that match, in the order they were given."""
        hits = [rule for rule in self.candidates(view) if rule.test(view)]
        if len(hits) > 1:
            hits.sort(key=self._order.__getitem__)
        return hits
