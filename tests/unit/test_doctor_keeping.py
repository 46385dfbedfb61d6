"""Doctor's checks of the housekeeping."""

from __future__ import annotations

import msgspec
import pytest
from tests.unit.doctor_facts import MB, WELL, facts, only, run, worst

from dsmil.doctor.facts import Table
from dsmil.doctor.finding import Severity


def test_all_well() -> None:
    assert {finding.severity for finding in run("keeping", WELL)} == {Severity.OK}


@pytest.mark.parametrize(("level", "severity"), [(0, "ok"), (50, "ok"), (70, "warning"), (85, "error")], ids=str)
def test_memory_by_its_level(level: int, severity: str) -> None:
    given = facts(
        "keeping", level=level, reason="the broker's memory is 88% full", holders=(("L3_IN", "group x"),)
    )
    assert worst("keeping", "memory", given) == Severity(severity)
    if level >= 70:
        assert "L3_IN is kept for group x" in only("keeping", "memory", given).evidence


def test_a_fabric_without_janitor_is_warned_of() -> None:
    assert worst("keeping", "memory", facts("keeping", janitor=False)) == Severity.WARNING


def test_nothing_runs_is_no_fault() -> None:
    stopped = facts("instance", running=False).instance
    given = msgspec.structs.replace(facts("keeping", janitor=False), instance=stopped)
    assert worst("keeping", "memory", given) == Severity.INFO


def test_a_store_without_snapshot() -> None:
    assert worst("keeping", "snapshot", facts("keeping", snapshot_s=None)) == Severity.WARNING
    empty = (Table(name="raw_events_fast", rows=0, keep_s=1),)
    nothing = msgspec.structs.replace(facts("keeping", snapshot_s=None), store=facts("store", tables=empty).store)
    assert worst("keeping", "snapshot", nothing) == Severity.INFO


def test_an_old_snapshot_matters_when_rows_came_since() -> None:
    for age, late, severity in ((1e6, False, "ok"), (100, True, "ok"), (901, True, "warning")):
        given = facts("keeping", snapshot_s=age, snapshot_late=late, snapshot_bytes=5 * MB)
        assert worst("keeping", "snapshot", given) == Severity(severity)


def test_a_silent_producer_is_named() -> None:
    found = only("keeping", "producers", facts("keeping", silent=(("zeek (device 5)", 700.0),)))
    assert found.severity == Severity.WARNING
    assert "zeek (device 5)" in found.evidence
