"""What deduplication rules would make of findings that are there: nothing is changed by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from dsmil.correlation._dedupe import DEFAULT, Deduper
from dsmil.correlation._scores import rule_of, when

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dsmil.correlation._dedupe import DedupeRule
    from dsmil.events.model import Event

_MOST_SAMPLES: Final = 3


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was found several times."""

    #: Fields of the rule's key, with their values.
    key: str
    count: int
    #: Name of the Sigma rule, signature ... of its first finding, and that finding's id.
    name: str
    event_id: str
    severity: str


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule makes of the findings."""

    name: str
    key: tuple[str, ...]
    window: str
    #: Findings that fell under it, and how many things they are.
    findings: int
    things: int
    #: Findings it is about that lack a field of the key: the next rule takes them.
    lacking: int
    #: What is wrong with it; empty when nothing is.
    problem: str
    #: The most frequent things.
    samples: tuple[Sample, ...]


class _Thing:
    def __init__(self, key: str, event: Event) -> None:
        self.key, self.first, self.count = key, event, 0
        self.last, self.severity = when(event), event.severity


def preview(rules: Sequence[DedupeRule], events: Iterable[Event]) -> list[Preview]:
    """Return what each rule, and the default, makes of findings in the order of their times."""
    deduper = Deduper(rules)
    things: dict[str, list[_Thing]] = {rule.name: [] for rule in deduper.rules}
    about = dict.fromkeys(things, 0)
    lacking = dict.fromkeys(things, 0)
    open_things: dict[str, _Thing] = {}
    for event in events:
        for one in deduper.rules:
            if one.is_about(event):
                about[one.name] += 1
                lacking[one.name] += one.key_of(event) is None
        rule, key = deduper.key(event)
        thing = open_things.get(key)
        if thing is None or when(event) > thing.last + rule.window_s:
            thing = open_things[key] = _Thing(key, event)
            things[rule.name].append(thing)
        thing.count += 1
        thing.last = max(thing.last, when(event))
        thing.severity = max(thing.severity, event.severity)
    return [_told(rule, things[rule.name], about[rule.name], lacking[rule.name]) for rule in deduper.rules]


def _told(rule: DedupeRule, things: list[_Thing], about: int, lacking: int) -> Preview:
    most = sorted(things, key=lambda thing: -thing.count)[:_MOST_SAMPLES]
    findings = sum(thing.count for thing in things)
    return Preview(
        name=rule.name,
        key=rule.key,
        window=rule.window,
        findings=findings,
        things=len(things),
        lacking=lacking,
        problem=_problem(rule, findings, about, lacking),
        samples=tuple(
            Sample(
                key=" ".join(thing.key.split("\x1f")[2:]),
                count=thing.count,
                name=rule_of(thing.first)[2],
                event_id=thing.first.event_id,
                severity=thing.severity,
            )
            for thing in most
        ),
    )


def _problem(rule: DedupeRule, findings: int, about: int, lacking: int) -> str:
    if rule.name == DEFAULT.name or findings:
        return ""
    if not about:
        return "never used: no finding is of its detector, source or rule"
    if lacking == about:
        return "never used: each finding it is about lacks a field of its key"
    return "never used: rules before it take every finding it is about"
