"""auditd writes what the kernel saw; its live log is followed: one event for one file that somebody read."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.sensors.conftest import Start, program

from dsmil.config import Settings
from dsmil.events.model import Event
from dsmil.events.streams import StreamName
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.follow import FollowedFile
from dsmil.sources.auditd import Auditd
from dsmil.testing.running import Running
from dsmil.testing.waiting import until

CONFIGURATION = """
log_file = {folder}/audit.log
log_format = {form}
log_group = root
flush = INCREMENTAL_ASYNC
freq = 1
max_log_file = 8
max_log_file_action = IGNORE
space_left = 2
space_left_action = IGNORE
admin_space_left = 1
admin_space_left_action = IGNORE
disk_full_action = IGNORE
disk_error_action = IGNORE
"""


def control(*words: str) -> str:
    done = subprocess.run([program("auditctl"), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"auditctl {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@pytest.mark.parametrize("form", ["RAW", "ENRICHED"])
def test_who_read_a_watched_file_is_one_event(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path, start: Start, form: str
) -> None:
    if os.geteuid() != 0:
        pytest.skip("the kernel's audit is for root")
    if "pid 0" not in control("-s"):
        pytest.skip("another auditd is running on this host")
    log, watched = tmp_path / "audit.log", tmp_path / "watched file"
    watched.write_text("secret")
    (tmp_path / "auditd.conf").write_text(CONFIGURATION.format(folder=tmp_path, form=form))
    (tmp_path / "auditd.conf").chmod(0o600)
    rule = ("-F", f"dir={tmp_path}", "-F", "perm=r", "-k", "T1005_watched")
    start(program("auditd"), "-n", "-s", "enable", "-c", tmp_path)
    until(lambda: "pid 0" not in control("-s"))
    try:
        with Running(FollowedFile(Auditd(), log, settings)):
            control("-a", "always,exit", *rule)
            subprocess.run(["/bin/cat", watched], check=True, stdout=subprocess.DEVNULL)
            control("-d", "always,exit", *rule)
            until(lambda: readings(bus, watched))
    finally:
        subprocess.run([program("auditctl"), "-e", "0"], capture_output=True, check=False)
    (event,) = readings(bus, watched)
    assert event.techniques == ("T1005",)
    assert event.payload["types"] == ["SYSCALL", "CWD", "PATH", "PROCTITLE"]
    assert event.payload["command_line"] == f"/bin/cat {watched}"
    found = {(one.type, one.value) for one in event.entities}
    assert {("user", "0"), ("file", str(watched))} <= found
    assert (("user", "root") in found) == (form == "ENRICHED")
    assert abs(event.ingest_ts - event.ts) < 60


def readings(bus: RedisStreamsClient, watched: Path) -> list[Event]:
    """Return the events about the file."""
    return [
        event
        for _, event in bus.read(StreamName.L3_IN, count=10_000)
        if event.payload.get("command_line") == f"/bin/cat {watched}"
    ]
