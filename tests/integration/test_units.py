"""The units: systemd's own judgement of them, and what they promise."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dsmil.services.catalogue import detector_classes

ROOT = Path(__file__).parents[2]
UNITS = sorted(file for file in (ROOT / "systemd").iterdir() if file.suffix != ".env")
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
#: Exposure that systemd-analyze may find, of 10.
MOST = 1.5


@pytest.fixture(scope="session")
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        message = "systemd-analyze is not on PATH"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Return the units with the paths of this checkout, so that their programs exist."""
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/dsmil", str(ROOT)))
    for name in detector_classes():
        shutil.copy(tmp_path / "dsmil@.service", tmp_path / f"dsmil@{name}.service")
    return tmp_path


def test_systemd_finds_no_fault(analyze: str, units: Path) -> None:
    files = [file for file in sorted(units.iterdir()) if file.name != "dsmil@.service"]
    done = subprocess.run(
        [analyze, "verify", "--man=no", *files], capture_output=True, text=True, check=False, timeout=60
    )
    ours = [line for line in done.stderr.splitlines() if "dsmil" in line]
    assert (ours, done.returncode) == ([], 0), done.stderr


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_service_is_shut_in(analyze: str, unit: Path) -> None:
    done = subprocess.run(
        [analyze, "security", "--no-pager", "--offline=true", unit],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    score = re.search(r"Overall exposure level for \S+: (\d+\.\d)", done.stdout)
    assert score is not None, done.stdout + done.stderr
    assert float(score[1]) <= MOST, done.stdout


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_memory_holds_a_full_tmpfs(unit: Path) -> None:
    settings = dict(line.split("=", 1) for line in unit.read_text().splitlines() if line.startswith("Memory"))
    size = {"G": 1024, "M": 1}
    high, most = (int(settings[key][:-1]) * size[settings[key][-1]] for key in ("MemoryHigh", "MemoryMax"))
    # 4 GB of tmpfs, and the 1.5 GB that the specification gives the router.
    assert 4096 + 1536 <= high < most


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_service_is_never_given_up_and_needs_no_other(unit: Path) -> None:
    text = unit.read_text()
    head = text.partition("[Service]")[0]
    assert "\nStartLimitIntervalSec=0\n" in head
    assert "\nRestart=always\nRestartSec=1\n" in text
    assert not re.search(r"^(Requires|BindsTo|Requisite)=", text, re.MULTILINE)


def test_both_services_are_shut_in_alike() -> None:
    router, other = (
        (ROOT / "systemd" / name).read_text().partition("SyslogIdentifier=")[2].partition("\n")[2]
        for name in ("dsmil-soc-router.service", "dsmil@.service")
    )
    assert router.partition("[Install]")[0] == other.partition("[Install]")[0]
