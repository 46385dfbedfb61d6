"""Where the hot store lies: each rule in its order, and why it was chosen is said."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsmil.config import Settings
from dsmil.infrastructure.instance import InstanceRecord, StateDir
from dsmil.infrastructure.store_place import DOCUMENTED, Place, choose, is_tmpfs

SHM = Path("/dev/shm")


@pytest.fixture
def memory() -> Iterator[Path]:
    """Return a folder on a tmpfs, as the documented mount is."""
    if not is_tmpfs(SHM) or not os.access(SHM, os.W_OK):
        pytest.skip("/dev/shm is no writable tmpfs here")
    folder = Path(tempfile.mkdtemp(dir=SHM))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Return a folder that is not on a tmpfs."""
    if is_tmpfs(tmp_path):
        pytest.skip("temporary files are on a tmpfs here")
    return tmp_path


def settings(state: Path, **env: str) -> Settings:
    return Settings.from_env({"XDG_STATE_HOME": str(state)} | env)


def place(chosen: Settings, mount: Path, shm: Path) -> Place:
    return choose(chosen, mount=mount / "hotpath.db", shm=shm)


def running(state: Path, hotpath_db: str) -> StateDir:
    held = StateDir(state / "dsmil")
    held.acquire()
    held.write(InstanceRecord(pid=1, started=1.0, version="0", broker_url="unix:///x", hotpath_db=hotpath_db))
    return held


def test_the_documented_place() -> None:
    assert Path("/mnt/dsmil-ram/hotpath.db") == DOCUMENTED


def test_a_named_file_wins_over_everything(disk: Path, memory: Path) -> None:
    held = running(disk, "/run/other.db")
    chosen = settings(disk, HOTPATH_DB="/named.db", HOTPATH_FALLBACK="/fallback.db", DSMIL_STATE_DIR=str(disk))
    assert place(chosen, memory, memory) == Place(Path("/named.db"), "HOTPATH_DB names it")
    held.release()


def test_the_running_instance_s_file_comes_next(disk: Path, memory: Path) -> None:
    held = running(disk, "/run/other.db")
    found = place(settings(disk, HOTPATH_FALLBACK="/fallback.db"), memory, memory)
    assert found == Place(Path("/run/other.db"), "the running instance keeps it there")
    named = settings(disk, DSMIL_STATE_DIR=str(disk / "dsmil"))
    assert place(named, memory, memory).path == Path("/run/other.db")
    held.release()
    assert place(settings(disk), memory, memory).path == memory / "hotpath.db"


def test_an_instance_that_names_no_file_is_no_reason(disk: Path, memory: Path) -> None:
    held = running(disk, "")
    assert place(settings(disk), memory, memory).reason == "the documented tmpfs"
    held.release()


def test_a_named_state_directory_keeps_its_store_inside(disk: Path, memory: Path) -> None:
    chosen = settings(disk, DSMIL_STATE_DIR=str(disk / "s"), HOTPATH_FALLBACK="/fallback.db")
    assert place(chosen, memory, memory) == Place(disk / "s" / "hotpath.db", "inside the named state directory")


def test_the_documented_tmpfs_when_it_is_there(disk: Path, memory: Path) -> None:
    chosen = settings(disk, HOTPATH_FALLBACK="/fallback.db")
    assert place(chosen, memory, memory) == Place(memory / "hotpath.db", "the documented tmpfs")


@pytest.mark.parametrize("missing", ["no such folder", "disk"])
def test_the_configured_fallback_without_that_mount(disk: Path, memory: Path, missing: str) -> None:
    mount = disk if missing == "disk" else disk / "nothing"
    found = place(settings(disk, HOTPATH_FALLBACK="/fallback.db"), mount, memory)
    assert found.path == Path("/fallback.db")
    assert found.reason == f"HOTPATH_FALLBACK, because {mount} is not a writable tmpfs"
    assert found.degraded is False


def test_the_fallback_in_memory_is_this_user_s_own(disk: Path, memory: Path) -> None:
    found = place(settings(disk), disk, memory)
    assert found.path == memory / f"dsmil-{os.getuid()}" / "hotpath.db"
    assert found.reason == f"fallback in memory, because {disk} is not a writable tmpfs"
    assert found.degraded is False
    (memory / f"dsmil-{os.getuid()}").mkdir(mode=0o700)
    assert place(settings(disk), disk, memory) == found


@pytest.mark.parametrize("squatter", ["open to others", "symlink", "file"])
def test_a_folder_that_others_may_reach_is_not_used(disk: Path, memory: Path, squatter: str) -> None:
    folder = memory / f"dsmil-{os.getuid()}"
    if squatter == "open to others":
        folder.mkdir()
        folder.chmod(0o755)
    elif squatter == "symlink":
        (memory / "target").mkdir(mode=0o700)
        folder.symlink_to(memory / "target")
    else:
        folder.touch(mode=0o600)
    found = place(settings(disk), disk, memory)
    assert found.path == disk / "dsmil" / "hotpath.db"
    assert found.degraded is True


def test_on_disk_it_is_said_to_be_degraded(disk: Path) -> None:
    found = place(settings(disk), disk, disk)
    assert found.path == disk / "dsmil" / "hotpath.db"
    assert found.degraded is True
    assert found.reason == f"on disk, because {disk} is not a writable tmpfs and {disk} cannot be used"


def test_what_is_a_tmpfs(disk: Path, memory: Path) -> None:
    assert is_tmpfs(memory)
    assert not is_tmpfs(disk)
    assert not is_tmpfs(memory / "nothing")
    (memory / "file").touch()
    assert not is_tmpfs(memory / "file")
    assert not is_tmpfs(Path("/proc"))
