"""How long a reader rests: long at a small load, hardly at a larger one, never behind a queue."""

from __future__ import annotations

import pytest

from dsmil.services.pace import Gathering, Pace

_LONG_S, _SHORT_S = 0.01, 0.002
_MOST = 200


def _rests(per_s: float, seconds: float, work_s: float = 0.0005) -> list[float]:
    """Return the rests of a reader that entries reach at a steady rate, from a silence on."""
    pace, now, seen, rests = Pace(_LONG_S, _SHORT_S), 100.0, 0, list[float]()
    while now < 100.0 + seconds:
        there = int((now - 100.0) * per_s) + 1
        if there == seen:
            now = 100.0 + seen / per_s + 1e-9  # a blocking read returns with the next one
            continue
        now += work_s
        rests.append(pace.rest_s(there - seen, _MOST, now))
        now += rests[-1]
        seen = there
    return rests


@pytest.mark.parametrize("per_s", [100.0, 300.0, 1000.0, 1500.0])
def test_at_a_small_load_rests_grow_to_the_long_one(per_s: float) -> None:
    rests = _rests(per_s, 5.0)
    assert rests[:4] == [_LONG_S / 8, _LONG_S / 4, _LONG_S / 2, _LONG_S]
    assert set(rests[4:]) == {_LONG_S}


@pytest.mark.parametrize("per_s", [1.0, 20.0])
def test_who_comes_now_and_then_may_be_the_first_of_many(per_s: float) -> None:
    assert set(_rests(per_s, 5.0)) == {_LONG_S / 8}


@pytest.mark.parametrize("per_s", [4000.0, 5000.0, 20_000.0, 50_000.0])
def test_a_larger_load_is_noticed_within_four_batches_and_not_kept_waiting(per_s: float) -> None:
    rests = _rests(per_s, 5.0)
    assert sum(rests[:4]) <= (2 * _LONG_S if per_s < 10_000 else _LONG_S), "a flood is noticed soon"
    assert max(rests[4:]) <= _SHORT_S


@pytest.mark.parametrize("batch_s", [0.001, 0.1, 1.0, 60.0])
def test_behind_a_full_batch_there_is_no_rest_however_slow_the_reader_is(batch_s: float) -> None:
    """A reader that is short of processor time took two hundred in a tenth of a second for a small load."""
    pace = Pace(_LONG_S, _SHORT_S)
    assert [pace.rest_s(_MOST, _MOST, 10.0 + n * batch_s) for n in range(10)] == [0.0] * 10
    assert pace.rest_s(_MOST - 1, _MOST, 10.0 + 10 * batch_s + 1.0) > 0.0


def test_the_long_rest_returns_when_the_load_is_over() -> None:
    pace, now = Pace(_LONG_S, _SHORT_S), 0.0
    for _ in range(100):
        now += 0.001
        pace.rest_s(20, _MOST, now)
    now += 0.5
    rests = list[float]()
    while not rests or rests[-1] < _LONG_S:
        rests.append(pace.rest_s(1, _MOST, now))
        now += rests[-1]
    assert rests == [_LONG_S / 8, _LONG_S / 4, _LONG_S / 2, _LONG_S]


def test_two_batches_at_one_instant_are_no_trouble() -> None:
    pace = Pace(_LONG_S, _SHORT_S)
    pace.rest_s(1, _MOST, 5.0)
    assert pace.rest_s(1, _MOST, 5.0) in {_LONG_S / 4, _SHORT_S, 0.0}


def _batches(per_s: float, seconds: float, gathering: Gathering) -> list[int]:
    """Return the batches of a gathering reader that entries reach at a steady rate."""
    now, seen, batches = 0.0, 0, list[int]()
    while now < seconds:
        there = int(now * per_s) + 1
        if there == seen:
            now = seen / per_s + 1e-9
            continue
        batches.append(there - seen)
        seen = there
        now += gathering.rest_s(batches[-1], now)
    return batches


@pytest.mark.parametrize("per_s", [1000.0, 5000.0, 20_000.0])
def test_about_as_many_entries_come_together_as_are_to(per_s: float) -> None:
    batches = _batches(per_s, 3.0, Gathering(25, 0.1))[10:]
    assert 20 <= sum(batches) / len(batches) <= 30


@pytest.mark.parametrize("per_s", [1.0, 10.0, 100.0])
def test_nobody_is_gathered_for_longer_than_the_longest_rest(per_s: float) -> None:
    gathering = Gathering(25, 0.1)
    assert [gathering.rest_s(1, n / per_s) for n in range(50)] == [0.1] * 50


def test_what_is_the_first_in_a_long_time_comes_at_no_rate() -> None:
    """The rate after an endless silence is zero, and the writer divided by it."""
    assert Gathering(25, 0.1).rest_s(1, 7.0) == 0.1
    assert Gathering(25, 0.1).rest_s(0, 7.0) == 0.0
