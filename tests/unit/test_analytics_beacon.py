"""Beacons: the formula against hand-made numbers, whose check-in a connection is, and what is said when."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.unit.analytics_events import START, conn, feature, findings, named

from dsmil.analytics import beat
from dsmil.analytics.checkins import MAX_CHECKINS, CheckIns
from dsmil.analytics.scorers import beacon as module
from dsmil.analytics.scorers.beacon import Beacon
from dsmil.detections.analytics import Analytics
from dsmil.events.model import Entity
from dsmil.testing.feeds import read_file


def scores(detector: Analytics, fewest: int = 4) -> dict[str, float]:
    beacon = detector.scorers["beacon"]
    assert isinstance(beacon, Beacon)
    return {signal.key: signal.score for signal in beacon.scores(fewest)}


def test_perfect_regularity_is_one_and_the_formula_is_the_published_one() -> None:
    assert beat.regularity([60.0] * 9) == 1.0
    # Quartiles 1.5, 3, 4.5: no skewness; median deviation 1.5 of 3... of [0, 1, 1, 2, 2, 3, 3]: 2.
    assert beat.regularity([0, 1, 2, 3, 4, 5, 6]) == pytest.approx((1 + 1 - 2 / 3) / 2)
    # Quartiles 2, 3, 8: skewness (2 + 8 - 6) / 6; deviations 0, 1, 1, 5, 6.
    assert beat.regularity([2, 2, 3, 8, 9]) == pytest.approx((1 - 4 / 6 + 1 - 1 / 3) / 2)


def test_a_day_of_check_ins_comes_to_one_and_fewer_than_four_to_nothing() -> None:
    seconds = list(range(0, 86_400, 300))
    full = beat.measure(seconds, [300] * len(seconds), [12] * 24, 1.0)
    assert full is not None
    assert (full.score, full.every_s, full.give_s) == (1.0, 300, 0)
    assert beat.measure(seconds[:3], [300] * 3, [0] * 23 + [3], 0.1) is None


def test_a_beacon_that_rests_every_other_hour_has_two_heights() -> None:
    bins = [12, 4] * 12
    measured = beat.measure(list(range(0, 86_400, 450)), [], bins, 1.0)
    assert measured is not None
    assert measured.histogram == 1.0
    assert measured.size is None


def test_a_regular_host_is_said_early_and_again_when_it_is_worse() -> None:
    found = findings(Analytics(), [conn(300.0 * n) for n in range(288)], "beacon")
    assert [one.payload["revision"] for one in found] == list(range(1, len(found) + 1))
    assert 2 <= len(found) <= 6, "a day of it is no storm"
    assert {one.correlation_id for one in found} == {found[0].correlation_id}
    assert len({one.event_id for one in found}) == len(found)
    first, last = found[0], found[-1]
    assert first.ts <= START + 2 * 3600
    assert (first.severity, last.severity) == ("MEDIUM", "HIGH")
    assert last.score is not None
    assert last.score >= 0.95
    assert (last.source_device, last.techniques) == (16, ("T1071",))
    assert last.entities == (
        Entity("ip", "10.0.0.7", "src"),
        Entity("ip", "203.0.113.9", "dest"),
        Entity("port", "443", "dest"),
    )
    assert 12 <= len(last.evidence) <= 50
    assert feature(last, "interval")["score"] == 1.0
    assert "every 300 s" in last.payload["says"]
    assert last.payload["matched"] == {"src": "10.0.0.7", "dest": "203.0.113.9:443"}


def test_what_comes_in_regularly_names_no_technique() -> None:
    found = findings(Analytics(), [conn(300.0 * n, src="8.8.8.8", dst="10.0.0.7", port=22) for n in range(60)])
    assert {one.techniques for one in found} == {()}


def test_people_are_no_beacon() -> None:
    chance = random.Random(1)
    at, events = 0.0, []
    for _ in range(400):
        at += chance.expovariate(1 / 200)
        events.append(conn(at, orig_bytes=int(chance.lognormvariate(6, 1))))
    detector = Analytics()
    assert findings(detector, events, "beacon") == []
    assert max(scores(detector).values()) < 0.5


def test_services_that_are_regular_by_design_are_left_out() -> None:
    events = [conn(60.0 * n, port=123) for n in range(200)]
    events += [conn(60.0 * n, dst="224.0.0.251", port=80) for n in range(200)]
    detector = Analytics()
    assert findings(detector, events, "beacon") == []
    assert scores(detector) == {}


# Whose check-in it is


def test_behind_a_proxy_the_destination_is_whom_it_was_asked_for_in_any_order_of_logs() -> None:
    conns = [conn(300.0 * n, port=3128, service="http,ssl", uid=f"C{n}") for n in range(60)]
    asked = [named("http", 300.0 * n + 0.2, "Evil.example:443", port=3128, uid=f"C{n}") for n in range(60)]
    inside = [named("ssl", 300.0 * n + 0.9, "evil.example", port=3128, uid=f"C{n}") for n in range(60)]
    by_file = Analytics()
    findings(by_file, [*conns, *asked, *inside])
    live = Analytics()
    findings(live, [one for triple in zip(asked, inside, conns, strict=True) for one in triple])
    assert list(scores(by_file)) == ["10.0.0.7 > evil.example"] == list(scores(live))
    assert scores(by_file) == pytest.approx(scores(live), abs=0.01)
    assert scores(live)["10.0.0.7 > evil.example"] > 0.85
    (finding, *_) = findings(Analytics(), [*conns, *asked], "beacon")
    assert Entity("domain", "evil.example", "dest") in finding.entities


def test_a_connection_that_gets_its_name_later_is_counted_for_the_name_alone() -> None:
    events = [conn(60.0 * n, uid=f"C{n}") for n in range(30)]
    detector = Analytics()
    findings(detector, events)
    assert list(scores(detector)) == ["10.0.0.7 > 203.0.113.9:443"]
    findings(detector, [named("ssl", 60.0 * n + 0.1, "c2.example", uid=f"C{n}") for n in range(30)])
    assert list(scores(detector)) == ["10.0.0.7 > c2.example"]
    beacon = detector.scorers["beacon"]
    assert isinstance(beacon, Beacon)
    assert beacon.state.kept == sum(len(pair.seconds) for pair in beacon.state.pairs.values()) == 30


def test_a_connection_that_stays_open_is_one_check_in_however_often_it_is_reported() -> None:
    events = [conn(0, _path="open_conn", uid="C1", orig_bytes=100 * n) for n in range(1, 50)]
    detector = Analytics()
    findings(detector, events)
    beacon = detector.scorers["beacon"]
    assert isinstance(beacon, Beacon)
    (pair,) = beacon.state.pairs.values()
    assert (pair.seconds, pair.sizes) == ([int(START)], [4900])


def test_a_destination_of_everybody_scores_less() -> None:
    mine = [conn(300.0 * n) for n in range(100)]
    alone, common = Analytics(), Analytics()
    findings(alone, mine)
    findings(common, [*(conn(n, src=f"10.0.1.{n}") for n in range(12)), *mine])
    key = "10.0.0.7 > 203.0.113.9:443"
    assert scores(common)[key] == pytest.approx(scores(alone)[key] - 0.15)


# Memory


def test_check_ins_are_bounded_and_old_ones_forgotten() -> None:
    pair = CheckIns("a", "b")
    for second in range(0, 200_000, 10):
        pair.add(second, 1, f"e{second}")
    assert len(pair.seconds) == len(pair.sizes) == MAX_CHECKINS
    assert len(pair.quarters) <= 98
    assert len(pair.evidence) == 50
    assert not pair.add(1, 1, "late"), "a day late"
    verdict = pair.verdict(12)
    assert verdict is not None
    assert verdict.window_s == 86_400
    assert verdict.score == pytest.approx(1.0, abs=0.01)
    assert verdict.number == pytest.approx(8640, rel=0.02), "all of the day are counted, though not all are kept"


def test_pairs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PAIRS", 100)
    monkeypatch.setattr(module, "MAX_UIDS", 50)
    detector = Analytics()
    findings(detector, [conn(n, dst=f"203.0.{n // 200}.{n % 200}", uid=f"C{n}") for n in range(1000)])
    beacon = detector.scorers["beacon"]
    assert isinstance(beacon, Beacon)
    assert len(beacon.state.pairs) <= 100
    assert len(beacon.state.uids) <= 50
    assert len(beacon.state.visitors) <= 100
    assert beacon.state.kept == sum(len(pair.seconds) for pair in beacon.state.pairs.values())


# Public logs


def test_the_public_capture_behind_a_proxy(fixtures: Path) -> None:
    from dsmil.sources.zeek_tsv import ZeekTsv

    folder = fixtures / "zeek_activecm_rita" / "test_data" / "proxy"
    detector = Analytics()
    for name in ("conn", "http", "ssl"):
        findings(detector, read_file(ZeekTsv(), folder / f"{name}.log.gz").events)
    found = scores(detector)
    assert found.pop("10.136.0.18 > www.honestimnotevil.com") >= 0.9
    assert found
    assert max(found.values()) < 0.7
