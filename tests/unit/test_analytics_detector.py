"""Detector l3-analytics: what a finding says, when it is said again, and what it remembers."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tests.unit.analytics_events import START, conn, deliver, findings, lookup, named

from dsmil.analytics.raising import Said, raised
from dsmil.analytics.signal import Signal
from dsmil.detections.analytics import MAX_ANSWERED, Analytics
from dsmil.events.handling import Drop, Publish, Remembering, Telling
from dsmil.events.model import Event, Severity
from dsmil.fusion.explain import explain
from dsmil.testing.factories import make_event


def mixed(number: int, seed: int = 1) -> list[Event]:
    """Return a beacon, a tunnel, a scan and ordinary traffic, in order of time."""
    chance = random.Random(seed)
    events = [conn(60.0 * n, uid=f"B{n}") for n in range(number // 6)]
    events += [named("ssl", 60.0 * n + 1, "c2.example", uid=f"B{n}") for n in range(number // 6)]
    events += [lookup(30.0 * n, f"{chance.getrandbits(160):x}.t.example", kind="TXT") for n in range(number // 6)]
    events += [conn(9.0 * n, src="10.0.0.8", dst=f"10.0.1.{n % 250}", conn_state="S0") for n in range(number // 6)]
    while len(events) < number:
        at, dst = chance.uniform(0, 60.0 * number / 6), f"198.51.100.{chance.randrange(40)}"
        events.append(
            conn(at, src=f"10.0.0.{chance.randrange(20, 60)}", dst=dst, orig_bytes=chance.randrange(9000))
        )
    return sorted(events, key=lambda event: event.ts)


def test_what_gives_no_finding_is_counted_as_such() -> None:
    events = [conn(0), make_event({"x": 1}, source="a feed of one's own")]
    assert Analytics().handle(deliver(events)) == [Drop("not_by_itself")] * 2


def test_same_input_same_findings_however_it_is_cut_into_batches() -> None:
    events = mixed(1800)
    whole, pieces = Analytics(), Analytics()
    together = whole.handle(deliver(events))
    one_by_one = [outcome for event in events for outcome in pieces.handle(deliver([event]))]
    assert together == one_by_one
    assert sum(isinstance(one, Publish) for one in together) >= 4
    assert whole.memory() == pieces.memory()


def test_an_event_that_is_handled_again_is_answered_the_same_and_not_counted_again() -> None:
    detector, events = Analytics(), mixed(1200)
    first = detector.handle(deliver(events))
    before = detector.memory()
    assert detector.handle(deliver(events)) == first
    assert detector.memory() == before


def test_memory_goes_on_where_it_was() -> None:
    events = mixed(1800)
    through, before = Analytics(), Analytics()
    all_at_once = through.handle(deliver(events))
    first = before.handle(deliver(events[:900]))
    after = Analytics()
    assert isinstance(after, Remembering)
    after.recall(before.memory())
    assert after.memory() == before.memory()
    assert [*first, *after.handle(deliver(events[900:]))] == all_at_once
    assert after.memory() == through.memory()


@pytest.mark.parametrize("memory", [b"", b"nonsense", b"\xc0", b"\x81\xa7version\x02", b"\x81\xa7version\x01"])
def test_what_is_no_memory_is_refused_and_nothing_is_taken_up(memory: bytes) -> None:
    detector = Analytics()
    detector.handle(deliver(mixed(300)))
    before = detector.memory()
    with pytest.raises(ValueError, match="memory"):
        detector.recall(memory)
    assert detector.memory() == before


def test_memory_without_an_analytic_that_came_later_is_taken_up() -> None:
    old, new = Analytics(), Analytics()
    del old.scorers["rate"]
    old.handle(deliver(mixed(600)))
    new.recall(old.memory())
    assert new.scorers["beacon"].state == old.scorers["beacon"].state


def test_answers_are_bounded_and_it_tells_about_itself() -> None:
    detector = Analytics()
    detector.handle(deliver([conn(n, orig_bytes=n) for n in range(MAX_ANSWERED + 500)]))
    assert len(detector._answered) <= MAX_ANSWERED
    assert isinstance(detector, Telling)
    assert detector.notes()["analytics"] == list(detector.scorers)
    assert detector.checks() == {}


# When it is said again


def signal(score: float, measure: float = 10, ts: float = START, severity: Severity = Severity.MEDIUM) -> Signal:
    return Signal(
        key="k", ts=ts, score=score, measure=measure, says="", severity=severity, features=(), entities=()
    )


@pytest.mark.parametrize(
    ("worse", "said"),
    [
        (signal(0.8), False),
        (signal(0.89), False),
        (signal(0.9), True),
        (signal(0.8, measure=39), False),
        (signal(0.8, measure=40), True),
        (signal(0.8, severity=Severity.HIGH), True),
        (signal(0.5, severity=Severity.LOW), False),
        (signal(0.8, ts=START + 86_401), True),
    ],
    ids=["same", "a little", "half the doubt", "more", "four times", "severity", "better", "a new matter"],
)
def test_only_what_is_notably_worse_is_said_again(worse: Signal, said: bool) -> None:  # noqa: FBT001 - a parameter
    table: dict[str, Said] = {}
    first = raised(table, signal(0.8), "beacon", 86_400)
    assert first is not None
    assert first.revision == 1
    assert (raised(table, worse, "beacon", 86_400) is not None) is said


def test_a_matter_that_goes_on_is_not_a_new_one_each_day() -> None:
    table: dict[str, Said] = {}
    said = [raised(table, signal(0.8, ts=START + 3600.0 * n), "beacon", 86_400) for n in range(100)]
    assert [one is not None for one in said] == [True, *([False] * 99)]


# dsmil why


def test_why_names_each_feature_with_value_and_weight() -> None:
    finding = findings(Analytics(), [conn(300.0 * n) for n in range(100)], "beacon")[-1]
    row: dict[str, Any] = {
        "payload": finding.payload,
        "score": finding.score,
        "source_device": 16,
        "source_layer": 3,
        "original_severity": "HIGH",
        "severity": "HIGH",
        "escalation": [],
        "signals": {},
        "shrink_metrics": None,
        "stream_id": "1-0",
        "event_id": finding.event_id,
        "context": {"evidence": list(finding.evidence)},
    }
    (detection,) = (step for step in explain(row, []) if step.stage == "detection")
    assert "rule beacon revision 1: Regular check-ins at one destination" in detection.text
    assert detection.detail["says"].startswith("10.0.0.7 checks in at 203.0.113.9:443 every 300 s")
    assert detection.detail["feature interval"] == "1.0, counts 1.0: median 300 s, deviation 0 s"
    assert detection.detail["score"] == finding.score
