"""The units: systemd's own judgement of them, and what they promise."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dsmil.services import snapshot_keeper
from dsmil.services.catalogue import handler_classes, service_classes
from dsmil.services.host import DRAIN_S

ROOT = Path(__file__).parents[2]
UNITS = sorted(file for file in (ROOT / "systemd").iterdir() if file.suffix in {".service", ".target"})
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
    for name in (service_classes() | handler_classes()).keys() - {"soc-router", "store-writer"}:
        shutil.copy(tmp_path / "dsmil@.service", tmp_path / f"dsmil@{name}.service")
    shutil.copy(tmp_path / "dsmil-ingest@.service", tmp_path / "dsmil-ingest@eve.service")
    shutil.copy(tmp_path / "dsmil-listen@.service", tmp_path / "dsmil-listen@syslog.service")
    return tmp_path


def test_systemd_finds_no_fault(analyze: str, units: Path) -> None:
    files = [file for file in sorted(units.iterdir()) if not file.stem.endswith("@")]
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


#: Least memory of a service, megabytes: 1.5 GB is what the specification gives the router.
MEMORY = {
    "dsmil-ingest@.service": 256,
    "dsmil-listen@.service": 384,
    "dsmil-soc-router.service": 1536,
    "dsmil@.service": 1536,
    # Pages of a tmpfs count to the service that writes them: 4 GB of it beside its own.
    "dsmil@store-writer.service": 4096 + 1536,
}


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_memory_fits_the_service(unit: Path) -> None:
    settings = dict(line.split("=", 1) for line in unit.read_text().splitlines() if line.startswith("Memory"))
    size = {"G": 1024, "M": 1}
    high, most = (int(settings[key][:-1]) * size[settings[key][-1]] for key in ("MemoryHigh", "MemoryMax"))
    assert MEMORY[unit.name] <= high < most <= MEMORY[unit.name] * 2


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_service_is_never_given_up_and_needs_no_other(unit: Path) -> None:
    text = unit.read_text()
    head = text.partition("[Service]")[0]
    assert "\nStartLimitIntervalSec=0\n" in head
    assert "\nRestart=always\nRestartSec=1\n" in text
    assert not re.search(r"^(Requires|BindsTo|Requisite)=", text, re.MULTILINE)


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_services_are_shut_in_alike(unit: Path) -> None:
    first, other = (
        file.read_text().partition("\nTasksMax=")[2].partition("\n[Install]")[0] for file in (SERVICES[0], unit)
    )
    assert "ProtectSystem=strict" in first
    assert other == first


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_each_service_reads_its_own_login_after_the_common_settings(unit: Path) -> None:
    files = re.findall(r"^EnvironmentFile=(\S+)$", unit.read_text(), re.MULTILINE)
    own = {
        "dsmil-ingest@.service": ["-/etc/dsmil/ingest.env", "/etc/dsmil/ingest-%i.env"],
        "dsmil-listen@.service": ["-/etc/dsmil/listen.env", "/etc/dsmil/listen-%i.env"],
        "dsmil-soc-router.service": ["-/etc/dsmil/soc-router.env"],
        "dsmil@.service": ["-/etc/dsmil/%i.env"],
        "dsmil@store-writer.service": ["-/etc/dsmil/store-writer.env"],
    }
    assert files == ["-/etc/dsmil/dsmil.env", *own[unit.name]]


@pytest.mark.parametrize("unit", ["dsmil-soc-router.service", "dsmil.target"])
def test_the_services_of_the_fabric_come_along(unit: str) -> None:
    """Whoever starts the documented unit, or the target, gets every service that is no detector."""
    text = (ROOT / "systemd" / unit).read_text()
    wanted = {word for line in re.findall(r"^Wants=(.*)$", text, re.MULTILINE) for word in line.split()}
    services = {f"dsmil@{name}.service" for name in service_classes().keys() - {"soc-router"}}
    assert {"dsmil@store-writer.service", "dsmil@janitor.service", "dsmil@auditor.service"} <= services
    assert services <= wanted
    assert {name for name in wanted if name.startswith("dsmil@")} == services


def test_the_documented_unit_runs_the_router_alone() -> None:
    text = (ROOT / "systemd" / "dsmil-soc-router.service").read_text()
    assert re.search(r"^ExecStart=.* --router-only$", text, re.MULTILINE)


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_service_is_given_the_time_to_end(unit: Path) -> None:
    needed = DRAIN_S + 5
    if "store-writer" in unit.name:
        needed += snapshot_keeper.LAST_S
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit.read_text(), re.MULTILINE)
    assert int(stop) >= needed


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_state_directory_and_tmpfs_can_be_written(unit: Path) -> None:
    """Heartbeats go to the store, snapshots and places of followed logs to the state directory."""
    text = unit.read_text()
    assert re.search(r"^StateDirectory=dsmil$", text, re.MULTILINE)
    (paths,) = re.findall(r"^ReadWritePaths=(.*)$", text, re.MULTILINE)
    assert paths.split() == ["-/mnt/dsmil-ram", "/var/lib/dsmil"]


def test_no_two_units_begin_at_one_port() -> None:
    texts = "".join(unit.read_text() for unit in SERVICES)
    assert sorted(re.findall(r"--metrics-port (\d+)", texts)) == ["8001", "8002"]  # 8000 is the router's
