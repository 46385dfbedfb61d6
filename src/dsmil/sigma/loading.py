"""Reading rules from files: the one place of this package that touches the disk."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil.errors import ConfigError, UnreadableFile
from dsmil.sigma.correlation import Correlation
from dsmil.sigma.engine import RuleSet
from dsmil.sigma.problem import Problem, RuleProblem
from dsmil.sigma.rule import About, LogSource, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: A rule file larger than this is refused unread.
MAX_FILE: Final = 1 << 20
#: Values for ``%name%`` in rules with the modifier ``expand``.
PLACEHOLDERS: Final = "placeholders.yml"
#: Cases kept beside rules; they are no rules.
CASES: Final = (".cases.yml", ".cases.yaml")
_HINT: Final = "rules need the extra `sigma`: pip install 'dsmil[sigma]'"


class Loaded(msgspec.Struct, frozen=True):
    """What came of reading rules."""

    rules: RuleSet
    problems: tuple[Problem, ...]
    #: Files read.
    files: int


def available() -> str:
    """Return why rules cannot be read on this installation; empty when they can."""
    try:
        import ahocorasick  # noqa: F401 - only whether it is there
        import re2  # noqa: F401
        import sigma  # noqa: F401
        import yaml  # noqa: F401
    except ImportError as exc:
        return f"{_HINT} ({exc})"
    return ""


def rule_files(folder: Path) -> list[Path]:
    """Return the rule files of a folder and of those inside it, in order; a file stands for itself."""
    if folder.is_file():
        return [folder]
    found = (path for end in ("*.yml", "*.yaml") for path in folder.rglob(end))
    return sorted(p for p in found if p.is_file() and p.name != PLACEHOLDERS and not p.name.endswith(CASES))


def load(folders: Sequence[Path], *, spare: Path | None = None) -> Loaded:
    """Read every rule of the folders; what cannot be used is among the problems, and the rest is used.

    A rule of the folder ``spare``, which is read last, gives way to one with the same id.
    A folder that is not there raises UnreadableFile, and an installation without the extra ``sigma`` ConfigError.
    """
    lacking = available()
    if lacking:
        raise ConfigError(lacking)
    problems: list[Problem] = []
    rules: list[Rule] = []
    correlations: list[Correlation] = []
    count = 0
    first: dict[str, str] = {}
    for folder in (*folders, spare) if spare is not None else folders:
        if not folder.exists():
            raise UnreadableFile(f"{folder}: there is no such folder of rules")
        placeholders = _placeholders(folder, problems)
        for path in rule_files(folder):
            count += 1
            for number, outcome in enumerate(_rules(path, placeholders), start=1):
                where = str(path) if number == 1 else f"{path} (document {number})"
                if isinstance(outcome, str):
                    problems.append(Problem(where, outcome))
                elif outcome.about.id in first and folder is spare:
                    continue
                elif outcome.about.id in first:
                    same = first[outcome.about.id]
                    problems.append(Problem(where, f"the id {outcome.about.id} is that of {same} too"))
                else:
                    first[outcome.about.id] = where
                    if isinstance(outcome, Rule):
                        rules.append(outcome)
                    else:
                        correlations.append(outcome)
    ordered = in_order(correlations, [rule.about for rule in rules], problems)
    return Loaded(RuleSet(rules, ordered), tuple(problems), count)


def in_order(
    correlations: Sequence[Correlation], abouts: Sequence[About], problems: list[Problem]
) -> list[Correlation]:
    """Return correlation rules, each after those it is about; one about a rule that is not there is a problem."""
    known = {word for one in abouts for word in (one.id, one.name) if word}
    ordered: list[Correlation] = []
    left = list(correlations)
    while left:
        ready = [one for one in left if known.issuperset(one.rules)]
        if not ready:
            break
        ordered += ready
        known.update(word for one in ready for word in (one.about.id, one.about.name) if word)
        left = [one for one in left if one not in ready]
    for one in left:
        missing = ", ".join(word for word in one.rules if word not in known)
        reason = f"it is about rules that are not there or cannot be used: {missing}"
        problems.append(Problem(one.about.path, reason))
    return ordered


def _placeholders(folder: Path, problems: list[Problem]) -> dict[str, list[str]]:
    path = folder / PLACEHOLDERS
    if not path.is_file():
        return {}
    try:
        (document,) = read_documents(path)
        return msgspec.convert(document, dict[str, list[str]])
    except (RuleProblem, ValueError, msgspec.ValidationError) as exc:
        problems.append(Problem(str(path), f"it must be one object: name -> list of texts ({exc})"))
        return {}


def read_documents(path: Path) -> list[Any]:
    """Return the documents of a YAML file; RuleProblem says why there are none."""
    import yaml
    from sigma.rule.base import SigmaYAMLLoader

    try:
        if path.stat().st_size > MAX_FILE:
            raise RuleProblem(f"larger than {MAX_FILE} bytes")
        text = path.read_bytes()
        return [one for one in yaml.load_all(text, Loader=SigmaYAMLLoader) if one is not None]
    except OSError as exc:
        raise RuleProblem(f"it cannot be read: {exc.strerror}") from exc
    except yaml.YAMLError as exc:
        raise RuleProblem(f"no YAML: {' '.join(str(exc).split())}") from exc
    except (ValueError, RecursionError) as exc:  # what pySigma's loader refuses: keys twice, for one
        raise RuleProblem(f"{type(exc).__name__}: {exc}") from exc


def _rules(path: Path, placeholders: dict[str, list[str]]) -> Iterator[Rule | Correlation | str]:
    """Yield the rules of a file, or why there is none."""
    try:
        documents = read_documents(path)
    except RuleProblem as exc:
        yield str(exc)
        return
    if not documents:
        yield "the file is empty"
    for document in documents:
        try:
            if isinstance(document, dict) and "correlation" in document:
                yield make_correlation(document, str(path))
            else:
                yield make_rule(document, str(path), placeholders)
        except RuleProblem as exc:
            yield str(exc)


def make_rule(document: Any, path: str, placeholders: dict[str, list[str]] | None = None) -> Rule:  # noqa: ANN401 - YAML
    """Return the rule of one YAML document; RuleProblem says why it is none."""
    from dsmil.sigma.frontend import condition_tree

    if not isinstance(document, dict):
        raise RuleProblem(f"a rule is an object, not a {type(document).__name__}")
    if "filter" in document or "action" in document:
        raise RuleProblem("filters and collections (`filter`, `action`) are not supported: write the rule out")
    condition = condition_tree(document, placeholders or {})
    source = document["logsource"]
    names = (source.get(part) for part in ("product", "category", "service"))
    return Rule(about(document, path), LogSource(*(str(name or "").lower() for name in names)), condition)


def make_correlation(document: dict[str, Any], path: str) -> Correlation:
    """Return the correlation rule of one YAML document; RuleProblem says why it is none."""
    from dsmil.sigma.frontend_correlation import correlation

    return correlation(document, about(document, path))


def about(document: dict[str, Any], path: str) -> About:
    """Return what a rule's document says about itself."""
    text = msgspec.json.encode(document, order="deterministic", enc_hook=str)
    changed = document.get("modified") or document.get("date") or ""
    tags = document.get("tags")
    return About(
        id=str(document.get("id") or path),
        title=str(document.get("title") or "untitled rule"),
        name=str(document.get("name") or ""),
        revision=f"{str(changed).replace('/', '-')}+{blake2b(text, digest_size=4).hexdigest()}".lstrip("+"),
        level=str(document.get("level") or "").lower(),
        status=str(document.get("status") or ""),
        tags=tuple(str(tag).lower() for tag in tags) if isinstance(tags, list) else (),
        path=path,
        description=str(document.get("description") or "").strip(),
    )
