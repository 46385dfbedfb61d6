"""Correlators: same input, same output, whatever comes twice and wherever a restart falls; nothing is lost."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.correlating import digest, feed, finding

from dsmil.correlation._dedupe import Deduper
from dsmil.correlation._group import Group, Item, Member
from dsmil.correlation._scores import noisy_or
from dsmil.correlation.fusion import Fusion
from dsmil.correlation.risk import Threat
from dsmil.correlation.tactics import Tactics
from dsmil.events.model import Event, Severity

HANDLERS: dict[str, Any] = {"fusion": lambda: Fusion(Deduper()), "tactics": Tactics, "risk": Threat}
ENTITIES = ["host:a", "host:b", "host:c", "user:kim", "user:alex", "ip:192.0.2.1", "port:443"]
TECHNIQUES = ["T1190", "T1059", "T1078", "T1046", "T1048"]
ROW = st.tuples(
    st.lists(st.sampled_from(ENTITIES), max_size=3, unique=True),
    st.floats(0, 20_000, allow_nan=False),
    st.sampled_from(list(Severity)),
    st.sampled_from(["r1", "r2", "r3"]),
    st.lists(st.sampled_from(TECHNIQUES), max_size=2, unique=True),
    st.none() | st.floats(0, 1),
)


def events(rows: list[Any]) -> list[Event]:
    return [
        finding(n, *named, ts=round(ts, 3), severity=severity, rule=rule, techniques=techniques, score=score)
        for n, (named, ts, severity, rule, techniques, score) in enumerate(rows)
    ]


@pytest.mark.parametrize("kind", HANDLERS)
@settings(max_examples=40)
@given(rows=st.lists(ROW, max_size=50), data=st.data())
def test_restart_and_repeats_change_nothing(kind: str, rows: list[Any], data: st.DataObject) -> None:
    stream = events(rows)
    cut = data.draw(st.integers(0, len(stream)))
    whole, first, second = HANDLERS[kind](), HANDLERS[kind](), HANDLERS[kind]()
    wanted = feed(whole, stream)
    found = feed(first, stream[:cut])
    second.recall(first.memory())
    repeated = data.draw(st.lists(st.sampled_from(stream[:cut]), max_size=5)) if cut else []
    found += feed(second, [*repeated, *stream[cut:]])
    assert digest(found) == digest(wanted)
    assert second.memory() == whole.memory(), "equal states give equal bytes"
    assert len({one.event_id for one in found}) == len(found)


@settings(max_examples=60)
@given(rows=st.lists(ROW, max_size=60))
def test_no_member_is_lost_and_severity_is_never_below_one(rows: list[Any]) -> None:
    stream = events(rows)
    by_id = {event.event_id: event for event in stream}
    handler = Fusion(Deduper())
    revisions = feed(handler, stream)
    named = [one["event_id"] for revision in revisions for one in revision.payload["members"]]
    assert len(named) == len(set(named)), "each is named once"
    held = [one.event_id for group in handler._graph.groups.values() for one in group.unlisted]
    grouped = {event.event_id for event in stream if any(e.type != "port" for e in event.entities)}
    untold = grouped - set(named) - set(held)
    assert all(_alone(handler, one) for one in untold), "only a finding whose group ended without a second one"
    worst: dict[str, int] = {}
    for revision in revisions:
        ident = revision.correlation_id
        for one in revision.payload["members"]:
            worst[ident] = max(worst.get(ident, 0), by_id[one["event_id"]].severity.rank)
        for one in revision.payload["group"]["merged"]:
            worst[ident] = max(worst.get(ident, 0), worst[one["correlation_id"]])
        assert revision.severity.rank >= worst.get(ident, 0)
        assert 0 <= (revision.score or 0) < 1


def _alone(handler: Fusion, event_id: str) -> bool:
    return not any(
        event_id == item.event_id for group in handler._graph.groups.values() for item in group.items.values()
    )


@given(scores=st.lists(st.floats(0, 0.99), max_size=20), more=st.floats(0, 0.99))
def test_noisy_or_is_bounded_grows_and_knows_no_order(scores: list[float], more: float) -> None:
    both = noisy_or(scores)
    assert max(scores, default=0.0) - 1e-6 <= both <= 1
    assert noisy_or([*scores, more]) >= both - 1e-6
    assert noisy_or(reversed(scores)) == both


GROUP = st.builds(
    lambda *facts: _group(*facts),  # noqa: PLW0108 - it is written below
    st.integers(0, 10**6),
    st.integers(0, 100),
    st.integers(0, 100),
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4), st.integers(1, 9)), min_size=1, max_size=4),
)


def _group(n: int, start: float, length: float, severity: int, kinds: list[tuple[str, int, int]]) -> Group:
    group = Group(
        id=f"g{n}-{start}", compartment="", start=start, end=start + length, ingest_ts=0.0, severity=severity
    )
    for at, (key, worst, count) in enumerate(kinds):
        group.put(key, Item(key, key, "d", worst, count, start, start + length, f"{n}-{at}"), 0.0)
        group.members += count
        group.scores[key] = worst / 5
        group.entities["host", key] = None
        group.unlisted.append(Member(f"{n}-{at}", start, worst, key))
    return group


def _said(group: Group) -> Any:
    items = {key: (one.count, one.severity, one.first, one.last) for key, one in group.items.items()}
    members = sorted(one.event_id for one in group.unlisted)
    whole = (group.members, group.severity, group.start, group.end, group.score)
    return whole, items, sorted(group.entities), members


def _joined(*groups: Group) -> Group:
    first, *others = copy.deepcopy(groups)
    for other in others:
        first.swallow(other)
    return first


@given(a=GROUP, b=GROUP, c=GROUP)
def test_becoming_one_is_lossless_and_in_any_order(a: Group, b: Group, c: Group) -> None:
    left, right = _joined(_joined(a, b), c), _joined(a, _joined(b, c))
    assert _said(left) == _said(right) == _said(_joined(c, b, a))
    assert left.members == a.members + b.members + c.members
    assert left.severity == max(a.severity, b.severity, c.severity)
