"""Waiting after trouble: pauses, entries that are due again, and the window for duplicates."""

from __future__ import annotations

import itertools

import pytest

from dsmil.events.streams import StreamName
from dsmil.infrastructure.entries import Entry
from dsmil.services.recent import CAPACITY, RecentIds
from dsmil.services.retry import FIRST_S, LONGEST_S, Waiting, pause


def entry(number: int, stream: StreamName = StreamName.L3_OUT) -> Entry:
    return Entry(stream, f"{number}-0", {})


@pytest.mark.parametrize(
    ("failures", "full"),
    [(1, 0.1), (2, 0.2), (3, 0.4), (6, 3.2), (7, LONGEST_S), (50, LONGEST_S), (10**6, LONGEST_S)],
)
def test_a_pause_doubles_up_to_the_longest_and_half_of_it_is_chance(failures: int, full: float) -> None:
    assert pause(failures, draw=1.0) == pytest.approx(full)
    assert pause(failures, draw=0.0) == pytest.approx(full / 2)
    assert full / 2 <= pause(failures) <= full


@pytest.mark.parametrize("failures", [0, -5])
def test_a_pause_before_any_failure_is_short_but_there(failures: int) -> None:
    assert 0 < pause(failures) <= FIRST_S


def test_a_pause_may_be_bounded_otherwise() -> None:
    assert pause(100, longest_s=0.5, draw=1.0) == 0.5
    assert pause(100, longest_s=60, draw=1.0) == 60


def test_entries_come_back_when_they_are_due_earliest_first() -> None:
    waiting = Waiting()
    for due, number in ((3.0, 3), (1.0, 1), (2.0, 2)):
        waiting.add(due, entry(number), number, failed=number == 2)
    assert len(waiting) == 3
    assert waiting.next_due() == 1.0
    assert waiting.pop_due(0.999) == []
    assert waiting.pop_due(2.0) == [(entry(1), 1, False), (entry(2), 2, True)]
    assert len(waiting) == 1
    assert waiting.next_due() == 3.0


def test_entries_due_at_the_same_time_keep_their_order() -> None:
    waiting = Waiting()
    for number in (5, 4, 9, 1):
        waiting.add(1.0, entry(number), 0, failed=False)
    assert [found.entry_id for found, _, _ in waiting.pop_due(1.0)] == ["5-0", "4-0", "9-0", "1-0"]


def test_what_waits_is_known_by_its_place() -> None:
    waiting = Waiting()
    waiting.add(1.0, entry(1), 0, failed=False)
    assert "L3_OUT/1-0" in waiting
    assert "L4_OUT/1-0" not in waiting
    waiting.pop_due(1.0)
    assert "L3_OUT/1-0" not in waiting
    assert waiting.next_due() is None


def test_forgetting_all() -> None:
    waiting = Waiting()
    waiting.add(1.0, entry(1), 0, failed=False)
    waiting.clear()
    assert (len(waiting), waiting.next_due(), "L3_OUT/1-0" in waiting) == (0, None, False)
    assert waiting.pop_due(9.0) == []


def test_recent_ids_are_bounded_and_the_oldest_is_forgotten_first() -> None:
    recent = RecentIds(3)
    for name in "abcd":
        recent.remember([name])
    assert [name in recent for name in "abcd"] == [False, True, True, True]


def test_an_id_added_twice_takes_one_place() -> None:
    recent = RecentIds(2)
    for name in ("a", "a", "a", "b"):
        recent.remember([name])
    assert "a" in recent
    assert "b" in recent


def test_the_window_never_grows_beyond_its_capacity() -> None:
    recent = RecentIds()
    for name in map(str, itertools.islice(itertools.count(), CAPACITY * 2)):
        recent.remember([name])
    assert len(recent) == CAPACITY
    assert str(CAPACITY) in recent
    assert str(CAPACITY - 1) not in recent
