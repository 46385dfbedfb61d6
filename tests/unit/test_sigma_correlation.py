"""Correlation rules: every kind, in event time, with bounded state, the same for the same input."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from dsmil.sigma import windows
from dsmil.sigma.correlation import Correlation
from dsmil.sigma.correlator import Correlator
from dsmil.sigma.loading import about, in_order, make_correlation
from dsmil.sigma.problem import Problem, RuleProblem
from dsmil.sigma.rule import About
from dsmil.sigma.view import View
from dsmil.sigma.windows import Firing


def correlation(text: str, ident: str = "c", title: str = "C") -> Correlation:
    return make_correlation({"title": title, "name": ident, "correlation": yaml.safe_load(text)}, f"{ident}.yml")


def base(name: str) -> About:
    return about({"title": name, "id": f"id-{name}", "name": name}, f"{name}.yml")


class Stream:
    """Feeds matches to one or more correlation rules, with event ids counted up."""

    def __init__(self, *rules: Correlation) -> None:
        self.correlator = Correlator(rules)
        self.count = 0

    def match(self, ts: float, name: str = "a", **fields: Any) -> list[Firing]:
        self.count += 1
        early = self.correlator.advance(ts)
        return early + self.correlator.add(base(name), View({"u": "kim", **fields}), f"e{self.count}", ts)


COUNT = "{type: event_count, rules: [a], group-by: [u], timespan: 1m, condition: {gte: 3}}"


def test_event_count_fires_when_it_is_reached_and_names_its_events() -> None:
    stream = Stream(correlation(COUNT))
    assert [stream.match(0), stream.match(10)] == [[], []]
    (firing,) = stream.match(20)
    assert (firing.group, firing.start, firing.end, firing.measure) == ({"u": "kim"}, 0, 20, 3)
    assert (firing.evidence, firing.events, firing.rules) == (("e1", "e2", "e3"), 3, ("a",))


def test_event_count_is_per_group_and_events_without_the_field_have_none() -> None:
    stream = Stream(correlation(COUNT))
    assert not any([stream.match(0), stream.match(1, u="alex"), stream.match(2), stream.match(3, u=None)])
    assert stream.match(4)


def test_event_count_forgets_what_is_older_than_the_span() -> None:
    stream = Stream(correlation(COUNT))
    assert not any(stream.match(ts) for ts in (0, 40, 80, 120, 160))
    assert stream.match(161)


def test_late_events_count_in_the_window_they_belong_to() -> None:
    stream = Stream(correlation(COUNT))
    assert not any([stream.match(100), stream.match(30), stream.match(90)]), "30 is too late up to 100"
    assert stream.match(60)


def test_event_count_fires_again_only_when_it_doubles_or_after_the_span() -> None:
    stream = Stream(correlation(COUNT))
    fired = [bool(stream.match(ts)) for ts in range(12)]
    assert [ts for ts, one in enumerate(fired) if one] == [2, 5, 11]
    assert [bool(stream.match(ts)) for ts in (200, 201, 202)] == [False, False, True]


def test_an_event_that_is_handled_again_answers_the_same() -> None:
    correlator = Correlator([correlation(COUNT)])
    answers = [correlator.add(base("a"), View({"u": "kim"}), f"e{n}", n) for n in range(3)]
    assert answers[2]
    again = [correlator.add(base("a"), View({"u": "kim"}), f"e{n}", n) for n in range(3)]
    assert again == answers


def test_value_count_counts_different_values() -> None:
    text = "{type: value_count, rules: [a], group-by: [ip], timespan: 5m, condition: {field: u, gte: 3}}"
    stream = Stream(correlation(text))
    assert not any(stream.match(n, ip="x", u=user) for n, user in enumerate(["a", "b", "a", "b"]))
    assert stream.match(9, ip="x", u="c")[0].measure == 3


def test_rules_are_found_by_id_as_well_as_by_name() -> None:
    stream = Stream(correlation(COUNT.replace("[a]", "[id-a]")))
    assert [bool(stream.match(n)) for n in range(3)] == [False, False, True]


def test_aliases_join_fields_of_different_names() -> None:
    text = "{type: temporal, rules: [a, b], group-by: [who], timespan: 1m, aliases: {who: {a: user, b: account}}}"
    stream = Stream(correlation(text))
    assert not stream.match(0, "a", user="kim")
    assert not stream.match(1, "b", user="kim", account="alex")
    assert stream.match(2, "b", account="kim")[0].group == {"who": "kim"}


TEMPORAL = "{type: temporal, rules: [a, b, c], group-by: [u], timespan: 1m}"


def test_temporal_takes_any_order_within_the_span() -> None:
    stream = Stream(correlation(TEMPORAL))
    assert not any([stream.match(0, "c"), stream.match(10, "a"), stream.match(20, "a")])
    assert stream.match(30, "b")[0].rules == ("c", "a", "b")
    late = Stream(correlation(TEMPORAL))
    assert not any([late.match(0, "c"), late.match(50, "a"), late.match(70, "b")])


def test_temporal_may_ask_for_some_of_the_rules() -> None:
    stream = Stream(correlation(TEMPORAL.replace("1m}", "1m, condition: {gte: 2}}")))
    assert not stream.match(0, "c")
    assert stream.match(1, "a")


def test_temporal_ordered_wants_the_order_by_event_time() -> None:
    text = TEMPORAL.replace("temporal", "temporal_ordered")
    wrong = Stream(correlation(text))
    assert not any([wrong.match(0, "b"), wrong.match(1, "a"), wrong.match(2, "c")])
    right = Stream(correlation(text))
    assert not any([right.match(0, "b"), right.match(1, "a"), right.match(2, "b")])
    assert right.match(3, "c")
    late = Stream(correlation(text))
    assert not any([late.match(3, "c"), late.match(0, "a")])
    assert late.match(1, "b"), "what arrives late still happened in order"


def test_extended_condition() -> None:
    text = "{type: temporal, rules: [a, b, c], group-by: [u], timespan: 1m, condition: 'a and (b or c)'}"
    stream = Stream(correlation(text))
    assert not any([stream.match(0, "b"), stream.match(1, "c")])
    assert stream.match(2, "a")


ABSENT = "{type: temporal, rules: [a, b], group-by: [u], timespan: 1m, condition: 'a and not b'}"


def test_negation_is_judged_when_the_window_is_over() -> None:
    stream = Stream(correlation(ABSENT))
    assert not any([stream.match(0, "a"), stream.match(60, "x", u="other")])
    (firing,) = stream.match(61, "x", u="other")
    assert (firing.rules, firing.evidence, firing.end) == (("a",), ("e1",), 0)
    kept = Stream(correlation(ABSENT))
    assert not any([kept.match(0, "a"), kept.match(59, "b"), kept.match(200, "x")])


def test_negation_in_order() -> None:
    text = TEMPORAL.replace("temporal", "temporal_ordered").replace("1m}", "1m, condition: 'a and b and not c'}")
    good = Stream(correlation(text))
    assert not any([good.match(0, "a"), good.match(1, "b")])
    assert good.match(100, "x")
    turned = Stream(correlation(text))
    assert not any([turned.match(0, "b"), turned.match(1, "a"), turned.match(100, "x")])


@pytest.mark.parametrize(
    ("operator", "events", "fires"),
    [
        ("lt: 3", 2, True),
        ("lt: 3", 3, False),
        ("lte: 2", 2, True),
        ("eq: 2", 2, True),
        ("eq: 2", 3, False),
        ("neq: 2", 3, True),
        ("neq: 2", 2, False),
    ],
)
def test_upper_bounds_are_judged_when_the_window_is_over(operator: str, events: int, fires: bool) -> None:  # noqa: FBT001
    stream = Stream(correlation(COUNT.replace("gte: 3", operator)))
    assert not any(stream.match(ts) for ts in range(events))
    assert bool(stream.correlator.advance(1000)) is fires
    assert stream.correlator.advance(2000) == []


@pytest.mark.parametrize(
    ("kind", "condition", "values", "fires"),
    [
        ("value_sum", "{field: n, gte: 100}", [50, 49], False),
        ("value_sum", "{field: n, gte: 100}", [50, 50], True),
        ("value_avg", "{field: n, gt: 10}", [10, 11], True),
        ("value_avg", "{field: n, gt: 10}", [10, 10], False),
        ("value_median", "{field: n, gte: 5}", [1, 5, 90], True),
        ("value_percentile", "{field: n, gte: 90, percentile: 90}", [1, 2, 3, 4, 5, 6, 7, 8, 90, 99], True),
        ("value_percentile", "{field: n, gte: 90, percentile: 50}", [1, 2, 3, 4, 5, 6, 7, 8, 90, 99], False),
        ("value_sum", "{field: n, gte: 0}", ["many"], True),
        ("value_avg", "{field: n, gte: 0}", ["many"], False),
    ],
)
def test_figures(kind: str, condition: str, values: list[Any], fires: bool) -> None:  # noqa: FBT001
    text = f"{{type: {kind}, rules: [a], group-by: [u], timespan: 1h, condition: {condition}}}"
    stream = Stream(correlation(text))
    fired = [stream.match(ts, n=value) for ts, value in enumerate(values)]
    assert any(fired) or bool(stream.correlator.advance(1e6)) is fires
    assert not (any(fired) and not fires)


def test_correlations_may_be_about_correlations() -> None:
    first = correlation(COUNT, "many", "Many")
    second = correlation("{type: temporal_ordered, rules: [many, b], group-by: [u], timespan: 10m}", "then")
    problems: list[Problem] = []
    ordered = in_order([second, first], [base("a"), base("b")], problems)
    assert ([one.about.name for one in ordered], problems) == (["many", "then"], [])
    stream = Stream(*ordered)
    assert [len(stream.match(ts)) for ts in range(3)] == [0, 0, 1]
    (firing,) = stream.match(30, "b")
    assert (firing.rule.about.name, firing.evidence) == ("then", ("e1", "e2", "e3", "e4"))


def test_correlations_about_nothing_or_about_each_other_are_problems() -> None:
    one = correlation(COUNT.replace("[a]", "[two]"), "one")
    two = correlation(COUNT.replace("[a]", "[one]"), "two")
    lost = correlation(COUNT.replace("[a]", "[gone]"), "lost")
    problems: list[Problem] = []
    assert in_order([one, two, lost], [base("a")], problems) == []
    assert [problem.path for problem in problems] == ["one.yml", "two.yml", "lost.yml"]
    assert "gone" in problems[2].reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{type: nonsense, rules: [a], timespan: 1m, condition: {gte: 1}}", "nonsense"),
        ("{type: event_count, rules: [a], condition: {gte: 1}}", "timespan"),
        ("{type: event_count, rules: [a], timespan: 1x, condition: {gte: 1}}", "1x"),
        ("{type: event_count, rules: [a], timespan: 1m}", "condition"),
        ("{type: value_count, rules: [a], timespan: 1m, condition: {gte: 1}}", "field"),
        ("{type: event_count, timespan: 1m, condition: {gte: 1}}", "rule"),
        ("{type: temporal, rules: [a], timespan: 1m, condition: 'a and'}", "condition"),
    ],
)
def test_what_cannot_be_compiled_says_why(text: str, words: str) -> None:
    with pytest.raises(RuleProblem, match=words):
        correlation(text)


def test_state_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "MAX_GROUPS", 100)
    stream = Stream(correlation(COUNT.replace("1m", "1d")))
    for n in range(1000):
        stream.match(n, u=f"user{n}")
    (state,) = stream.correlator.windows
    assert (len(state), state.forgotten) == (100, 900)
    one = Stream(correlation(COUNT.replace("1m", "30d")))
    for n in range(5000):
        one.match(n)
    (state,) = one.correlator.windows
    assert [len(group.entries) for group in state.groups.values()] == [windows.MAX_ENTRIES]


def test_waiting_windows_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "MAX_GROUPS", 100)
    stream = Stream(correlation(ABSENT.replace("1m", "1d")))
    for n in range(1000):
        stream.match(n, u=f"user{n}")
    (state,) = stream.correlator.windows
    assert (len(state), state.forgotten) == (100, 900)
    assert len(state._due) <= 2 * 100
    assert len(stream.correlator.advance(1e7)) == 100


def test_a_new_rule_set_keeps_the_windows_of_rules_that_stayed() -> None:
    stream = Stream(correlation(COUNT))
    stream.match(0)
    stream.match(1)
    stream.correlator = Correlator([correlation(TEMPORAL, "new"), correlation(COUNT)], before=stream.correlator)
    assert stream.match(2)
    changed = correlation(COUNT.replace("gte: 3", "gte: 4"))
    stream.correlator = Correlator([changed], before=stream.correlator)
    assert not stream.match(3), "a changed rule begins anew"


def test_all_groups_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "MAX_HELD", 500)
    for kind in (COUNT, ABSENT):
        stream = Stream(correlation(kind.replace("1m", "30d")))
        for n in range(3000):
            stream.match(n, u=f"user{n % 30}")
        (state,) = stream.correlator.windows
        assert state.held == sum(len(group.entries) for group in state.groups.values()) <= 500
        assert state.forgotten > 0
