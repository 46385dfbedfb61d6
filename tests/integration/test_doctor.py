"""The doctor on a real broker and a real store: what it says, what it mends, what it leaves alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result

from dsmil.cli import cli
from dsmil.config import Settings
from dsmil.doctor.look_broker import registered_groups
from dsmil.infrastructure.broker import Broker, bundled_binary
from dsmil.infrastructure.consumer import ConsumerName
from dsmil.infrastructure.groups import ensure_group, load_functions
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.instance import InstanceRecord, StateDir
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.infrastructure.store import Store
from dsmil.testing.waiting import until

#: What may be said of a fabric that is well.
ALLOWED_INFO = {"broker.memory", "durability.log", "keeping.memory", "keeping.snapshot", "ports.shrink"}
EVIL = "\x1b[31mred\rover\u202e\nforged"


class Place:
    """A state directory with a broker, a store and the lock of an instance, without services."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.settings = Settings.from_env({"DSMIL_STATE_DIR": str(state)})
        self.broker = Broker(bundled_binary(), state)
        self.held = StateDir(state)
        self.store: Store | None = None

    def start(self) -> None:
        self.held.acquire()
        self.broker.start()
        assert self.broker.pid
        record = InstanceRecord(
            pid=self.broker.pid,  # began just now, as `dsmil up` would have
            started=time.time(),
            version="0.1.0",
            broker_url=self.broker.url,
            socket=str(self.broker.socket),
            hotpath_db=str(self.state / "hotpath.db"),
        )
        self.held.write(record)
        with RedisStreamsClient(settings=self.settings) as bus:
            assert all(bus.initialize_streams().values())
            load_functions(bus.client)
            for stream, groups in registered_groups().items():
                for group in groups:
                    ensure_group(bus.client, stream, group)
        with HotPathDB(settings=self.settings) as db:
            assert db.initialize_schema()
        self.store = Store(self.state / "hotpath.db")
        self.store.lock_for_writer()

    def stop(self) -> None:
        if self.store is not None:
            self.store.close()
        self.broker.stop()
        self.held.release()

    def doctor(self, *options: str) -> Result:
        return CliRunner().invoke(
            cli,
            ["doctor", "--state-dir", str(self.state), *options],
            standalone_mode=False,
            catch_exceptions=False,
        )

    def findings(self, *options: str) -> dict[str, dict[str, Any]]:
        """Return the worst finding of each check."""
        order = ("ok", "info", "warning", "error")
        listed = json.loads(self.doctor("--json", *options).stdout)
        return {f["check"]: f for f in sorted(listed, key=lambda f: order.index(f["severity"]))}

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.broker.url)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("SHRINK_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setenv("HOTPATH_MAX_BYTES", str(16 * 1024 * 1024))
        monkeypatch.setenv("DSMIL_STATE_DIR", str(tmp_path / "state"))  # set anew by the option, put back after
        made = Place(tmp_path / "state")
        made.start()
        yield made
        made.stop()


def test_a_fabric_that_is_well(place: Place) -> None:
    done = place.doctor()
    assert done.return_value == 0, done.output
    found = place.findings()
    assert {name for name, f in found.items() if f["severity"] == "info"} <= ALLOWED_INFO
    assert not [f for f in found.values() if f["severity"] in {"warning", "error"}]
    assert found["streams.groups"]["severity"] == "ok"
    assert found["locks.socket"]["severity"] == "ok"
    assert "0 errors, 0 warnings" in done.stderr


def test_json_is_a_list_of_findings(place: Place) -> None:
    listed = json.loads(place.doctor("--json").stdout)
    assert isinstance(listed, list)
    assert all(set(f) == {"severity", "check", "evidence", "remedy", "fix"} for f in listed)
    assert {f["severity"] for f in listed} <= {"ok", "info", "warning", "error"}


def test_looking_changes_nothing(place: Place) -> None:
    with place.client() as client:
        keys, store = sorted(client.keys()), place.state / "hotpath.db"
        before = store.stat()
        place.doctor()
        assert sorted(client.keys()) == keys
    assert (store.stat().st_mtime_ns, store.stat().st_mode) == (before.st_mtime_ns, before.st_mode)


def test_a_policy_that_evicts_is_mended(place: Place) -> None:
    with place.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert place.doctor().return_value == 1
        assert place.findings()["broker.eviction"]["severity"] == "error"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
        done = place.doctor("--fix")
        assert done.return_value == 0, done.output
        assert "maxmemory-policy is set to noeviction" in done.stdout
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_a_given_broker_is_left_to_its_owner(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"{place.broker.url}?db=0")
    with place.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        found = place.findings("--fix")["broker.eviction"]
        assert (found["severity"], found["fix"]) == ("error", "")
        assert "CONFIG SET maxmemory-policy noeviction" in found["remedy"]
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}


def test_persistence_is_never_switched(place: Place) -> None:
    with place.client() as client:
        client.config_set("appendonly", "no")
        found = place.findings("--fix")["durability.log"]
        assert found["severity"] == "warning"
        assert "CONFIG SET appendonly yes" in found["remedy"]
        assert client.config_get("appendonly") == {"appendonly": "no"}


