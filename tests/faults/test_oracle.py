"""The oracle is tested too: each deliberate mistake must be found, by the very thing that it does wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from tests.faults import scenarios
from tests.faults.mutants import MUTANTS
from tests.faults.report import Row
from tests.faults.rig import Drained, Rig

from dsmil.infrastructure import connection, redis_streams

Scenario = Callable[[Rig, Row], Drained]

#: Mutant -> the scenario whose fault falls into its gap, the times it needs, and the words of what must be found.
CAUGHT: Mapping[str, tuple[Scenario, Mapping[str, Any], str]] = {
    "ack_first": (scenarios.killed_while_settling, {}, " lost"),
    "multi": (scenarios.output_refused, {}, " lost"),
    "no_own_read": (scenarios.killed_in_hand, {}, "still pending"),
    "from_now_on": (scenarios.started_last, {}, " lost"),
    "no_fence": (scenarios.woken_late, scenarios.HASTY, " duplicated"),
}


@pytest.mark.parametrize("mutant", sorted(CAUGHT))
def test_a_broken_router_is_caught(make_rig: Callable[..., Rig], mutant: str) -> None:
    scenario, constants, finding = CAUGHT[mutant]
    row = Row(scenario=mutant)
    with make_rig(mutant=mutant, constants=constants) as rig:
        found = scenario(rig, row)
    assert row.injected, "the fault was not injected"
    assert finding in "\n".join(found.problems()), f"{mutant} was not caught; found only: {found.problems()}"
    with pytest.raises(AssertionError):
        row.judge(found)


def test_the_default_retries_of_the_client_are_caught(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They act on the producer's side: the call that the broker took late is sent again, and taken again."""
    row = Row(scenario="default_retries")
    monkeypatch.setattr(connection, "Retry", connection.Retry)  # type: ignore[attr-defined]  # put back at the end
    monkeypatch.setattr(redis_streams, "Sent", redis_streams.Sent)  # type: ignore[attr-defined]  # as well
    MUTANTS["default_retries"]()
    with make_rig() as rig:
        load = rig.load()
        rig.router()
        rig.store()
        scenarios.frozen_broker(rig, row, 6.5)
        found = rig.finish(load)
    assert found.resent, f"not caught; found only: {found.problems()}"


def test_every_mutant_is_tried() -> None:
    assert {*CAUGHT, "default_retries"} == MUTANTS.keys()
