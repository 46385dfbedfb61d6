"""Device 29: the decayed series, its levels, and every item of them."""

from __future__ import annotations

import pytest
from tests.property.correlating import feed, finding

from dsmil.correlation import risk as module
from dsmil.correlation.risk import HALF_LIFE_S, MOST_ITEMS, Threat, level_of, series
from dsmil.events.model import Event, Severity

DAY = HALF_LIFE_S


def hit(n: int, severity: str = "CRITICAL", ts: float | None = None, **fields: object) -> Event:
    return finding(n, "host:a", severity=severity, ts=float(n if ts is None else ts), **fields)  # type: ignore[arg-type]


def test_the_series_is_the_published_one() -> None:
    first, second, third = series([1.0] * 3)
    assert (second / first, third / first) == pytest.approx((2**-1.5, 3**-1.5))
    assert sum(series([1.0] * MOST_ITEMS)) == pytest.approx(100)
    assert sum(series([0.21] * MOST_ITEMS)) == pytest.approx(21), "any number of LOW ones is no MEDIUM"


def test_levels_have_hysteresis() -> None:
    assert [level_of(risk) for risk in (0, 19.9, 20, 40, 70, 90, 100)] == [0, 0, 1, 2, 3, 4, 4]
    assert [level_of(risk, held=2) for risk in (39, 30, 29.9, 10, 9.9)] == [2, 2, 1, 1, 0]


def test_each_higher_level_is_told_once_with_all_its_items() -> None:
    handler = Threat()
    told = feed(handler, [hit(n, ts=n / 100) for n in range(200)])
    assert [one.severity for one in told] == [Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL]
    for revision in told:
        risk = revision.payload["risk"]
        assert sum(item["adds"] for item in revision.payload["items"]) == pytest.approx(risk["value"], abs=0.05)
        assert risk["delta"] == pytest.approx(risk["value"] - risk["before"], abs=0.002)
        assert risk["value"] >= risk["threshold"] > risk["before"]
        assert revision.evidence == tuple(item["event_id"] for item in revision.payload["items"])
    assert len(told[-1].payload["items"]) == MOST_ITEMS or told[-1].payload["risk"]["left_out"] == 0
    assert len({one.correlation_id for one in told}) == 1
    assert [one.payload["previous"] for one in told] == ["", *(one.event_id for one in told[:-1])]


def test_risk_decays_and_a_level_that_was_lost_is_told_again() -> None:
    handler = Threat()
    (first,) = feed(handler, [hit(1)])
    assert feed(handler, [hit(2, "LOW", ts=DAY / 2)]) == [], "below the level, not well below"
    again = feed(handler, [hit(3, ts=10 * DAY)])
    assert [one.severity for one in again] == [Severity.MEDIUM]
    assert again[0].correlation_id != first.correlation_id, "another episode"
    ages = [round(item["age_s"]) for item in again[0].payload["items"]]
    assert ages[0] == 0
    assert again[0].payload["items"][1]["weight"] < 0.01


def test_what_is_less_sure_weighs_less() -> None:
    assert feed(Threat(), [hit(1, score=0.4)]) == []
    assert len(feed(Threat(), [hit(1, score=1.0)])) == 1


def test_the_heaviest_items_are_kept_in_whatever_order_they_came() -> None:
    late = [hit(n, "LOW", ts=5.0) for n in range(MOST_ITEMS + 20)]
    heavy = [hit(900 + n, "HIGH", ts=5.0) for n in range(10)]
    one, other = Threat(), Threat()
    feed(one, [*late, *heavy])
    feed(other, [*heavy, *late])
    (_, kept), (_, same) = one._risks.popitem(), other._risks.popitem()
    assert kept.items == same.items
    assert [item.severity for item in kept.items[:11]] == ["HIGH"] * 10 + ["LOW"]
    assert kept.beyond == same.beyond == 30


def test_state_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTITIES", 10)
    handler = Threat()
    feed(handler, [finding(n, f"host:h{n}", ts=n) for n in range(100)])
    assert handler.notes() == {"entities": 10, "entities_forgotten": 90}