def test_functions_groups_and_mode_are_mended(place: Place) -> None:
    with place.client() as client:
        client.function_flush()
        client.xadd("L3_OUT", {"event": "x"})
        client.xgroup_destroy("L3_OUT", "soc-router")
        client.delete("L9_COMMANDS")
        (place.state / "hotpath.db").chmod(0o600)
        found = place.findings()
        names = ("broker.functions", "streams.groups", "store.access")
        assert [found[name]["severity"] for name in names] == ["warning"] * 3
        done = place.doctor("--fix")
        assert done.return_value == 0, done.output
        assert client.xlen("L3_OUT") == 1
        (made,) = (g for g in client.xinfo_groups("L3_OUT") if g["name"] == b"soc-router")
        assert made["last-delivered-id"] == b"0-0"
    assert (place.state / "hotpath.db").stat().st_mode & 0o777 == 0o660


def test_a_broker_that_is_away(place: Place) -> None:
    with HotPathDB(settings=place.settings) as db:
        assert db.insert_soc_event("e1", "HIGH", "NETWORK", 16, 3, {"n": 1})
    place.broker.stop()
    done = place.doctor()
    assert done.return_value == 69
    found = place.findings("--fix")
    assert found["broker.reach"]["severity"] == "error"
    assert found["store.sound"]["severity"] == "ok"
    assert "soc_events_cache" in found["capacity.retention"]["evidence"]
    assert not [name for name in found if name.startswith(("streams.", "durability."))]


def test_what_a_killed_instance_left_is_removed(place: Place) -> None:
    assert place.broker.pid is not None
    os.kill(place.broker.pid, signal.SIGKILL)
    until(lambda: place.broker.poll() is not None)
    record = (place.state / "instance.json").read_bytes()
    place.held.release()
    (place.state / "instance.json").write_bytes(record)
    found = place.findings()
    assert (found["locks.record"]["fix"], found["locks.socket"]["fix"]) == ("remove-record", "remove-socket")
    assert place.broker.socket.exists()
    assert place.doctor("--fix").return_value == 69
    assert not (place.state / "instance.json").exists()
    assert not place.broker.socket.exists()
    assert (place.state / "broker" / "appendonlydir").is_dir(), "data stays"


def test_sockets_and_records_in_use_stay(place: Place) -> None:
    from dsmil.doctor.finding import warning
    from dsmil.doctor.mend import mend

    wrong = [warning("locks.x", "", "", fix=fix) for fix in ("remove-record", "remove-socket")]
    done = mend(wrong, place.settings)
    assert [finding.severity for finding in done] == ["warning", "warning"]
    assert place.broker.socket.exists()
    assert (place.state / "instance.json").exists()


def _entry_in_work(client: redis.Redis) -> None:
    client.xadd("L3_OUT", {"event": "x"})
    client.xreadgroup("soc-router", f"gone{EVIL}", {"L3_OUT": ">"})
    client.execute_command("XCLAIM", "L3_OUT", "soc-router", f"gone{EVIL}", 0, _pending(client), "IDLE", 400_000)  # type: ignore[no-untyped-call]


def _pending(client: redis.Redis) -> str:
    found: Any = client.xpending("L3_OUT", "soc-router")
    return str(found["min"].decode())


def _foreign_group(client: redis.Redis) -> None:
    client.xgroup_create("L3_IN", f"group{EVIL}", "0")


def _letter(client: redis.Redis) -> None:
    client.xadd("DEAD_LETTERS", {"cause": EVIL, "service": EVIL, "source": EVIL})


def _unaccounted(client: redis.Redis) -> None:
    client.xadd("L3_OUT", {"event": "x"})
    client.xreadgroup("soc-router", "c", {"L3_OUT": ">"})
    client.xack("L3_OUT", "soc-router", _pending(client))


@pytest.mark.parametrize(
    ("harm", "check", "severity"),
    [
        (_entry_in_work, "streams.stuck", "warning"),
        (_foreign_group, "streams.foreign", "info"),
        (_letter, "streams.letters", "warning"),
        (_unaccounted, "streams.balance", "error"),
    ],
)
def test_streams_are_looked_at_and_names_are_harmless(
    place: Place, harm: Callable[[redis.Redis], None], check: str, severity: str
) -> None:
    with place.client() as client:
        harm(client)
    assert place.findings()[check]["severity"] == severity
    for options in ((), ("--json",)):
        done = place.doctor(*options)
        assert done.return_value == (0 if severity == "info" else 1)
        assert not {*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u202e"} & set(done.output) - {"\n"}
        assert not any(line.startswith("forged") for line in done.stdout.splitlines())


def test_a_consumer_of_this_host_is_gone_when_nobody_holds_its_name(place: Place) -> None:
    name = ConsumerName(place.broker.url, "soc-router")
    with place.client() as client:
        client.xadd("L3_OUT", {"event": "x"})
        client.xreadgroup("soc-router", name.name, {"L3_OUT": ">"})
    assert "streams.consumers" not in place.findings()
    name.release()
    found = place.findings()["streams.consumers"]
    assert found["severity"] == "warning"
    assert name.name in found["evidence"]


def test_settings_that_cannot_be_used_are_findings(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_SIZE", "many")
    assert place.doctor().return_value == 1
    assert "BATCH_SIZE" in place.findings()["environment.settings"]["evidence"]
    monkeypatch.setenv("REDIS_PORT", "none")
    assert place.doctor().return_value == 69


def test_a_damaged_store_is_told(place: Place) -> None:
    assert place.store is not None
    place.store.close()
    (place.state / "hotpath.db").write_bytes(b"no database" * 9999)
    found = place.findings()["store.sound"]
    assert found["severity"] == "error"
    assert "fills itself" in found["remedy"]
