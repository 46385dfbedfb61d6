"""The doctor on streams, groups, consumers and devices: boundaries of each check."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.doctor_facts import facts, only, run, worst

from dsmil.doctor.facts import Consumer, Device, Facts, Group, Stream


def streams(*made: Stream) -> Facts:
    return facts("broker", streams=made)


def group(**changes: Any) -> Facts:
    return streams(Stream(name="L3_OUT", added=9, groups=(Group(name="soc-router", **changes),)))


def test_all_well_has_no_trouble() -> None:
    assert {f.severity for f in run("streams", facts())} == {"ok"}
    assert run("streams", facts("broker", error="away")) == []


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (Stream(name="L3_IN", exists=False, missing=("x",)), "warning"),
        (Stream(name="L3_IN", missing=("x",), added=1), "warning"),
        (Stream(name="L3_IN", missing=("x",), added=0), "info"),
        (Stream(name="L3_IN"), "ok"),
    ],
)
def test_missing_groups(stream: Stream, expected: str) -> None:
    found = only("streams", "groups", streams(stream))
    assert found.severity == expected
    assert found.fix == ("" if expected == "ok" else "make-groups")


@pytest.mark.parametrize(("unread", "expected"), [(10_000, "ok"), (10_001, "warning"), (None, "info")])
def test_backlog(unread: int | None, expected: str) -> None:
    assert worst("streams", "backlog", group(unread=unread)) == expected


@pytest.mark.parametrize(
    ("number", "age", "expected"), [(0, 0.0, None), (1, 300.0, None), (1, 300.1, "warning"), (100, 9e3, "warning")]
)
def test_stuck(number: int, age: float, expected: str | None) -> None:
    assert worst("streams", "stuck", group(pending=number, held_long=number, oldest_held_s=age)) == expected


@pytest.mark.parametrize(
    ("consumer", "expected"),
    [
        (Consumer(name="c", pending=1, idle_s=60.0), None),
        (Consumer(name="c", pending=1, idle_s=60.1), "warning"),
        (Consumer(name="c", pending=0, idle_s=9e9), None),
        (Consumer(name="c", pending=1, idle_s=0.1, held=False), "warning"),
        (Consumer(name="c", pending=1, idle_s=9e9, held=True), None),
    ],
)
def test_consumers_that_are_gone(consumer: Consumer, expected: str | None) -> None:
    assert worst("streams", "consumers", group(pending=1, consumers=(consumer,))) == expected


@pytest.mark.parametrize(("number", "expected"), [(0, None), (None, None), (1, "error"), (-1, "error")])
def test_balance(number: int | None, expected: str | None) -> None:
    assert worst("streams", "balance", group(imbalance=number)) == expected


def test_foreign_groups_are_told_and_not_judged() -> None:
    foreign = Group(name="mine", registered=False, unread=99_999, imbalance=5)
    default = Group(name="dsmil", registered=False, unread=99_999)
    given = streams(Stream(name="L3_OUT", groups=(foreign, default)))
    assert only("streams", "foreign", given).severity == "info"
    assert "XGROUP DESTROY L3_OUT mine" in only("streams", "foreign", given).remedy
    assert worst("streams", "backlog", given) is None


@pytest.mark.parametrize(("length", "expected"), [(999_999, "ok"), (1_000_000, "warning")])
def test_growth(length: int, expected: str) -> None:
    assert worst("streams", "growth", streams(Stream(name="L3_IN", length=length, memory=5))) == expected


@pytest.mark.parametrize(
    ("number", "age", "expected"), [(0, 0.0, "ok"), (1, 86_400.0, "warning"), (1, 86_401.0, "info")]
)
def test_dead_letters(number: int, age: float, expected: str) -> None:
    given = facts("broker", dead_letters=number, newest_letter="malformed_json in x", newest_letter_s=age)
    found = only("streams", "letters", given)
    assert found.severity == expected
    assert ("malformed_json" in found.evidence) == bool(number)


def device(status: str, age: float | None) -> Facts:
    made = Device(
        device_id=52, name="SOC", status=status, age_s=age, service="soc-router", problems="broker: away"
    )
    return facts("store", devices=(made,))


@pytest.mark.parametrize(
    ("status", "age", "name", "expected"),
    [
        ("ONLINE", 15.0, "heartbeat", "ok"),
        ("ONLINE", 15.1, "heartbeat", "warning"),
        ("ONLINE", None, "heartbeat", "warning"),
        ("OFFLINE", 9e9, "heartbeat", None),
        ("ERROR", 1.0, "error", "error"),
        ("ERROR", 99.0, "error", None),
    ],
)
def test_devices(status: str, age: float | None, name: str, expected: str | None) -> None:
    assert worst("devices", name, device(status, age)) == expected


def test_silent_devices_are_no_fault_while_nothing_runs() -> None:
    still = msgspec.structs.replace(device("ONLINE", 99.0), instance=facts("instance", running=False).instance)
    assert worst("devices", "heartbeat", still) == "info"
    assert "broker: away" in only("devices", "error", device("ERROR", 1.0)).evidence
