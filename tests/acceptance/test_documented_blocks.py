"""The specification's own usage blocks, run as they are printed there."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.acceptance.fabric_process import ROOT, SPECIFICATION, Fabric, environment, run

from dsmil.events.model import create_event
from dsmil.infrastructure.broker import Broker
from dsmil.infrastructure.redis_streams import RedisStreamsClient, StreamName
from dsmil.services.soc_router import SOCRouter, SOCRouterConfig
from dsmil.testing.waiting import until

PYTHON = Path(sys.executable).with_name("python3")
REPORT = """\
==================================================
DSMIL SOC Router Infrastructure Tests
==================================================

🔴 Testing Redis Streams...
  ✅ Connected to Redis
  ✅ Initialized 13/13 streams
  ✅ Published test event
  ✅ Redis tests passed

💾 Testing Hot-Path Database...
  ✅ Connected to hot-path DB
  ✅ Schema initialized
  ✅ Hot-path DB tests passed

🧠 Testing SHRINK Integration...
  ⚠️  SHRINK not available (optional)

🔧 Testing SOC Router...
  📊 Device ID: 52
  📊 Token Base: 0x809C
  ✅ SOC Router instantiation passed

==================================================
Test Summary
==================================================
  redis: ✅ PASSED
  hotpath_db: ✅ PASSED
  shrink: ✅ PASSED
  soc_router: ✅ PASSED

