"""Windows of correlation rules that were kept and taken up again go on as if nothing had happened."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dsmil.sigma.correlator import Correlator
from dsmil.sigma.loading import about, make_correlation
from dsmil.sigma.memory import kept, take_up
from dsmil.sigma.view import View

RULES = [
    "{type: event_count, rules: [a], group-by: [u], timespan: 1m, condition: {gte: 3}}",
    "{type: value_count, rules: [a], group-by: [u], timespan: 1m, condition: {field: ip, gte: 2}}",
    "{type: event_count, rules: [b], group-by: [u], timespan: 30s, condition: {lt: 2}}",
    "{type: temporal_ordered, rules: [a, b], group-by: [u], timespan: 1m}",
]
MATCHES = st.lists(
    st.tuples(
        st.integers(0, 200).map(float), st.sampled_from("ab"), st.sampled_from(["kim", "alex"]), st.integers(1, 3)
    ),
    max_size=40,
)


def correlator() -> Correlator:
    texts = [{"title": f"C{n}", "name": f"c{n}", "correlation": yaml.safe_load(t)} for n, t in enumerate(RULES)]
    return Correlator([make_correlation(text, f"c{n}.yml") for n, text in enumerate(texts)])


def feed(state: Correlator, matches: list[tuple[float, str, str, int]], first: int) -> list[Any]:
    found: list[Any] = []
    for n, (ts, name, user, ip) in enumerate(matches, start=first):
        found += state.advance(ts)
        rule = about({"title": name, "id": f"id-{name}", "name": name}, f"{name}.yml")
        found += state.add(rule, View({"u": user, "ip": str(ip)}), f"e{n}", ts)
    return found


@settings(max_examples=40)
@given(matches=MATCHES, data=st.data())
def test_a_restart_anywhere_changes_nothing(
    matches: list[tuple[float, str, str, int]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(matches)))
    whole, first, second = correlator(), correlator(), correlator()
    wanted = feed(whole, matches, 0)
    found = feed(first, matches[:cut], 0)
    take_up(second, kept(first))
    found += feed(second, matches[cut:], cut)
    assert found == wanted
    assert kept(second) == kept(whole)


@pytest.mark.parametrize("memory", [b"", b"x", b"\x90"])
def test_what_is_no_memory_is_refused(memory: bytes) -> None:
    with pytest.raises(ValueError, match="no windows"):
        take_up(correlator(), memory)
