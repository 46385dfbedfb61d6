"""Fixtures and the closing table of the fault suite. Options: ``--faults[=full]``, ``--seed``, ``--json``."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults.brokers import binaries
from tests.faults.report import Report, Row, Tier
from tests.faults.rig import Rig

_REPORT = pytest.StashKey[Report]()
_ROW = pytest.StashKey[Row]()
_MEMORY = Path("/dev/shm")
#: Longest time of one scenario that names no other, seconds.
_LIMITS = {"short": 240, "full": 3 * 3600}


def _report(config: pytest.Config) -> Report:
    if _REPORT not in config.stash:
        given = config.getoption("--seed")
        seed = int.from_bytes(os.urandom(4), "big") if given is None else given
        config.stash[_REPORT] = Report(seed, config.getoption("--faults") or "short")
    return config.stash[_REPORT]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        ours = Path(__file__).parent in item.path.parents
        if ours and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_LIMITS[_report(config).tier]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    outcome = yield
    row = item.stash.get(_ROW, None)
    if row is not None and call.when == "call":
        row.passed = outcome.passed
    return outcome


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    report = config.stash.get(_REPORT, None)
    if report is None:
        return
    terminalreporter.section(f"faults, {report.tier} tier, --seed {report.seed}")
    if report.rows:
        for line in report.lines():
            terminalreporter.write_line(line)
    if config.getoption("--json"):
        report.write(Path(config.getoption("--json")))


@pytest.fixture(scope="session", autouse=True)
def _short_sockets() -> Iterator[None]:
    """Keep sockets and locks of these processes in a short folder that goes away."""
    before = os.environ.get("XDG_RUNTIME_DIR")
    folder = tempfile.mkdtemp(prefix="dsmil-f-")
    os.environ["XDG_RUNTIME_DIR"] = folder
    yield
    if before is None:
        del os.environ["XDG_RUNTIME_DIR"]
    else:
        os.environ["XDG_RUNTIME_DIR"] = before
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def tier(pytestconfig: pytest.Config) -> Tier:
    """Return the tier of this run."""
    return Tier(_report(pytestconfig).tier)


@pytest.fixture
def row(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Row:
    """Return this test's line of the closing table, named by ``@pytest.mark.scenario``."""
    marker = request.node.get_closest_marker("scenario")
    name = marker.args[0] if marker else request.node.name
    variant = request.node.name.partition("[")[2].rstrip("]")
    made = Row(scenario=f"{name} {variant}".strip())
    request.node.stash[_ROW] = made
    _report(pytestconfig).rows.append(made)
    return made


@pytest.fixture
def make_rig(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config, tmp_path: Path
) -> Iterator[Callable[..., Rig]]:
    """Return the maker of rigs, see :mod:`tests.faults.rig`.

    ``server`` is a name of ``brokers.binaries()``, or the path of a program that becomes one. ``quick_disk`` keeps
    everything in memory (Linux), where no sync is ever slow.
    """
    chance = _report(pytestconfig).chance(request.node.name)
    made: list[Rig] = []
    folders = contextlib.ExitStack()

    def make(*, server: str | Path = "bundled", quick_disk: bool = False, **options: Any) -> Rig:
        found = binaries()
        if isinstance(server, str) and server not in found:
            pytest.skip(f"no {server} server")
        binary = found[server] if isinstance(server, str) else server
        place = tmp_path
        if quick_disk and _MEMORY.is_dir():
            place = Path(folders.enter_context(tempfile.TemporaryDirectory(prefix="dsmil-f-", dir=_MEMORY)))
        rig = Rig(place / f"rig-{len(made)}", chance, binary=binary, **options)
        made.append(rig)
        return rig

    with folders:
        yield make
