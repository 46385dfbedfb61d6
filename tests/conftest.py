"""Fixtures: real servers, real files, nothing imitated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsmil.config import Settings
from dsmil.infrastructure.broker import Broker, bundled_binary
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.redis_streams import RedisStreamsClient

_OURS = (
    *(
        "REDIS_",
        "HOTPATH_",
        "SHRINK_",
        "DSMIL_STATE_DIR",
        "DSMIL_RULES",
        "DSMIL_DEDUPE",
        "DSMIL_LISTEN",
        "DSMIL_FEEDS",
    ),
    *("BATCH_SIZE", "POLL_TIMEOUT", "LOG_LEVEL"),
)
IN_CI = os.environ.get("CI", "") == "true"
_FAULTS = Path(__file__).parent / "faults"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults", "the fault suite, tests/faults")
    group.addoption("--faults", choices=("short", "full"), help="run the fault suite, and only it")
    group.addoption("--seed", type=int, help="repeat a run of the fault suite")
    parser.addoption(
        "--sensors", action="store_true", help="run tests/sensors: real sensors of this host, as root"
    )
    group.addoption("--json", metavar="FILE", help="write the table of the fault suite there as well")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Keep the fault suite and the other tests apart: it takes minutes, and its own limits."""
    if not config.getoption("--faults"):
        return True if collection_path == _FAULTS else None
    own = collection_path == _FAULTS or _FAULTS in collection_path.parents or collection_path in _FAULTS.parents
    return None if own else True


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the settings of whoever runs the tests, and their running fabric, out of the tests."""
    for name in list(os.environ):
        if name.startswith(_OURS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("xdg-state")))


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Return the bundled broker, one for the whole session."""
    server = Broker(bundled_binary(), tmp_path_factory.mktemp("broker"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def settings(broker: Broker, tmp_path: Path) -> Settings:
    """Return settings for the session's broker and a store of this test alone."""
    return Settings.from_env(
        {"REDIS_URL": broker.url, "HOTPATH_DB": str(tmp_path / "hotpath.db"), "DSMIL_STATE_DIR": str(tmp_path)}
    )


@pytest.fixture
def bus(settings: Settings) -> Iterator[RedisStreamsClient]:
    """Return a client on an empty broker with its 13 streams."""
    with RedisStreamsClient(settings=settings) as client:
        client.client.flushall()
        assert all(client.initialize_streams().values())
        yield client


@pytest.fixture
def db(settings: Settings) -> Iterator[HotPathDB]:
    """Return an empty hot store."""
    with HotPathDB(settings=settings) as store:
        assert store.connect()
        assert store.initialize_schema()
        yield store


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """Return the folder of public logs, or skip; in CI it must be there."""
    folder = Path(os.environ.get("DSMIL_FIXTURES") or Path(__file__).parents[2] / "shared" / "fixtures")
    if not (folder / "suricata_josevnz").is_dir():
        message = f"the public logs are not in {folder}; set DSMIL_FIXTURES to their folder"
        if IN_CI:
            pytest.fail(message)
        pytest.skip(message)
    return folder
