"""Generated rules: each compiles or says why not, and the index answers as the rule by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsmil.sigma.index import Index
from dsmil.sigma.loading import make_correlation, make_rule
from dsmil.sigma.problem import RuleProblem
from dsmil.sigma.view import View

Made = TypeVar("Made")
MODIFIERS = (
    "contains startswith endswith all re i m s cidr base64 base64offset windash wide utf16 utf16le utf16be exists"
    " lt lte gt gte fieldref cased expand neq minute hour day week month year nonsense"
).split()
TEXTS = st.sampled_from(
    [
        "",
        "a",
        "ab",
        "A*b",
        "a?b",
        r"a\*b",
        "-f",
        "10.0.0.0/8",
        "(a+)+$",
        "[",
        "%name%",
        "B",
        "2026-11-24T13:45:10Z",
    ]
) | st.text("aB*?\\-/% .\n", max_size=6)
VALUES = TEXTS | st.integers(-5, 30) | st.floats(-5, 30) | st.booleans() | st.none()
KEYS = st.builds(
    lambda field, modifiers: "|".join([field, *modifiers]),
    st.sampled_from(["A", "B", "C.d", ""]),
    st.lists(st.sampled_from(MODIFIERS), max_size=3),
)
ITEMS = st.dictionaries(KEYS, VALUES | st.lists(VALUES, max_size=3), max_size=2)
SELECTIONS = ITEMS | st.lists(ITEMS, max_size=2) | st.lists(VALUES, max_size=3) | VALUES
CONDITIONS = st.sampled_from(
    ["one", "not one", "one or two", "one and not two", "1 of them", "all of them", "not 1 of t*", "one two", ""]
)
RULES = st.fixed_dictionaries(
    {
        "title": st.just("t"),
        "logsource": st.just({"product": "test"}),
        "detection": st.fixed_dictionaries({"one": SELECTIONS, "two": SELECTIONS, "condition": CONDITIONS}),
    }
)
INNER = TEXTS | st.integers(-5, 30) | st.booleans() | st.none()
RECORDS = st.dictionaries(
    st.sampled_from(["A", "B", "C", "d"]),
    INNER | st.lists(INNER, max_size=3) | st.dictionaries(st.just("d"), INNER, max_size=1),
    max_size=4,
)


def made(make: Callable[..., Made], *given: Any) -> Made | str:
    """Return the rule, or why there is none."""
    try:
        return make(*given)
    except RuleProblem as exc:
        return str(exc)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(RULES, st.lists(RECORDS, min_size=1, max_size=3))
def test_a_rule_compiles_or_says_why_and_its_index_agrees(
    document: dict[str, Any], records: list[dict[str, Any]]
) -> None:
    rule = made(make_rule, document, "t.yml", {"name": ["a", "x*"]})
    if isinstance(rule, str):
        return
    index = Index([rule])
    for record in records:
        answer = rule.test(View(record))
        assert (index.match(View(record)) == [rule]) is answer
        if answer:
            assert isinstance(rule.matched(View(record)), dict)


ANYTHING = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
CORRELATIONS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["event_count", "value_count", "temporal", "temporal_ordered", "value_avg", "x"])
        | ANYTHING,
        "rules": st.lists(st.sampled_from(["a", "b"]), max_size=3) | ANYTHING,
        "group-by": st.lists(st.sampled_from(["u", "v"]), max_size=2) | ANYTHING,
        "timespan": st.sampled_from(["1m", "0s", "-1m", "1y", "x", "1M"]) | ANYTHING,
        "condition": st.dictionaries(st.sampled_from(["gte", "lt", "field", "percentile"]), VALUES, max_size=3)
        | st.sampled_from(["a and b", "a and not b", "not"])
        | ANYTHING,
        "aliases": ANYTHING,
        "generate": ANYTHING,
    },
)


@settings(max_examples=200, deadline=None)
@given(CORRELATIONS | ANYTHING)
def test_a_correlation_compiles_or_says_why(correlation: Any) -> None:
    rule = made(make_correlation, {"title": "t", "correlation": correlation}, "t.yml")
    assert rule
    if not isinstance(rule, str):
        assert rule.timespan_s > 0
        assert rule.rules


@given(ANYTHING)
def test_a_document_that_is_no_rule_says_why(document: Any) -> None:
    assert isinstance(made(make_rule, document, "t.yml"), str)
