"""Cases kept beside rules: records, and how many findings the rules of the file must make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil.sigma.correlator import Correlator
from dsmil.sigma.loading import CASES, read_documents, rule_files
from dsmil.sigma.problem import Problem, RuleProblem
from dsmil.sigma.sources import feed_names, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dsmil.sigma.engine import RuleSet

#: When the first record of a case happened, Unix seconds, where the case does not say.
_START: Final = 1_700_000_000.0


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One record of a case."""

    record: dict[str, Any]
    #: Seconds after the first one.
    at: float = 0.0


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One case."""

    #: What it shows.
    case: str
    #: Feed of the records: the ``source`` of their events.
    feed: str
    #: One record ...
    record: dict[str, Any] | None = None
    #: ... or several, in order.
    records: list[Step] = []
    #: How many findings the rules of the file must make of all records together.
    findings: int = 1

    @property
    def steps(self) -> list[Step]:
        """Return its records in order."""
        return [Step(self.record), *self.records] if self.record is not None else self.records


class Tested(msgspec.Struct, frozen=True):
    """What came of running cases."""

    cases: int
    #: Rule files that have cases.
    files: int
    problems: tuple[Problem, ...]
    #: Rule files without cases.
    without: tuple[str, ...]


def run_cases(folders: Sequence[Path], rules: RuleSet) -> Tested:
    """Run every case beside the rules of the folders; cases that fail are the problems."""
    problems: list[Problem] = []
    without: list[str] = []
    count = files = 0
    for path in (one for folder in folders for one in rule_files(folder)):
        beside = next((c for end in CASES if (c := path.with_name(path.stem + end)).is_file()), None)
        if beside is None:
            without.append(str(path))
            continue
        files += 1
        try:
            cases = read_cases(beside)
        except RuleProblem as exc:
            problems.append(Problem(str(beside), str(exc)))
            continue
        for case in cases:
            count += 1
            wrong = run_case(case, str(path), rules)
            if wrong:
                problems.append(Problem(str(beside), f"{case.case!r}: {wrong}"))
    problems += [Problem(str(path), "there is no rule file beside it") for path in _lone_cases(folders)]
    return Tested(count, files, tuple(problems), tuple(without))


def _lone_cases(folders: Sequence[Path]) -> Iterator[Path]:
    """Yield files of cases that no rule file stands beside: nobody would run them."""
    for folder in folders:
        for path in sorted(one for end in CASES for one in folder.rglob(f"*{end}")):
            stem = path.name.rpartition(".cases.")[0]
            if not any(path.with_name(stem + end).is_file() for end in (".yml", ".yaml")):
                yield path


def read_cases(path: Path) -> list[Case]:
    """Return the cases of a file; RuleProblem says what is wrong with it."""
    documents = read_documents(path)
    try:
        return [msgspec.convert(one, Case) for document in documents for one in document]
    except (msgspec.ValidationError, TypeError) as exc:
        raise RuleProblem(f"a file of cases is a list of cases: {exc}") from exc


def run_case(case: Case, path: str, rules: RuleSet) -> str:
    """Return what is wrong: empty when the rules of the file ``path`` make as many findings as they must."""
    if not case.steps:
        return "it has no record"
    correlator = Correlator(rules.correlations)
    found: list[str] = []
    for number, step in enumerate(case.steps):
        ts = _START + step.at
        known = read(case.feed, step.record, ts)
        if known is None:
            return f"there is no feed {case.feed!r}; there are: {', '.join(feed_names())}"
        view, origin = known
        fired = correlator.advance(ts)
        for rule in rules.match(view, origin):
            if rule.about.path == path and rules.speaks(rule.about):
                found.append(rule.about.title)
            fired += correlator.add(rule.about, view, str(number), ts)
        found += [one.rule.about.title for one in fired if one.rule.about.path == path]
    if len(found) == case.findings:
        return ""
    return f"{len(found)} findings instead of {case.findings}" + (f": {', '.join(found[:5])}" if found else "")
