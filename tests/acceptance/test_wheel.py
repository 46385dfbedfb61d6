"""The wheel by itself: what is in it, and that it works where there is no clone."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from tests.acceptance.fabric_process import ROOT, environment

from dsmil import __version__
from dsmil.testing.waiting import until

_EVENT = re.compile(r"^\d\d:\d\d:\d\d (LOW|MEDIUM|HIGH|CRITICAL) +\S", re.MULTILINE)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel built from this checkout, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    if importlib.util.find_spec("pip") is None:  # an environment made by uv
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True
        )
    else:
        options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check")
        subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "-w", folder, ROOT], check=True)
    (built,) = folder.glob("dsmil-*.whl")
    return built


@pytest.fixture(scope="module")
def venv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment with the wheel; what it depends on is borrowed from the one that runs the tests."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    options = ("--no-index", "--no-deps", "--quiet", "--disable-pip-version-check")
    subprocess.run([python, "-m", "pip", "install", *options, wheel], check=True)
    asked: list[str | Path] = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip())
    # As a path and no more: a .pth file there, which leads to the clone, is not followed from here.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_holds_what_it_needs_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"dsmil-{__version__}.dist-info/METADATA").decode()
    data = f"dsmil-{__version__}.data/data/share/dsmil/samples"
    assert names >= {
        "dsmil/py.typed",
        "dsmil/infrastructure/functions.lua",
        "dsmil/infrastructure/sql/statements.sql",
        f"{data}/eve-demo.json",
        f"{data}/shrink-recorded.json",
    }
    sql = {path.name for path in (ROOT / "src/dsmil/infrastructure/sql/schema").glob("*.sql")}
    assert sql == {name.rpartition("/")[2] for name in names if re.search(r"/sql/schema/[^/]+\.sql$", name)}
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"dsmil", f"dsmil-{__version__}.dist-info", f"dsmil-{__version__}.data"}
    assert not [name for name in names if re.search(r"tests?/|fixtures|__pycache__|conftest", name)]
    assert f"Version: {__version__}\n" in metadata
    assert "License-Expression: Apache-2.0" in metadata


def test_is_the_installed_copy_that_runs(venv: Path, tmp_path: Path) -> None:
    env = environment()
    asked: list[str | Path] = [venv / "bin" / "python", "-c", "import dsmil; print(dsmil.__file__)"]
    where = subprocess.run(asked, env=env, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert Path(where.stdout.strip()).is_relative_to(venv)
    shown = subprocess.run(
        [venv / "bin" / "dsmil", "--version"], env=env, cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert __version__ in shown.stdout


def test_the_demo_runs_from_anywhere(venv: Path, runtime: dict[str, str], tmp_path: Path) -> None:
    state, output = tmp_path / "state", tmp_path / "output"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    env = environment(DSMIL_STATE_DIR=state, XDG_RUNTIME_DIR=runtime["XDG_RUNTIME_DIR"])
    program = venv / "bin" / "dsmil"
    with output.open("wb") as said:
        up = subprocess.Popen(
            [program, "up", "--demo"],
            env=env,
            cwd=elsewhere,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        try:

            def shown() -> bool:
                assert up.poll() is None, output.read_text()
                return bool(_EVENT.search(output.read_text()))

            until(shown, 30, "an SOC event")
            status = subprocess.run(
                [program, "status", "--json"], env=env, cwd=elsewhere, check=True, capture_output=True
            )
            assert json.loads(status.stdout)["running"] is True
            up.send_signal(signal.SIGINT)
            assert up.wait(30) == 0, output.read_text()
        finally:
            if up.poll() is None:
                up.terminate()
                up.wait(30)
    assert output.read_text().splitlines()[-1] == "stopped"
    assert list(elsewhere.iterdir()) == []
