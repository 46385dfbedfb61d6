"""Real sensors of the host feed the fabric: opt-in, because they need packages and root."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(scope="session", autouse=True)
def _opted_in(request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--sensors"):
        pytest.skip("real sensors run with --sensors, as root: see CONTRIBUTING.md for their packages")


def program(name: str) -> str:
    """Return the path of an installed program; the test is skipped where there is none."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts a program that ends with the test; its output is in the test's folder."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*command: str | Path) -> subprocess.Popen[bytes]:
        with (tmp_path / f"{Path(command[0]).name}.out").open("ab") as out:
            running.append(subprocess.Popen(list(map(str, command)), stdout=out, stderr=out))
        return running[-1]

    yield start
    for process in reversed(running):
        process.send_signal(signal.SIGTERM)
        process.wait(20)
