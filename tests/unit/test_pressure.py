"""How full memory becomes what is asked of producers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmil.infrastructure.pressure import REOPEN, Level, judge

_SHARE = st.floats(0, 1.2, allow_nan=False)
_LEVEL = st.sampled_from(sorted(Level))


@pytest.mark.parametrize(
    ("share", "level"),
    [
        (0.0, Level.OPEN),
        (0.4999, Level.OPEN),
        (0.50, Level.TIDY),
        (0.6999, Level.TIDY),
        (0.70, Level.WARN),
        (0.8499, Level.WARN),
        (0.85, Level.REFUSE),
        (1.0, Level.REFUSE),
    ],
)
def test_each_level_begins_at_its_percentage(share: float, level: Level) -> None:
    assert judge({"broker": share}).level == level


@given(_SHARE, _SHARE, _LEVEL, _LEVEL)
def test_fuller_never_asks_for_less(a: float, b: float, before: Level, later: Level) -> None:
    less, more = sorted((a, b))
    low, high = sorted((before, later))
    assert judge({"broker": less}, low).level <= judge({"broker": more}, high).level


@given(_SHARE, _SHARE, _LEVEL)
def test_the_fullest_memory_decides(broker: float, store: float, before: Level) -> None:
    both = judge({"broker": broker, "store": store}, before)
    assert both.level == max(judge({"broker": broker}, before).level, judge({"store": store}, before).level)
    assert both.shares == {"broker": broker, "store": store}


@given(st.lists(st.integers(76, 90).map(lambda percent: percent / 100), max_size=30))
def test_once_shut_the_door_opens_at_83_percent_and_not_before(shares: list[float]) -> None:
    level, shut = int(Level.OPEN), False
    for share in shares:
        shut = share >= 0.85 or (shut and share > REOPEN)
        level = judge({"broker": share}, level).level
        assert (level >= Level.REFUSE) == shut


@given(_SHARE, _LEVEL)
def test_a_full_store_delays_rows_and_refuses_no_events(share: float, before: Level) -> None:
    """Its file never shrinks: the door would stay shut for ever."""
    assert judge({"broker": 0.1, "store": share}, before).level < Level.REFUSE


def test_the_reason_names_the_memory_that_decides() -> None:
    assert judge({"broker": 0.9, "store": 0.95}).reason == "the broker's memory is 90% full"
    assert judge({"broker": 0.1, "store": 0.95}).reason == "the store's memory is 95% full"
    assert judge({"broker": 0.1, "store": 0.84}).level == Level.OPEN, "its retention keeps it at 80 %"
    assert judge({}).level == Level.OPEN
