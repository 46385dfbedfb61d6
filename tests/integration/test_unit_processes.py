"""The units' own commands with their environment files: from a log file to a row, each as its own user."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from tests.integration.service_manager import Unit

from dsmil.config import Settings
from dsmil.infrastructure.broker import Broker, bundled_binary
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.passwords import password_hash
from dsmil.infrastructure.pressure import PRESSURE_KEY, Level, Pressure, announce
from dsmil.infrastructure.trimming import SAVED_KEY
from dsmil.testing.servers import PrivateServer
from dsmil.testing.waiting import until

SERVICES = {
    "dsmil-soc-router": "soc-router",
    "dsmil@store-writer": "store-writer",
    "dsmil@janitor": "janitor",
    "dsmil@auditor": "auditor",
    "dsmil@l3-suricata-alert": "l3-suricata-alert",
    "dsmil@l3-sensor-alert": "l3-sensor-alert",
    "dsmil@l3-sigma": "l3-sigma",
    "dsmil@l3-analytics": "l3-analytics",
    "dsmil@l4-fusion": "l4-fusion",
    "dsmil@l4-tactics": "l4-tactics",
    "dsmil@l4-risk": "l4-risk",
    "dsmil-ingest@eve": "ingest",
    "dsmil-listen@push": "listen",
}


def record(number: int) -> str:
    alert = {"signature_id": number, "signature": "test", "severity": 1}
    stamp = "2026-11-23T10:00:00.000000+0000"
    return json.dumps({"timestamp": stamp, "event_type": "alert", "src_ip": "192.0.2.1", "alert": alert}) + "\n"


def write_settings(folder: Path, url: str) -> Path:
    """Write what an operator writes into /etc/dsmil; return the log that is to be followed."""
    places = {"XDG_STATE_HOME": folder / "state", "XDG_RUNTIME_DIR": folder, "HOTPATH_DB": folder / "hotpath.db"}
    common = {"REDIS_URL": url, "SHRINK_URL": "http://127.0.0.1:9", "POLL_TIMEOUT": "200"} | places
    (folder / "dsmil.env").write_text("".join(f"{name}={value}\n" for name, value in common.items()))
    log = folder / "eve of the sensor.json"
    (folder / "ingest-eve.env").write_text(f"DSMIL_INGEST_FORMAT=suricata-eve\nDSMIL_INGEST_FILE={log}\n")
    (folder / "listen-push.env").write_text(
        "DSMIL_LISTEN=syslog --tcp 127.0.0.1:0 --feed suricata-eve --metrics-port 0\n"
    )
    return log


def dsmil(*arguments: str | Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dsmil", *arguments],
        env={"PATH": os.environ["PATH"]} | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done
    return done.stdout


@contextlib.contextmanager
def units(folder: Path, *names: str) -> Iterator[dict[str, Unit]]:
    made = {name: Unit(name, folder) for name in names}
    try:
        yield made
    finally:
        for unit in made.values():
            unit.close()


def test_each_unit_logs_in_as_its_own_user(tmp_path: Path) -> None:
    acl = tmp_path / "users.acl"
    options = ("--passwords", tmp_path / "passwords", "--out", acl, "--env-dir", tmp_path)
    dsmil("acl", *options, env={"HOME": str(tmp_path)})
    with acl.open("a") as file:
        file.write(f"user root on #{password_hash('root')} ~* &* +@all\n")
    with PrivateServer(bundled_binary(), ["--aclfile", acl]) as server:
        log = write_settings(tmp_path, server.url)
        lines = (tmp_path / "admin.env").read_text().splitlines()
        admin = dict(line.split("=", 1) for line in lines)
        assert "functions loaded" in dsmil("init", env=admin | {"REDIS_URL": server.url, "HOME": str(tmp_path)})
        with units(tmp_path, *SERVICES) as running:
            for unit in running.values():
                unit.start()
            for unit in running.values():
                until(lambda unit=unit: unit.said("READY=1"), what=f"{unit.name} to be ready")  # type: ignore[misc]
            log.write_text(record(7))
            store = Settings.from_env({"HOTPATH_DB": str(tmp_path / "hotpath.db")})
            with HotPathDB(settings=store) as db:
                rows = until(db.get_recent_soc_events, what="the row")
                row = next(row for row in rows if row["source_layer"] == 3)  # what Layer 4 says of it comes beside
            assert (row["severity"], row["source_device"]) == ("HIGH", 16)
            snapshots = tmp_path / "state" / "dsmil" / "snapshots"
            until(lambda: list(snapshots.glob("hotpath-*.db")), what="a snapshot in the state directory")
            with redis.Redis.from_url(server.url, username="root", password="root", protocol=2) as root:
                until(lambda: root.exists(PRESSURE_KEY), what="the word of the janitor")
                until(lambda: root.hlen(SAVED_KEY), what="the word of the snapshots")

                def alarmed() -> bool:
                    # Again and again, because the janitor puts its own word in this place.
                    announce(root, Pressure(level=Level.WARN, reason="for the test"))
                    return "auditor.alarm" in running["dsmil@auditor"].log()

                until(alarmed, what="the alarm")
                with HotPathDB(settings=store) as db:
                    until(lambda: any(r["source_device"] == 21 for r in db.get_recent_soc_events()), what="a row")
                users = {client["user"] for client in root.client_list()} - {"root"}
                assert users == {f"dsmil-{service}" for service in SERVICES.values()}
                assert [entry["object"] for entry in root.acl_log()] == []
            for name, unit in running.items():
                assert unit.stop() == 0, unit.log()
                assert unit.manager.receive().count("STOPPING=1") == 1, name
                assert "Traceback" not in unit.log()


def test_a_unit_without_its_login_ends_and_says_why(tmp_path: Path) -> None:
    acl = tmp_path / "users.acl"
    dsmil("acl", "--passwords", tmp_path / "passwords", "--out", acl, env={"HOME": str(tmp_path)})
    with PrivateServer(bundled_binary(), ["--aclfile", acl]) as server, units(tmp_path, *SERVICES) as running:
        write_settings(tmp_path, server.url)
        for unit in running.values():
            unit.start()
            assert unit.process is not None
            assert unit.process.wait(20) == 69, unit.log()
            assert "refuses user or password" in unit.log()


def test_a_log_followed_by_its_unit_through_an_outage(tmp_path: Path) -> None:
    broker = Broker(bundled_binary(), tmp_path / "broker")
    broker.start()
    try:
        log = write_settings(tmp_path, broker.url)
        with (
            units(tmp_path, "dsmil-ingest@eve") as running,
            redis.Redis.from_url(broker.url, protocol=2) as client,
        ):
            (unit,) = running.values()
            unit.start()
            until(lambda: unit.said("READY=1"), what="READY=1")
            until(lambda: f"{log} is not there" in unit.status(), what="the status of a file to come")
            log.write_text(record(1))
            until(lambda: client.exists("L3_IN") and client.xlen("L3_IN") == 1, what="the first record")
            until(lambda: unit.status().startswith("STATUS=running ingest"), what="the status of a healthy unit")

            broker.stop()
            with log.open("a") as file:
                file.write(record(2))
            until(lambda: ": broker: " in unit.status(), what="the status of an outage")
            count = unit.manager.receive().count("WATCHDOG=1")
            until(lambda: unit.manager.receive().count("WATCHDOG=1") >= count + 2, what="life in the outage")
            broker.start()
            until(lambda: client.xlen("L3_IN") == 2, what="the second record")

            broker.stop()
            with log.open("a") as file:
                file.write(record(3))
            until(lambda: ": broker: " in unit.status(), what="another outage")
            assert unit.stop() == 0, unit.log()
            assert "STOPPING=1" in unit.manager.receive()
            broker.start()
            unit.start()
            until(lambda: client.xlen("L3_IN") == 3, what="the third record")
            assert unit.stop() == 0, unit.log()
            assert (tmp_path / "state" / "dsmil" / "ingest.db").exists()
            assert client.xlen("L3_IN") == 3
            assert "Traceback" not in unit.log()
    finally:
        broker.stop()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("DSMIL_INGEST_FORMAT=", "no feed is called ''"),
        ("DSMIL_INGEST_FILE=", "a FILE is empty"),
        ("DSMIL_INGEST_RATE=fast", "'fast' is not a valid float"),
    ],
)
def test_a_wrong_line_of_an_ingest_unit_ends_it_for_good(tmp_path: Path, line: str, complaint: str) -> None:
    write_settings(tmp_path, f"unix://{tmp_path}/nobody")
    with (tmp_path / "ingest-eve.env").open("a") as file:
        file.write(f"{line}\n")
    with units(tmp_path, "dsmil-ingest@eve") as running:
        (unit,) = running.values()
        unit.start()
        assert unit.process is not None
        # The unit names this code in RestartPreventExitStatus=.
        assert unit.process.wait(20) == 2
        assert complaint in unit.log()
