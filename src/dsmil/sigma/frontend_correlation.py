"""From pySigma's reading of a correlation rule to our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import sigma.correlations as sc
from sigma.exceptions import SigmaError

from dsmil.sigma.correlation import Absent, Both, Correlation, Either, Expression, Present
from dsmil.sigma.problem import RuleProblem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dsmil.sigma.rule import About


def correlation(document: Mapping[str, Any], about: About) -> Correlation:
    """Return the correlation rule of a document; RuleProblem says why there is none."""
    try:
        rule = sc.SigmaCorrelationRule.from_dict(dict(document))
    except SigmaError as exc:
        raise RuleProblem(str(exc)) from exc
    except (TypeError, ValueError, AttributeError, KeyError) as exc:
        raise RuleProblem(f"{type(exc).__name__}: {exc}") from exc
    condition = rule.condition
    expression: Expression | None = None
    plain = sc.SigmaCorrelationCondition(sc.SigmaCorrelationConditionOperator.GTE, 1)
    if isinstance(condition, sc.SigmaExtendedCorrelationCondition):
        expression = _expression(condition.parsed)
        words = tuple(condition.get_referenced_rules())
        words = tuple(one.reference for one in rule.rules) if rule.rules else words
    else:
        plain = condition
        words = tuple(one.reference for one in rule.rules or ())
    if not words:
        raise RuleProblem("a correlation needs `rules`")
    fields = plain.fieldref
    return Correlation(
        about=about,
        type=rule.type.name.lower(),
        rules=tuple(dict.fromkeys(words)),
        timespan_s=rule.timespan.seconds,
        group_by=tuple(rule.group_by or ()),
        aliases={
            one.alias: {reference.reference: field for reference, field in one.mapping.items()}
            for one in rule.aliases
        },
        generate=rule.generate,
        operator=plain.op.name.lower(),
        count=plain.count,
        fields=tuple(fields if isinstance(fields, list) else [fields] if fields else []),
        percentile=50 if plain.percentile is None else plain.percentile,
        expression=expression,
    )


def _expression(parsed: object) -> Expression:
    match parsed:
        case sc.SigmaRuleReference():
            return Present(parsed.reference)
        case sc.CorrelationConditionAND():
            return Both(tuple(map(_expression, cast("list[object]", parsed.args))))
        case sc.CorrelationConditionOR():
            return Either(tuple(map(_expression, cast("list[object]", parsed.args))))
        case sc.CorrelationConditionNOT():
            return Absent(_expression(parsed.args[0]))
    raise RuleProblem(f"the condition has a {type(parsed).__name__}, which is not supported")
