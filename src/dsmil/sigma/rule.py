"""A compiled rule: what it is, where it came from, and the function that says whether a record matches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil.events.model import Severity
from dsmil.sigma.predicates import Test, compile_tree
from dsmil.sigma.tree import Leaf, Node, leaves
from dsmil.sigma.view import View

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Level of a rule -> our severity; a rule without one is MEDIUM.
SEVERITY: Final = {
    "informational": Severity.LOW,
    "low": Severity.LOW,
    "medium": Severity.MEDIUM,
    "high": Severity.HIGH,
    "critical": Severity.CRITICAL,
}
#: Tactics as Sigma's tags write them -> ATT&CK id.
TACTICS: Final = {
    "reconnaissance": "TA0043",
    "resource-development": "TA0042",
    "initial-access": "TA0001",
    "execution": "TA0002",
    "persistence": "TA0003",
    "privilege-escalation": "TA0004",
    "defense-evasion": "TA0005",
    "stealth": "TA0005",
    "credential-access": "TA0006",
    "discovery": "TA0007",
    "lateral-movement": "TA0008",
    "collection": "TA0009",
    "exfiltration": "TA0010",
    "command-and-control": "TA0011",
    "impact": "TA0040",
}
#: Longest value that a finding repeats, characters; the record has it whole.
MAX_VALUE: Final = 512
#: Most fields that a finding repeats.
_MAX_FIELDS: Final = 40


class LogSource(msgspec.Struct, frozen=True):
    """What records a rule is about; an empty part says nothing."""

    product: str = ""
    category: str = ""
    service: str = ""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule says about itself."""

    #: The rule's id; its path when it has none.
    id: str
    title: str
    #: Name by which correlation rules may refer to it.
    name: str = ""
    #: Date of its last change and a digest of its text: two texts never share a revision.
    revision: str
    level: str = ""
    status: str = ""
    tags: tuple[str, ...] = ()
    #: File it was read from.
    path: str = ""
    description: str = ""

    @property
    def severity(self) -> Severity:
        """Severity of its findings."""
        return SEVERITY.get(self.level, Severity.MEDIUM)

    @property
    def techniques(self) -> tuple[str, ...]:
        """ATT&CK technique ids of its tags, e.g. ``T1059.001``."""
        ids = (tag.removeprefix("attack.") for tag in self.tags if tag.startswith("attack.t"))
        return tuple(dict.fromkeys(one.upper() for one in ids if one[1:2].isdecimal()))

    @property
    def tactics(self) -> tuple[str, ...]:
        """ATT&CK tactic ids of its tags, e.g. ``TA0002``."""
        names = (tag.removeprefix("attack.").replace("_", "-") for tag in self.tags if tag.startswith("attack."))
        return tuple(dict.fromkeys(TACTICS[name] for name in names if name in TACTICS))


class Rule:
    """One rule over single records."""

    __slots__ = ("_leaves", "about", "condition", "source", "test")

    def __init__(self, about: About, source: LogSource, condition: Node) -> None:
        """Compile ``condition`` into :attr:`test`."""
        self.about = about
        self.source = source
        self.condition = condition
        self.test: Test = compile_tree(condition)
        #: Each question of it with its test: made for the first finding, most rules never have one.
        self._leaves: list[tuple[Leaf, Test]] | None = None

    def matched(self, view: View) -> dict[str, Any]:
        """Return the fields that made it match, with their values; keywords are listed under ``keywords``."""
        if self._leaves is None:
            self._leaves = [(leaf, compile_tree(leaf)) for leaf in leaves(self.condition)]
        found: dict[str, Any] = {}
        for leaf, test in self._leaves:
            if len(found) >= _MAX_FIELDS:
                break
            if not test(view):
                continue
            if leaf.field is None:
                found.setdefault("keywords", []).extend(_with_keyword(test, view))
            elif leaf.field not in found:
                found[leaf.field] = _shown(view.values_of(leaf.field))
        return found


def _with_keyword(test: Test, view: View) -> list[str]:
    """Return the values of the record in which a keyword stands, the first few of them."""
    return [text[:MAX_VALUE] for text in view.all_texts() if test(View({"": text}))][:4]


def _shown(values: list[Any]) -> Any:  # noqa: ANN401 - JSON
    cut = [one[:MAX_VALUE] if isinstance(one, str) else one for one in values[:20]]
    return cut[0] if len(cut) == 1 else cut or None


def by_reference(rules: Iterable[Rule]) -> dict[str, Rule]:
    """Return rules by every word that correlation rules may call them: id and name."""
    found: dict[str, Rule] = {}
    for rule in rules:
        for word in (rule.about.id, rule.about.name):
            if word:
                found.setdefault(word, rule)
    return found
