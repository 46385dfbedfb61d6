"""Values seen for the first time, and rates that change: of any feed, by what is usual there."""

from __future__ import annotations

import random

import pytest
from tests.unit.analytics_events import START, feature, findings, record

from dsmil.analytics.scorers import rarity, rate
from dsmil.analytics.scorers.rarity import Rarity
from dsmil.detections.analytics import Analytics
from dsmil.events.model import Entity, Event

HOUR = 3600.0


def login(at: float, user: str, n: int = 0) -> Event:
    return record({"n": n, "user": user}, START + at, source="windows", entities=(Entity("user", user, "src"),))


def _office(days: float, users: int = 10) -> list[Event]:
    return [login(60.0 * n, f"user{n % users}", n) for n in range(int(days * 1440))]


def test_a_user_whom_a_feed_never_named_is_news() -> None:
    late = 2 * 24 * HOUR
    found = findings(Analytics(), [*_office(2), login(late, "mallory")], "first-seen")
    (finding,) = found
    assert finding.payload["matched"] == {"src user": "mallory"}
    assert finding.entities == (Entity("user", "mallory", "src"),)
    assert finding.severity == "LOW"
    assert finding.evidence == (login(late, "mallory").event_id,)
    assert feature(finding, "observations")["value"] == 2880


def test_in_the_first_day_everything_is_new() -> None:
    assert findings(Analytics(), [*_office(0.5), login(12 * HOUR, "mallory")], "first-seen") == []


def test_where_new_values_are_usual_they_are_no_news() -> None:
    events = [login(60.0 * n, f"guest{n // 5}", n) for n in range(3000)]
    assert findings(Analytics(), events, "first-seen") == []


def test_a_wave_of_new_values_is_said_four_times_a_day_at_most() -> None:
    wave = [login(48 * HOUR + n, f"new{n}") for n in range(100)]
    assert 1 <= len(findings(Analytics(), [*_office(2), *wave], "first-seen")) <= 4


def test_populations_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rarity, "MAX_VALUES", 50)
    monkeypatch.setattr(rarity, "MAX_CLASSES", 10)
    detector = Analytics()
    findings(detector, [login(n, f"user{n}") for n in range(200)])
    findings(
        detector, [record({}, START + n, source=f"feed{n}", entities=(Entity("ip", "x"),)) for n in range(50)]
    )
    scorer = detector.scorers["first-seen"]
    assert isinstance(scorer, Rarity)
    assert len(scorer.state.classes) <= 10
    assert scorer.state.kept == sum(len(one.counts) for one in scorer.state.classes.values()) <= 500


def _steady(minutes: int, per_minute: float, seed: int = 1) -> list[Event]:
    chance, at = random.Random(seed), 0.0
    events: list[Event] = []
    while at < minutes * 60:
        events.append(login(at, f"user{chance.randrange(5)}", len(events)))
        at += chance.expovariate(per_minute / 60)
    return events


def test_a_steady_rate_says_nothing() -> None:
    assert findings(Analytics(), _steady(300, 8), "rate") == []


def test_a_surge_is_said_within_minutes_and_not_again_each_minute() -> None:
    surge = [login(120 * 60 + n, "user1", 10_000 + n) for n in range(1200)]
    found = findings(Analytics(), [*_steady(120, 10), *surge], "rate")
    assert 1 <= len(found) <= 5
    assert found[0].payload["matched"] == {"series": "windows records", "way": "above"}
    assert found[0].ts <= START + 125 * 60
    assert feature(found[0], "usual_per_minute")["value"] == pytest.approx(10, abs=3)
    assert found[0].source_device == 21


def test_many_different_values_are_said_though_the_rate_stays() -> None:
    spray = [login(120 * 60 + 1.5 * n, f"victim{n}", n) for n in range(400)]
    found = findings(Analytics(), [*_steady(120, 40), *spray], "rate")
    assert found[0].payload["matched"] == {"series": "windows src user", "way": "above"}


def test_a_rate_that_falls_is_said_by_the_next_record() -> None:
    events = [*_steady(120, 60), login(140 * 60, "user1", 1)]
    found = findings(Analytics(), events, "rate")
    assert {"series": "windows records", "way": "below"} in [one.payload["matched"] for one in found]


def test_a_gap_of_hours_and_a_file_of_last_year_begin_anew() -> None:
    events = [
        *_steady(120, 60),
        login(1000 * 60, "user1"),
        login(-300 * 86_400, "user1"),
        login(1001 * 60, "user1", 2),
    ]
    assert findings(Analytics(), events, "rate") == []


def test_series_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "MAX_SERIES", 16)
    detector = Analytics()
    findings(detector, [record({"n": n}, START + n, source=f"feed{n}") for n in range(100)])
    scorer = detector.scorers["rate"]
    assert isinstance(scorer, rate.Rate)
    assert len(scorer.state.series) <= 16
