"""One test per trap of the client library's defaults: each of them loses, doubles or hangs."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from dsmil.config import Settings
from dsmil.errors import BusRefused, BusUnavailable
from dsmil.events.streams import StreamName
from dsmil.infrastructure import connection
from dsmil.infrastructure.address import broker_url, public_url
from dsmil.infrastructure.broker import Broker, bundled_binary
from dsmil.infrastructure.connection import connect, translated
from dsmil.infrastructure.groups import GroupReader
from dsmil.infrastructure.instance import InstanceRecord, StateDir
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.testing.factories import make_event
from dsmil.testing.waiting import until


def test_idle_blocking_read_of_the_documented_poll_timeout_is_no_error(settings: Settings) -> None:
    """POLL_TIMEOUT 5000 ms is exactly the library's default socket time-out."""
    assert settings.poll_timeout_ms == 5000
    client = connect(str(settings.redis_url), settings)
    client.flushall()
    reader = GroupReader(client, [StreamName.L3_OUT], "trap", "c")
    reader.prepare()
    assert reader.read_new(10, block_ms=settings.poll_timeout_ms) == []
    client.close()


def test_frozen_broker_gets_a_publish_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's silent retries wrote one event twice when the broker was only slow."""
    monkeypatch.setattr(connection, "_GRACE_S", 0.3)
    server = Broker(bundled_binary(), tmp_path)
    server.start()
    assert server.pid is not None
    try:
        settings = Settings.from_env({"REDIS_URL": server.url, "POLL_TIMEOUT": "1"})
        with RedisStreamsClient(settings=settings) as bus, RedisStreamsClient(server.url) as probe:
            assert bus.publish(StreamName.L3_IN, make_event()), "so that it has just asked whether it may"
            os.kill(server.pid, signal.SIGSTOP)
            # It wakes up while a client that tries again by itself would be at its second attempt.
            thaw = threading.Timer(0.45, os.kill, (server.pid, signal.SIGCONT))
            thaw.start()
            assert bus.publish(StreamName.L3_OUT, make_event()) is None, "no answer is no success"
            thaw.join()
            until(lambda: probe.client.xlen("L3_OUT") == 1)
            assert bus.publish(StreamName.L3_IN, make_event()) is not None, "and it connects again"
            assert probe.client.xlen("L3_OUT") == 1
    finally:
        server.stop()


def test_reply_shapes_are_pinned(bus: RedisStreamsClient) -> None:
    bus.client.xadd("L3_OUT", {"event": b"x"})
    reply = bus.client.xread({"L3_OUT": "0"})
    assert isinstance(reply, list)
    assert reply[0][0] == b"L3_OUT"
    assert reply[0][1][0][1] == {b"event": b"x"}
    bus.client.xreadgroup("dsmil", "c", {"L3_OUT": ">"})
    claimed = bus.client.execute_command("XAUTOCLAIM", "L3_OUT", "dsmil", "d", 0, "0-0")
    assert len(claimed) == 3, "from version 7 on the third part names entries that were trimmed away"


def test_no_option_of_newer_servers_is_needed(bus: RedisStreamsClient) -> None:
    """The commands of Redis 8 (IDMP, XACKDEL, XREADGROUP CLAIM) must not be sent."""
    bus.client.config_resetstat()  # other tests play a foreign hand that deletes
    bus.publish(StreamName.L3_OUT, make_event())
    reader = GroupReader(bus.client, [StreamName.L3_OUT], "new", "c")
    reader.prepare()
    reader.read_new(10, 1)
    sent = bus.client.info("commandstats")
    assert not {"cmdstat_xackdel", "cmdstat_xdelex", "cmdstat_xdel"} & set(sent)


def test_a_given_address_that_does_not_answer_is_an_error_and_never_replaced(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with StateDirRunning(tmp_path, "unix:///tmp/other.sock"):
        settings = Settings.from_env({"REDIS_PORT": str(port), "DSMIL_STATE_DIR": str(tmp_path)})
        assert broker_url(settings) == f"redis://localhost:{port}/0"
        with RedisStreamsClient(settings=settings) as client:
            assert client.connect() is False
            with pytest.raises(BusUnavailable):
                client.publish_many(StreamName.L3_OUT, [make_event()])


class StateDirRunning:
    """A state directory that an instance (this test) holds."""

    def __init__(self, path: Path, url: str) -> None:
        self._state = StateDir(path)
        self._url = url

    def __enter__(self) -> None:
        self._state.acquire()
        self._state.write(InstanceRecord(pid=os.getpid(), started=0.0, version="0", broker_url=self._url))

    def __exit__(self, *_: object) -> None:
        self._state.release()


def test_which_broker(tmp_path: Path) -> None:
    """REDIS_URL, then host/port/db when set, then the running instance, then localhost:6379."""
    base = {"DSMIL_STATE_DIR": str(tmp_path)}
    assert broker_url(Settings.from_env(base)) == "redis://localhost:6379/0"
    with StateDirRunning(tmp_path, "unix:///run/x.sock"):
        assert broker_url(Settings.from_env(base)) == "unix:///run/x.sock"
        assert broker_url(Settings.from_env(base | {"REDIS_DB": "3"})) == "redis://localhost:6379/3"
        both = base | {"REDIS_HOST": "::1", "REDIS_URL": "redis://u:secret@h:1/2"}
        assert broker_url(Settings.from_env(both)) == "redis://u:secret@h:1/2"
        assert broker_url(Settings.from_env(base | {"REDIS_HOST": "::1"})) == "redis://[::1]:6379/0"
    assert public_url("redis://u:se@cret@h:1/2") == "redis://h:1/2"


def test_credentials_reach_the_broker(tmp_path: Path) -> None:
    server = Broker(bundled_binary(), tmp_path)
    server.start()
    try:
        with RedisStreamsClient(server.url) as admin:
            admin.client.execute_command("ACL", "SETUSER", "router", "on", ">pass word", "~*", "&*", "+@all")
            admin.client.execute_command("ACL", "SETUSER", "default", "off")
        with RedisStreamsClient(settings=Settings.from_env({"REDIS_URL": server.url})) as nobody:
            assert nobody.connect() is False
        given = {"REDIS_URL": server.url, "REDIS_USERNAME": "router", "REDIS_PASSWORD": "pass word"}
        with RedisStreamsClient(settings=Settings.from_env(given)) as client:
            assert client.connect()
    finally:
        server.stop()


def test_refusal_and_absence_are_told_apart(bus: RedisStreamsClient) -> None:
    with pytest.raises(BusRefused), translated("asking"):
        bus.client.execute_command("XADD", "L3_OUT", "not-an-id", "a", "b")


def test_clients_may_be_used_from_several_threads(bus: RedisStreamsClient) -> None:
    threads = [
        threading.Thread(target=lambda: [bus.publish(StreamName.L3_IN, make_event()) for _ in range(50)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bus.get_stream_info(StreamName.L3_IN)["length"] == 200
