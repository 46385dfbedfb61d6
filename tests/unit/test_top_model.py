"""``dsmil top``: rates, curves and lists from one glance after another."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmil.cli._top_model import CURVE_POINTS, CURVE_S, KEPT_EVENTS, Curve, Model, alarm
from dsmil.services.glance import Glance

STORE = {
    "path": "/store",
    "place": "here",
    "rows": {"soc": 0, "raw": 0},
    "file_bytes": 0,
    "used_bytes": 1000,
    "limit_bytes": 2000,
    "tmpfs_bytes": None,
    "devices": [],
    "shrink": None,
}


def stream(added: int, lag: int | None = 0, pending: int = 0) -> dict[str, Any]:
    group = {"name": "g", "lag": lag, "pending": pending}
    return {"name": "L3_IN", "length": added, "entries_added": added, "groups": [group]}


def glance(clock: float, **given: Any) -> Glance:
    broker = {"address": "unix:///b", "dead_letters": 0, "letter": None, "streams": given.get("streams", [])}
    return Glance(
        at=1_000_000 + clock,
        clock=clock,
        instance=None,
        broker=given.get("broker", broker),
        store=given.get("store", STORE),
        arrived=given.get("arrived", {}),
        anew=given.get("anew", False),
    )


def soc(number: int, severity: Any = "HIGH", original: Any = "HIGH", **given: Any) -> dict[str, Any]:
    row = {"id": number, "ts": 1.0, "event_id": f"e{number}", "severity": severity, "original_severity": original}
    return row | {"category": "NETWORK", "source_device": 16, "signals": None, "context": None} | given


def test_rates_come_from_differences() -> None:
    model = Model()
    assert model.take(glance(0, streams=[stream(100, lag=40, pending=10)])).streams[0].in_per_s is None
    shown = model.take(glance(2, streams=[stream(120, lag=20, pending=0)])).streams[0]
    assert shown.in_per_s == 10
    assert shown.groups[0].out_per_s == 25  # 50 settled before, 100 now


def test_an_unknown_lag_gives_no_rate() -> None:
    model = Model()
    model.take(glance(0, streams=[stream(100, lag=None)]))
    group = model.take(glance(1, streams=[stream(110, lag=None)])).streams[0].groups[0]
    assert (group.lag, group.out_per_s, group.curve) == (None, None, [])


def test_a_flushed_stream_begins_anew() -> None:
    model = Model()
    model.take(glance(0, streams=[stream(100)]))
    assert model.take(glance(1, streams=[stream(3)])).streams[0].in_per_s is None
    assert model.take(glance(2, streams=[stream(8)])).streams[0].in_per_s == 5


def test_a_broker_that_was_away_leaves_no_wrong_rate() -> None:
    model = Model()
    model.take(glance(0, streams=[stream(100)]))
    gone = model.take(glance(1, broker={"address": "unix:///b", "error": "away"}))
    assert (gone.streams, gone.dead_letters["count"]) == ([], None)
    assert model.take(glance(4, streams=[stream(140)])).streams[0].in_per_s == 10


def test_parts_by_their_heartbeats() -> None:
    def device(beat: float, processed: Any, **given: Any) -> dict[str, Any]:
        told = {"service": "router", "processed": processed, "dead": 2, "problems": {"broker": "away"}}
        row = {"device_id": 52, "name": "n", "status": "ERROR", "alive": True, "last_heartbeat": beat}
        return row | {"memory_mb": 40.0, "metadata": told} | given

    model = Model()
    model.take(glance(0, store=STORE | {"devices": [device(1_000_000.0, 10)]}))
    part = model.take(glance(7, store=STORE | {"devices": [device(1_000_005.0, 60)]})).parts[0]
    assert (part.per_s, part.age_s, part.dead, part.problems) == (10, 2, 2, "broker: away")
    part = model.take(glance(8, store=STORE | {"devices": [device(1_000_005.0, 60)]})).parts[0]
    assert part.per_s == 10, "between two heartbeats the rate stays"
    odd = STORE | {"devices": [device(1_000_006.0, "x", metadata="no object", alive=False)]}
    part = model.take(glance(9, store=odd)).parts[0]
    assert (part.state, part.per_s, part.service) == ("OFFLINE", None, "")


def test_how_long_the_store_lasts() -> None:
    model = Model()
    for second in range(11):
        view = model.take(glance(second, store=STORE | {"used_bytes": 1000 + 10 * second}))
    assert view.store["lasts_s"] == pytest.approx(90)
    view = model.take(glance(11, store=STORE | {"used_bytes": 1110, "tmpfs_bytes": 1110}))
    assert view.store["lasts_s"] == 0
    assert Model().take(glance(0)).store["lasts_s"] is None


def test_events_are_kept_until_the_store_is_another() -> None:
    model = Model()
    model.take(glance(0, arrived={"all": [soc(2), soc(1)]}))
    view = model.take(glance(1, arrived={"all": [soc(3)]}))
    assert [event.event_id for event in view.events["all"]] == ["e3", "e2", "e1"]
    many = [soc(i) for i in range(1000, 0, -1)]
    assert len(model.take(glance(2, arrived={"all": many})).events["all"]) == KEPT_EVENTS
    assert model.take(glance(3, arrived={"all": []}, anew=True)).events["all"] == []


@pytest.mark.parametrize(
    ("severity", "original", "escalated"),
    [("HIGH", "HIGH", False), ("HIGH", "MEDIUM", True), ("HIGH", None, False)],
)
def test_escalated(severity: str, original: str | None, escalated: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    assert alarm(soc(1, severity, original)).escalated is escalated


@pytest.mark.parametrize(
    "odd", ["text", b"\xff", 7, [], [1], {"l3": 1}, {"entities": [1, {"type": [], "role": "src"}]}]
)
def test_rows_by_anybodys_sql_do_no_harm(odd: Any) -> None:
    assert alarm(soc(1, severity=b"\xff", signals=odd, context=odd)).title == "NETWORK event of device 16"


def test_a_view_is_json() -> None:
    view = Model().take(glance(0, streams=[stream(1)], arrived={"all": [soc(1)]}))
    assert msgspec.json.decode(msgspec.json.encode(view))["events"]["all"][0]["event_id"] == "e1"


STEPS = st.lists(st.tuples(st.floats(0.1, 30), st.integers(0, 10_000)), min_size=1, max_size=60)


@given(STEPS)
def test_curves_stay_within_the_rates_and_the_last_minute(steps: list[tuple[float, int]]) -> None:
    curve, clock, total = Curve(), 0.0, 0
    curve.add(clock, total)
    for seconds, more in steps:
        clock, total = clock + seconds, total + more
        curve.add(clock, total)
    highest = max(more / seconds for seconds, more in steps)
    points = curve.points()
    assert 1 <= len(points) <= CURVE_POINTS
    assert all(-1e-6 <= point <= highest * (1 + 1e-6) + 1e-6 for point in points)
    assert curve.rate == pytest.approx(steps[-1][1] / steps[-1][0], rel=1e-6, abs=1e-6)


@given(st.lists(st.integers(1, 5), min_size=2, max_size=80), st.integers(0, 1000))
def test_a_steady_rate_is_a_level_curve(gaps: list[int], per_s: int) -> None:
    curve = Curve()
    for clock in itertools.accumulate(gaps):
        curve.add(clock, clock * per_s)
    assert curve.points() == pytest.approx([per_s] * len(curve.points()))
    assert len(curve.points()) == CURVE_POINTS or sum(gaps[1:]) < CURVE_S


@given(st.lists(st.tuples(st.floats(-10, 100), st.integers(-100, 100)), max_size=30))
def test_no_order_of_numbers_breaks_a_curve(points: list[tuple[float, int]]) -> None:
    curve = Curve()
    for clock, total in points:
        curve.add(clock, total)
    assert all(point >= -1e-9 for point in curve.points())
    assert (curve.rate or 0) >= 0
