"""The clock by which ages are counted: no step of the wall clock makes it hurry."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsmil.infrastructure.steady_clock import SLACK_S, SteadyClock, boot_id, running_time

_HOUR = 3600.0
_DAY = 24 * _HOUR
_START = 1_800_000_000.0


class Machine:
    """A machine whose clocks the test sets."""

    def __init__(self, path: Path) -> None:
        self.wall = _START
        self.running = 1000.0
        self.boot = "first"
        self._path = path

    def clock(self, believe_s: float = 7 * _DAY) -> SteadyClock:
        return SteadyClock(
            self._path,
            believe_s,
            wall=lambda: self.wall,
            running=lambda: self.running,
            boot=lambda: self.boot,
        )

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.running += seconds


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "state" / "clock.json")


def test_time_passes(machine: Machine) -> None:
    clock = machine.clock()
    assert clock() == _START
    machine.passes(90)
    assert clock() == _START + 90


@pytest.mark.parametrize("step", [_HOUR, _DAY, 365 * _DAY])
def test_a_step_ahead_is_not_believed(machine: Machine, step: float) -> None:
    clock = machine.clock()
    clock()
    machine.wall += step
    machine.passes(10)
    assert clock() == _START + 10
    machine.wall -= step
    machine.passes(10)
    assert clock() == _START + 20


@pytest.mark.parametrize("step", [_HOUR, _DAY])
def test_a_step_back_is_followed_and_taken_back(machine: Machine, step: float) -> None:
    clock = machine.clock()
    clock()
    machine.wall -= step
    assert clock() == _START - step
    machine.wall += step
    assert clock() == _START


def test_a_restart_during_the_wrong_time_does_not_believe_it(machine: Machine) -> None:
    machine.clock()()
    machine.wall += _DAY
    machine.passes(5)
    assert machine.clock()() == _START + 5


def test_a_clock_that_stands_for_long_is_believed(machine: Machine) -> None:
    clock = machine.clock(believe_s=_DAY)
    clock()
    machine.wall += _HOUR
    clock()
    machine.passes(_DAY - 1)
    assert clock() == _START + _DAY - 1
    machine.passes(1)
    assert clock() == machine.wall


def test_the_wait_goes_on_over_a_restart(machine: Machine) -> None:
    clock = machine.clock(believe_s=_DAY)
    clock()
    machine.wall += _HOUR
    clock()
    machine.passes(_DAY)
    assert machine.clock(believe_s=_DAY)() == machine.wall


def test_small_corrections_are_followed(machine: Machine) -> None:
    """Drift: a time service moves the clock a little, again and again."""
    clock = machine.clock()
    clock()
    for _ in range(100):
        machine.passes(_HOUR)
        machine.wall += SLACK_S / 2
        assert abs(clock() - machine.wall) <= SLACK_S
    assert clock() == machine.wall


def test_a_clock_that_was_never_set_is_no_measure(machine: Machine) -> None:
    machine.wall = 5.0
    clock = machine.clock()
    assert clock() == 5.0
    machine.wall = _START
    assert clock() == _START


def test_another_start_of_the_machine_begins_anew(machine: Machine) -> None:
    machine.clock()()
    machine.boot, machine.running = "second", 3.0
    machine.wall += 3 * _DAY
    assert machine.clock()() == machine.wall


@pytest.mark.parametrize("content", [b"", b"{}", b"\x00" * 40, b'{"boot":"first","running":1e12,"wall":1.0}'])
def test_a_bad_file_is_no_agreement(machine: Machine, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state" / "clock.json"
    path.parent.mkdir()
    path.write_bytes(content)
    assert machine.clock()() == _START


def test_without_a_place_to_write_it_still_does_not_hurry(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the directory should be")
    clock = machine.clock()
    clock()
    machine.wall += _DAY
    assert clock() == _START


def test_the_machines_own_clocks(tmp_path: Path) -> None:
    first = running_time()
    assert running_time() >= first > 0
    assert boot_id() == boot_id()
    assert SteadyClock(tmp_path / "clock.json", _DAY)() > _START - 3650 * _DAY