Total: 4/4 tests passed
🎉 All tests passed!
"""
#: As documented: 📊 Stats: uptime=123s, processed=45, published=42, shrink=✅
STATS = re.compile(r"📊 Stats: uptime=(\d+)s, processed=(\d+), published=(\d+), shrink=(✅|❌)")


@pytest.fixture(scope="module")
def specification() -> str:
    if not SPECIFICATION.is_file():
        if os.environ.get("CI") == "true" and (ROOT.parent / "shared").is_dir():
            pytest.fail(f"{SPECIFICATION} is missing")
        pytest.skip(f"the specification is not at {SPECIFICATION}")
    return SPECIFICATION.read_text("utf-8")


def _blocks(text: str, language: str, heading: str = "") -> list[str]:
    """Return the code blocks of a language, of the section that ``heading`` begins or of all."""
    if heading:
        text = re.split(r"^#{2,3} ", text.split(heading, 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_event_bus_usage(specification: str, fabric: Fabric) -> None:
    (block,) = _blocks(specification, "python", "### 1. Redis Streams Client")
    assert "client.publish(StreamName.L3_OUT, event)" in block
    done = run(PYTHON, "-", env=fabric.env, given=block)
    assert (done.code, done.out, done.err) == (0, "", "")
    found = "SELECT severity, source_device, category FROM soc_events_cache WHERE payload = ?"
    alert = json.dumps({"alert": "Anomaly detected"}, separators=(",", ":"))
    until(lambda: fabric.rows(found, alert), 20, "the documented event")
    assert fabric.rows(found, alert) == [("HIGH", 15, "SECURITY")]


def test_database_usage(specification: str, fabric: Fabric) -> None:
    (block,) = _blocks(specification, "python", "### 2. Hot-Path Database")
    assert "db.insert_event(" in block
    for _ in range(2):  # the same id again changes nothing
        done = run(
            PYTHON,
            "-",
            env=fabric.env,
            given=f"{block}\nimport json\nprint(json.dumps([dict(e) for e in events], default=str))\n",
        )
        assert (done.code, done.err) == (0, "")
        mine = [e for e in done.json if e["event_id"] == "uuid"]
        assert len(mine) == 1
        event = mine[0]
        assert (event["device_id"], event["layer"], event["severity"], event["source"]) == (
            *(52, 8),
            *("HIGH", "soc-router"),
        )
        assert event["payload"] == {"alert": "data"}
    assert fabric.rows("SELECT count(*) FROM raw_events_fast WHERE event_id = 'uuid'") == [(1,)]


def test_there_are_no_other_python_blocks(specification: str) -> None:
    assert len(_blocks(specification, "python")) == 2, "a new documented block needs a test"


def test_monitoring_queries(specification: str, fabric: Fabric) -> None:
    fabric.send("for-the-queries")
    fabric.wait_row("for-the-queries")
    until(
        lambda: fabric.rows("SELECT 1 FROM device_status WHERE device_id = 52 AND status = 'ONLINE'"),
        10,
        "the router's heartbeat",
    )
    (block,) = _blocks(specification, "sql", "### Hot-Path Database")
    queries = [q.strip() for q in block.split(";") if q.strip()]
    assert len(queries) == 4
    columns = []
    for query in queries:
        done = fabric.cli("sql", "--json", f"{query};")
        assert done.code == 0, done
        columns.append(done.json["columns"])
        assert fabric.cli("sql", query).code == 0
        if "shrink_metrics ORDER" not in query:
            assert done.json["rows"], query
    assert columns[0] == ["layer", "severity", "COUNT(*)"]
    assert {"event_id", "severity", "signals", "shrink_metrics", "l8_enrichment", "payload"} <= set(columns[1])
    assert {"device_id", "layer", "name", "status", "last_heartbeat"} <= set(columns[2])
    assert columns[3] == [] or {"ts", "risk_acute_stress", "crisis_level"} <= set(columns[3])


def test_documented_stream_commands(specification: str, fabric: Fabric) -> None:
    """What the page says with redis-cli; its group commands meet groups that are there already."""
    fabric.send("for-the-lengths")
    fabric.wait_row("for-the-lengths")
    commands = re.findall(r"^redis-cli (.+)$", specification, re.MULTILINE)
    assert len(commands) == 8
    with fabric.redis() as client:
        for command in commands:
            words = command.split()
            if words[0] == "XGROUP":
                groups = [group["name"].decode() for group in client.xinfo_groups(words[2])]
                assert words[3] in groups, command
            else:
                assert client.execute_command(*words), command  # type: ignore[no-untyped-call]


def test_report_of_a_running_fabric(fabric: Fabric) -> None:
    rows = "SELECT count(*) FROM raw_events_fast WHERE device_id = 52 AND source = 'self-test'"
    before = fabric.rows(rows)
    done = run(PYTHON, "scripts/test_soc_router.py", env=fabric.env)
    assert done.code == 0, done
    assert done.out == REPORT
    assert done.err == ""
    verbose = run(PYTHON, "scripts/test_soc_router.py", "--verbose", env=fabric.env)
    assert verbose.code == 0
    lines = verbose.out.splitlines()
    assert [line for line in lines if line in REPORT.splitlines()] == REPORT.splitlines()
    assert len(lines) > len(REPORT.splitlines())
    assert fabric.record["broker_url"] in verbose.out
    assert fabric.rows(rows) == before, "it leaves no row behind"


def test_report_without_a_fabric(tmp_path: Path, closed_port: int) -> None:
    env = environment(
        DSMIL_STATE_DIR=tmp_path / "state",
        REDIS_HOST="127.0.0.1",
        REDIS_PORT=str(closed_port),
        SHRINK_URL=f"http://127.0.0.1:{closed_port}",
    )
    done = run(PYTHON, "scripts/test_soc_router.py", env=env)
    assert done.code == 1
    assert "  redis: ❌ FAILED" in done.out
    assert "  hotpath_db: ✅ PASSED" in done.out
    assert "  shrink: ✅ PASSED" in done.out, "SHRINK is optional"
    assert "Total: 3/4 tests passed" in done.out
    assert "All tests passed" not in done.out


def test_router_of_the_documented_path(tmp_path: Path, broker: Broker, closed_port: int) -> None:
    """``python3 src/services/soc_router.py`` by hand, at a given broker: router and store writer."""
    env = environment(
        REDIS_URL=broker.url,
        HOTPATH_DB=tmp_path / "hotpath.db",
        SHRINK_URL=f"http://127.0.0.1:{closed_port}",
        XDG_STATE_HOME=tmp_path,
        DSMIL_DEVICE_ID="52",
        DSMIL_LAYER="8",
    )
    seen = Fabric(tmp_path / "state")
    seen.record = {"broker_url": broker.url, "hotpath_db": str(tmp_path / "hotpath.db")}
    with RedisStreamsClient(broker.url) as bus:
        bus.client.flushall()
        assert all(bus.initialize_streams().values())
        event = create_event(16, 3, "NETWORK", "MEDIUM", {"alert": "through the documented path"})
        assert bus.publish(StreamName.L3_OUT, event), "published before anybody reads: it must not be missed"
        log = tmp_path / "router.log"
        with log.open("wb") as said:
            process = subprocess.Popen(
                [PYTHON, "src/services/soc_router.py"],
                env=env,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        try:
            row = seen.wait_row(event.event_id)
            assert (row["severity"], row["payload"]) == ("MEDIUM", {"alert": "through the documented path"})
            again = create_event(23, 4, "NETWORK", "LOW", {"label": "second"})
            assert bus.publish(StreamName.L4_OUT, again)
            assert seen.wait_row(again.event_id)["signals"]["l4"]["label"] == "second"
            until(lambda: seen.rows("SELECT 1 FROM device_status WHERE device_id = 52 AND status = 'ONLINE'"))
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    assert seen.rows("SELECT status FROM device_status WHERE device_id = 52") == [("OFFLINE",)]
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("uptime_s", [0, 123, 86_400])
def test_stats_line_has_the_documented_form(uptime_s: int, broker: Broker) -> None:
    router = SOCRouter(SOCRouterConfig(redis_url=broker.url))
    found = STATS.fullmatch(router.stats_line(uptime_s) or "")
    assert found is not None
    assert found.groups() == (str(uptime_s), "0", "0", "❌")
    assert STATS.fullmatch("📊 Stats: uptime=123s, processed=45, published=42, shrink=✅")


#: Parts of the documented file structure that are files.
FILES = (
    *("src/infrastructure/__init__.py", "src/infrastructure/redis_streams.py", "src/infrastructure/hotpath_db.py"),
    *("src/services/__init__.py", "src/services/soc_router.py"),
    *("scripts/init_hotpath_db.sql", "scripts/test_soc_router.py", "systemd/dsmil-soc-router.service"),
    "scripts/setup_data_fabric.sh",
)


@pytest.mark.parametrize("path", FILES)
def test_documented_file_is_there(path: str) -> None:
    assert (ROOT / path).is_file()


def test_unit_starts_the_documented_path() -> None:
    unit = (ROOT / "systemd" / "dsmil-soc-router.service").read_text()
    for variable in (
        *("REDIS_HOST=localhost", "REDIS_PORT=6379", "REDIS_DB=0", "SHRINK_URL=http://localhost:8500"),
        *("SHRINK_POLL_INTERVAL=1.0", "BATCH_SIZE=10", "POLL_TIMEOUT=5000", "LOG_LEVEL=INFO"),
        *("DSMIL_DEVICE_ID=52", "DSMIL_LAYER=8"),
    ):
        assert re.search(rf"^Environment=.*\b{re.escape(variable)}(\s|$)", unit, re.MULTILINE), variable
    assert re.search(r"^ExecStart=\S+ \S*src/services/soc_router\.py --router-only$", unit, re.MULTILINE)
    assert "SyslogIdentifier=dsmil-soc-router" in unit
