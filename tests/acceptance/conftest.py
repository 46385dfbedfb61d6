"""Fixtures: running fabrics, each on a state directory of its own."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.fabric_process import Fabric


@pytest.fixture(scope="package")
def closed_port() -> Iterator[int]:
    """Return a port that is taken and never answers, so that nobody else can begin to listen on it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="package")
def runtime(closed_port: int) -> Iterator[dict[str, str]]:
    """Return variables that keep sockets in a short folder of these tests, and SHRINK away."""
    folder = Path(tempfile.mkdtemp(prefix="dsmil-t-"))
    yield {
        "XDG_RUNTIME_DIR": str(folder),
        "SHRINK_URL": f"http://127.0.0.1:{closed_port}",
        # Hundreds of short processes: compile each module once, and leave nothing beside the sources.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(folder / "pycache"),
    }
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def fabric(runtime: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    """Return a running fabric that tests share: each looks only at events of its own."""
    with Fabric(tmp_path_factory.mktemp("shared") / "state", **runtime) as running:
        running.settled()
        yield running
