"""From pySigma's reading of a rule to our own tree. The only module that knows pySigma's classes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sigma import conditions as c
from sigma import types as t
from sigma.exceptions import SigmaError
from sigma.policy import SigmaPolicy
from sigma.policy.regex_engine import PythonRegexEngine
from sigma.rule import SigmaRule

from dsmil.sigma.problem import RuleProblem
from dsmil.sigma.tree import (
    Cidr,
    Compare,
    Exists,
    Node,
    Not,
    Null,
    Pattern,
    Regex,
    Same,
    Text,
    Wild,
    all_of,
    any_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WILD: Final = {t.SpecialChars.WILDCARD_MULTI: Wild.MANY, t.SpecialChars.WILDCARD_SINGLE: Wild.ONE}
_FLAGS: Final = {
    t.SigmaRegularExpressionFlag.IGNORECASE: re.IGNORECASE,
    t.SigmaRegularExpressionFlag.MULTILINE: re.MULTILINE,
    t.SigmaRegularExpressionFlag.DOTALL: re.DOTALL,
}
#: Expressions are checked by the engine that will run them; pySigma's default knows no look-ahead.
_POLICY: Final = SigmaPolicy(regex_engine=PythonRegexEngine())
#: Modifiers of the specification under names that pySigma does not know.
_SYNONYMS: Final = {"utf16le": "wide"}

Placeholders = dict[str, list[str]]


def condition_tree(document: Mapping[str, Any], placeholders: Placeholders) -> Node:
    """Return the condition of a rule's document; RuleProblem says why there is none.

    ``placeholders`` has the values for ``%name%`` in values with the modifier ``expand``.
    """
    detection = document.get("detection")
    if isinstance(detection, dict) and "timeframe" in detection:
        raise RuleProblem("`timeframe` was replaced by correlation rules: write one")
    try:
        rule = SigmaRule.from_dict({**document, "detection": _known(detection)}, policy=_POLICY)
        parsed = [condition.parsed for condition in rule.detection.parsed_condition]
    except SigmaError as exc:
        raise RuleProblem(str(exc)) from exc
    except (TypeError, ValueError, AttributeError, KeyError, RecursionError) as exc:
        # pySigma's own slips over documents of an unexpected shape
        raise RuleProblem(f"{type(exc).__name__}: {exc}") from exc
    if not parsed or any(one is None for one in parsed):
        raise RuleProblem("the condition says nothing")
    try:
        return any_of([_node(one, placeholders) for one in parsed])
    except RecursionError:
        raise RuleProblem("the condition is nested too deep") from None


def _known(detection: Any) -> Any:  # noqa: ANN401 - YAML
    """Return a detection whose modifiers all have names that pySigma knows."""
    if isinstance(detection, dict):
        return {_known_key(key): _known(value) for key, value in detection.items()}
    if isinstance(detection, list):
        return [_known(one) for one in detection]
    return detection


def _known_key(key: object) -> object:
    if not isinstance(key, str) or "|" not in key:
        return key
    field, *modifiers = key.split("|")
    return "|".join([field, *(_SYNONYMS.get(one, one) for one in modifiers)])


def _node(item: Any, placeholders: Placeholders) -> Node:  # noqa: ANN401 - pySigma's union
    match item:
        case c.ConditionAND():
            return all_of([_node(one, placeholders) for one in item.args])
        case c.ConditionOR():
            return any_of([_node(one, placeholders) for one in item.args])
        case c.ConditionNOT():
            return Not(_node(item.args[0], placeholders))
        case c.ConditionFieldEqualsValueExpression():
            return _leaf(item.field, item.value, placeholders)
        case c.ConditionValueExpression():
            return _leaf(None, item.value, placeholders)
    raise RuleProblem(f"the condition has a {type(item).__name__}, which is not supported")


def _leaf(field: str | None, value: t.SigmaType, placeholders: Placeholders) -> Node:
    match value:
        case t.SigmaExpansion():
            return any_of([_leaf(field, one, placeholders) for one in value.values])
        case t.SigmaString():
            cased = isinstance(value, t.SigmaCasedString)
            patterns = tuple(_patterns(value, placeholders))
            return Text(field, patterns, cased)
        case t.SigmaRegularExpression():
            return Regex(field, _expression(value, placeholders))
        case t.SigmaCIDRExpression():
            return Cidr(field, value.network)
    if field is None and isinstance(value, t.SigmaNumber):
        return Text(None, ((_number(value.number),),))
    if field is None:
        raise RuleProblem(f"a {type(value).__name__} needs a field")
    return _field_leaf(field, value)


def _field_leaf(field: str, value: t.SigmaType) -> Node:
    match value:
        case t.SigmaTimestampPart():
            return Compare(field, "eq", value.number, value.timestamp_part.name.lower())
        case t.SigmaNumber():
            return Text(field, ((_number(value.number),),))
        case t.SigmaBool():
            return Text(field, (("true" if value.boolean else "false",),))
        case t.SigmaNull():
            return Null(field)
        case t.SigmaExists():
            return Exists(field, value.exists)
        case t.SigmaFieldReference():
            return Same(field, value.field, value.starts_with, value.ends_with)
        case t.SigmaCompareExpression():
            number = value.number
            part = number.timestamp_part.name.lower() if isinstance(number, t.SigmaTimestampPart) else ""
            return Compare(field, value.op.name.lower(), number.number, part)
    raise RuleProblem(f"field {field}: values of the kind {type(value).__name__} are not supported")


def _number(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def _patterns(value: t.SigmaString, placeholders: Placeholders) -> Iterator[Pattern]:
    """Yield the pattern of a string; with placeholders, one for each of their values."""
    found: list[list[str | Wild]] = [[]]
    for part in value.s:
        if isinstance(part, t.Placeholder):
            found = [[*one, *more] for one in found for more in _values(part.name, placeholders)]
        else:
            more = _WILD[part] if isinstance(part, t.SpecialChars) else part
            found = [[*one, more] for one in found]
    for one in found:
        yield joined(one)


def _values(name: str, placeholders: Placeholders) -> list[list[str | Wild]]:
    if name not in placeholders:
        raise RuleProblem(f"the placeholder %{name}% has no values; list them in placeholders.yml")
    return [
        [_WILD[part] if isinstance(part, t.SpecialChars) else str(part) for part in t.SigmaString(one).s]
        for one in placeholders[name]
    ]


def joined(parts: list[str | Wild]) -> Pattern:
    """Return parts as a pattern: neighbouring texts joined, ``**`` as one ``*``."""
    made: list[str | Wild] = []
    for part in parts:
        last = made[-1] if made else None
        if isinstance(part, str) and isinstance(last, str):
            made[-1] = last + part
        elif not (part is Wild.MANY and last is Wild.MANY) and part:
            made.append(part)
    return tuple(made)


def _expression(value: t.SigmaRegularExpression, placeholders: Placeholders) -> re.Pattern[str]:
    # A number stands there as it is.
    parts = value.regexp.s if isinstance(value.regexp, t.SigmaString) else (str(value.regexp),)
    text = "".join(_regex_part(part, placeholders) for part in parts)
    flags = re.NOFLAG
    for flag in value.flags:
        flags |= _FLAGS[flag]
    try:
        return re.compile(text, flags)
    except re.error as exc:
        raise RuleProblem(f"the regular expression {text!r} is not valid here: {exc}") from exc


def _regex_part(part: Any, placeholders: Placeholders) -> str:  # noqa: ANN401 - pySigma's union
    if isinstance(part, t.Placeholder):
        if part.name not in placeholders:
            raise RuleProblem(f"the placeholder %{part.name}% has no values; list them in placeholders.yml")
        return "(?:" + "|".join(re.escape(one) for one in placeholders[part.name]) + ")"
    return _WILD[part].value if isinstance(part, t.SpecialChars) else str(part)
