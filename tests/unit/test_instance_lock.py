"""One instance per state directory: the lock proves it, and sockets lie in a private, short place."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import dsmil
from dsmil.errors import DsmilError, InstanceRunning
from dsmil.infrastructure.instance import InstanceRecord, StateDir, runtime_dir

HOLDER = """
import sys
from pathlib import Path
from dsmil.infrastructure.instance import InstanceRecord, StateDir
held = StateDir(Path(sys.argv[1]))
held.acquire()
held.write(InstanceRecord(pid=1, started=1.0, version="0", broker_url="unix:///x"))
print("held", flush=True)
sys.stdin.read()
"""


def record(**fields: object) -> InstanceRecord:
    values: dict[str, object] = {"pid": 4711, "started": 1.5, "version": "0", "broker_url": "unix:///x"}
    return InstanceRecord(**values | fields)  # type: ignore[arg-type]


def test_the_record_is_written_and_read_back(tmp_path: Path) -> None:
    held = StateDir(tmp_path / "state")
    held.acquire()
    full = record(
        socket="/x", broker_mode="given", hotpath_db="/h", ports={"metrics": 8000}, shrink_url="http://s"
    )
    held.write(full)
    assert held.read() == held.running() == StateDir(tmp_path / "state").running() == full
    held.write(record())
    assert held.running() == record()
    assert [path.name for path in (tmp_path / "state").iterdir() if path.suffix == ".new"] == []
    held.release()


def test_the_directory_is_made_and_private(tmp_path: Path) -> None:
    held = StateDir(tmp_path / "a" / "b")
    held.acquire()
    assert held.path.stat().st_mode & 0o777 == 0o700
    held.release()


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    first, second = StateDir(tmp_path), StateDir(tmp_path)
    first.acquire()
    with pytest.raises(InstanceRunning, match="another instance holds"):
        second.acquire()
    first.write(record())
    with pytest.raises(InstanceRunning, match=r"another instance \(pid 4711\) holds .*dsmil down"):
        second.acquire()
    assert first.running() == record()
    first.release()
    second.acquire()
    second.release()


def test_releasing_removes_the_record_and_may_be_done_twice(tmp_path: Path) -> None:
    held = StateDir(tmp_path)
    held.acquire()
    held.write(record())
    held.release()
    held.release()
    assert held.read() is None
    assert held.running() is None


def test_a_refused_second_holder_does_not_remove_the_first_one_s_record(tmp_path: Path) -> None:
    first, second = StateDir(tmp_path), StateDir(tmp_path)
    first.acquire()
    first.write(record())
    with pytest.raises(InstanceRunning):
        second.acquire()
    second.release()
    assert first.running() == record()
    first.release()


def test_nothing_runs_where_nothing_was_started(tmp_path: Path) -> None:
    assert StateDir(tmp_path / "nowhere").running() is None
    assert StateDir(tmp_path).running() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', "\xff"])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    held = StateDir(tmp_path)
    held.acquire()
    (tmp_path / "instance.json").write_text(text, encoding="latin-1")
    assert held.read() is None
    assert held.running() is None
    with pytest.raises(InstanceRunning, match="another instance holds"):
        StateDir(tmp_path).acquire()
    held.release()


def test_a_killed_holder_s_record_is_not_believed(tmp_path: Path) -> None:
    """The record stays behind, with a pid that may be anybody's by now; the lock is the proof."""
    search = os.pathsep.join([str(Path(dsmil.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": search},
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        found = StateDir(tmp_path).running()
        assert found is not None
        assert found.pid == 1
        with pytest.raises(InstanceRunning, match=r"\(pid 1\)"):
            StateDir(tmp_path).acquire()
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert StateDir(tmp_path).read() is not None
    assert StateDir(tmp_path).running() is None
    successor = StateDir(tmp_path)
    successor.acquire()
    assert successor.read() is None
    successor.release()


def test_readers_do_not_take_each_other_for_the_instance(tmp_path: Path) -> None:
    held = StateDir(tmp_path)
    held.acquire()
    held.write(record())
    held._lock.close()  # type: ignore[union-attr]
    with (tmp_path / "instance.lock").open("r+") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        assert StateDir(tmp_path).running() is None


def test_a_reader_s_look_at_the_lock_does_not_stop_a_start(tmp_path: Path) -> None:
    """``dsmil status`` holds the lock shared for a moment; ``dsmil up`` at that moment must not give up."""
    held = StateDir(tmp_path)
    held.acquire()
    held.release()
    with (tmp_path / "instance.lock").open("r+") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        gone = threading.Timer(0.1, lambda: fcntl.flock(reader, fcntl.LOCK_UN))
        gone.start()
        try:
            held.acquire()
        finally:
            gone.join()
    held.release()


@pytest.fixture
def bases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Return stand-ins for the runtime and the temporary directory."""
    run, temporary = tmp_path / "r", tmp_path / "t"
    run.mkdir()
    temporary.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(run))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    return run, temporary


def test_a_runtime_directory_is_private_short_and_always_the_same(bases: tuple[Path, Path]) -> None:
    run, _ = bases
    path = runtime_dir("key")
    assert path.parent == run
    assert path.stat().st_mode & 0o777 == 0o700
    assert len(os.fsencode(path / "broker.sock")) <= 100
    assert runtime_dir("key") == path
    assert runtime_dir("other") != path
    assert runtime_dir("k" * 10_000).name.startswith(f"dsmil-{os.getuid()}-")


def test_without_a_runtime_directory_the_temporary_one_serves(
    bases: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, temporary = bases
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    assert runtime_dir("key").parent == temporary
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(run / "nothing"))
    assert runtime_dir("key").parent == temporary


def test_a_place_too_long_for_a_socket_is_passed_over(
    bases: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, temporary = bases
    long = run / ("x" * 90)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    assert runtime_dir("key").parent == temporary


@pytest.mark.parametrize("squatter", ["open to others", "symlink"])
def test_a_place_that_others_may_reach_is_refused(bases: tuple[Path, Path], squatter: str) -> None:
    run, _ = bases
    path = runtime_dir("key")
    if squatter == "symlink":
        path.rename(run / "target")
        path.symlink_to(run / "target")
    else:
        path.chmod(0o755)
    with pytest.raises(DsmilError, match="not a directory of this user alone"):
        runtime_dir("key")
