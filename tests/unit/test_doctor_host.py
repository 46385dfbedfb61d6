"""The doctor on clocks, locks, ports and surroundings: boundaries of each check."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.doctor_facts import NOW, OURS, WELL, facts, only, run, worst

from dsmil.doctor.collect import environment
from dsmil.doctor.examine import all_checks, examine
from dsmil.doctor.facts import Device, Facts, Folder, Port, Table
from dsmil.doctor.finding import FIXES
from dsmil.doctor.mend import ACTIONS
from dsmil.doctor.words import redis_cli, size, span


def test_all_well_has_no_trouble() -> None:
    assert {f.severity for f in examine(WELL)} <= {"ok", "info"}
    assert set(ACTIONS) == set(FIXES)


def test_every_finding_with_trouble_has_evidence_and_remedy() -> None:
    bad = facts(settings_errors=("REDIS_PORT='x' is not a valid int",))
    for finding in [*examine(bad), *examine(facts("broker", error="away", aof=False))]:
        assert finding.evidence
        assert finding.severity in {"ok", "info"} or finding.remedy
        assert not finding.fix or finding.fix in FIXES


@pytest.mark.parametrize(
    ("offset", "doubt", "expected"),
    [(1.0, 0.0, "ok"), (1.01, 0.0, "warning"), (-1.5, 0.1, "warning"), (1.5, 0.5, "ok")],
)
def test_drift(offset: float, doubt: float, expected: str) -> None:
    assert worst("clock", "drift", facts("broker", clock_offset_s=offset, clock_error_s=doubt)) == expected


@pytest.mark.parametrize(("ahead", "expected"), [(0.0, "ok"), (1.0, "ok"), (1.1, "warning")])
def test_rows_and_files_from_the_future(ahead: float, expected: str) -> None:
    row = Table(name="soc_events_cache", rows=1, keep_s=1, oldest=NOW, newest=NOW + ahead)
    assert worst("clock", "future", facts("store", tables=(row,))) == expected
    file = msgspec.structs.replace(OURS, mtime=NOW + ahead)
    assert worst("clock", "future", facts("instance", future_files=(file,))) == expected


@pytest.mark.parametrize(
    ("wall", "steady", "expected"),
    [
        (160.0, 100.0, "ok"),
        (160.1, 100.0, "warning"),
        (40.0, 100.0, "ok"),
        (39.9, 100.0, "warning"),
        (5.0, None, None),
    ],
)
def test_the_clock_was_set(wall: float, steady: float | None, expected: str | None) -> None:
    assert worst("clock", "step", facts("instance", age_wall_s=wall, age_steady_s=steady)) == expected


@pytest.mark.parametrize(
    ("health", "expected"), [("healthy", "ok"), ("degraded", "warning"), ("unhealthy", "error"), ("", "error")]
)
def test_ports(health: str, expected: str) -> None:
    port = Port(name="metrics", port=8000, health=health, problem="broker: away")
    assert worst("ports", "health", facts("instance", ports=(port,))) == expected


def test_shrink_is_optional_and_nothing_running_is_told_once() -> None:
    assert worst("ports", "shrink", facts("instance", shrink_problem="refused")) == "info"
    assert worst("ports", "shrink", facts()) == "ok"
    (found,) = run("ports", facts("instance", running=False))
    assert (found.check, found.severity) == ("ports.fabric", "info")
    beating = Device(device_id=52, name="SOC", status="ONLINE", age_s=1.0)
    by_units = msgspec.structs.replace(
        facts("store", devices=(beating,)), instance=facts("instance", running=False).instance
    )
    assert worst("ports", "fabric", by_units) == "ok"


@pytest.mark.parametrize(
    ("changes", "name", "expected", "fix"),
    [
        ({}, "record", "ok", ""),
        ({"record": False}, "record", "ok", ""),
        ({"running": False}, "record", "warning", "remove-record"),
        ({"record_readable": False}, "record", "warning", ""),
        ({"socket": "/s", "socket_answers": True, "data_held": True}, "socket", "ok", ""),
        ({"socket": "/s", "data_held": True}, "socket", "warning", ""),
        ({"socket": "/s"}, "socket", "warning", "remove-socket"),
        ({"running": False, "data_held": True, "socket": "/s"}, "socket", "warning", ""),
        ({"consumer_locks": 103, "consumer_held": 3}, "consumers", "ok", ""),
        ({"consumer_locks": 104, "consumer_held": 3}, "consumers", "info", ""),
    ],
)
def test_locks(changes: dict[str, Any], name: str, expected: str, fix: str) -> None:
    found = only("locks", name, facts("instance", **changes))
    assert (found.severity, found.fix) == (expected, fix)


def test_writer_lock() -> None:
    assert worst("locks", "writer", facts()) == "ok"
    assert worst("locks", "writer", facts("store", writer_held=False)) == "warning"
    still = facts("instance", running=False)
    free = facts("store", writer_held=False, writer_lock=True).store
    assert worst("locks", "writer", msgspec.structs.replace(still, store=free)) == "ok"


def folder(**changes: Any) -> Facts:
    made = msgspec.structs.replace(
        Folder(path="/shm/x", exists=True, is_dir=True, mode=0o700, uid=1000), **changes
    )
    return facts("instance", conflicts=(made,))


def test_folders_of_others() -> None:
    assert worst("environment", "folders", facts()) is None
    assert "chmod 700 /shm/x" in only("environment", "folders", folder(mode=0o755)).remedy
    assert "belongs to user 0" in only("environment", "folders", folder(uid=0)).evidence
    assert "not a folder" in only("environment", "folders", folder(is_dir=False)).evidence
    foreign = msgspec.structs.replace(OURS, uid=0)
    assert worst("environment", "folders", facts("instance", state_dir=foreign)) == "warning"
    assert worst("environment", "folders", facts("instance", state_dir=Folder(path="/none"))) is None


@pytest.mark.parametrize(
    ("version", "platform", "expected"),
    [((3, 10, 9), "linux", "error"), ((3, 11, 0), "linux", "ok"), ((3, 12, 0), "darwin", "info")],
)
def test_python(version: tuple[int, int, int], platform: str, expected: str) -> None:
    assert worst("environment", "python", facts("host", python=version, platform=platform)) == expected


def test_bad_settings_are_findings_and_the_others_are_read() -> None:
    found = environment({"REDIS_PORT": "many", "BATCH_SIZE": "-1", "LOG_LEVEL": "DEBUG"})
    assert [text.partition("=")[0] for text in found.problems] == ["REDIS_PORT", "BATCH_SIZE"]
    assert found.settings.log_level == "DEBUG"
    assert found.broker_unknown
    assert not environment({"SHRINK_URL": "nonsense"}).broker_unknown
    assert environment({}).problems == ()
    said = [f.severity for f in run("environment", facts(settings_errors=found.problems))]
    assert said == ["error", "error", "ok"]


def test_names_of_checks_are_unique_and_begin_with_their_family() -> None:
    for name, check in all_checks().items():
        assert all(tell.startswith(f"{name}.") for tell in check.tells)


def test_words() -> None:
    assert (size(0), size(1023), size(1024), size(3 * 1024**3)) == ("0 B", "1023 B", "1.0 KB", "3.0 GB")
    assert (span(1.25), span(120), span(7200), span(604_800)) == ("1.25 s", "2 min", "2 h", "7 d")
    tcp = facts("broker", address="redis://h:1/0").broker
    assert redis_cli(tcp, "XINFO", "STREAM", "a b") == "redis-cli -u redis://h:1/0 XINFO STREAM 'a b'"
