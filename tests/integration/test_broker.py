"""The bundled broker: started, stopped, killed, and never two on the same data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from dsmil.errors import BrokerFailed
from dsmil.infrastructure import broker as broker_module
from dsmil.infrastructure.broker import Broker, bundled_binary, system_binary
from dsmil.testing.waiting import until


def test_starts_serves_and_stops_clean(tmp_path: Path) -> None:
    server = Broker(bundled_binary(), tmp_path)
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.ping()
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert client.config_get("appendonly")["appendonly"] == "yes"
        assert client.config_get("appendfsync")["appendfsync"] == "everysec"
        assert client.config_get("port")["port"] == "0"
    assert server.socket.stat().st_mode & 0o777 == 0o700
    assert server.socket.parent.stat().st_mode & 0o777 == 0o700
    assert len(os.fsencode(server.socket)) < 108
    pid = server.pid
    assert pid is not None
    server.stop()
    assert not server.socket.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_durable_means_every_write(tmp_path: Path) -> None:
    server = Broker(bundled_binary(), tmp_path, durable=True)
    server.start()
    try:
        with redis.Redis.from_url(server.url) as client:
            assert client.config_get("appendfsync")["appendfsync"] == "always"
    finally:
        server.stop()


def test_entries_and_pending_survive_a_killed_server(tmp_path: Path) -> None:
    server = Broker(bundled_binary(), tmp_path)
    server.start()
    with redis.Redis.from_url(server.url) as client:
        client.xgroup_create("L3_OUT", "g", "0", mkstream=True)
        for number in range(10):
            client.xadd("L3_OUT", {"event": str(number)})
        client.xreadgroup("g", "c", {"L3_OUT": ">"}, count=4)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: server.poll() is not None)
    server.start()
    try:
        with redis.Redis.from_url(server.url) as client:
            assert client.xlen("L3_OUT") == 10
            assert client.xpending("L3_OUT", "g")["pending"] == 4
    finally:
        server.stop()


def test_no_orphan_when_the_parent_is_killed(tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("the parent-death signal is Linux only")
    script = (
        "import sys, pathlib; from dsmil.infrastructure.broker import Broker, bundled_binary;"
        "b = Broker(bundled_binary(), pathlib.Path(sys.argv[1])); b.start(); print(b.pid, flush=True);"
        "sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    until(lambda: not _alive(pid))


def test_second_server_on_the_same_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new instance must not append to the file of a server that is still writing its last."""
    monkeypatch.setattr(broker_module, "_STOP_S", 0.2)
    first, second = Broker(bundled_binary(), tmp_path), Broker(bundled_binary(), tmp_path)
    first.start()
    try:
        with pytest.raises(BrokerFailed, match="still holds"):
            second.start()
        with redis.Redis.from_url(first.url) as client:
            assert client.ping(), "the first one must not have lost its socket"
    finally:
        first.stop()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    log = tmp_path / "broker" / "appendonlydir"
    log.parent.mkdir()
    log.write_text("a file where the server wants a folder")
    with pytest.raises(BrokerFailed, match="stopped at start"):
        Broker(bundled_binary(), tmp_path).start()


def test_system_broker_must_be_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerFailed, match="PATH"):
        system_binary()
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=0'\n")
    old.chmod(0o755)
    with pytest.raises(BrokerFailed, match=r"at least 7\.0"):
        system_binary()


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
