"""A1: the gaps that a mutant of the product falls into, forced one by one; the product passes them all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.faults import scenarios
from tests.faults.report import Row, Tier
from tests.faults.rig import Drained, Rig


def _passed(row: Row, found: Drained) -> None:
    row.judge(found)
    assert row.injected > 0
    assert found.problems() == []
    assert (row.lost, row.duplicated) == (0, 0)


@pytest.mark.scenario("A1 killed while settling")
def test_killed_while_settling(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    with make_rig() as rig:
        _passed(row, scenarios.killed_while_settling(rig, row, tier.pick(6, 100)))


@pytest.mark.scenario("A1 killed with entries in hand")
def test_killed_in_hand(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    with make_rig() as rig:
        _passed(row, scenarios.killed_in_hand(rig, row, tier.pick(6, 100)))


@pytest.mark.scenario("A1 router started last")
def test_started_last(make_rig: Callable[..., Rig], row: Row) -> None:
    with make_rig() as rig:
        _passed(row, scenarios.started_last(rig, row))


@pytest.mark.scenario("A1 output refused at run time")
def test_output_refused(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    with make_rig() as rig:
        _passed(row, scenarios.output_refused(rig, row, tier.pick(3, 30)))


@pytest.mark.scenario("A1 router woken after its entries were claimed")
def test_woken_late(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    with make_rig(constants=scenarios.HASTY) as rig:
        _passed(row, scenarios.woken_late(rig, row, tier.pick(3, 30)))
