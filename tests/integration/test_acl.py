"""The users that ``dsmil acl`` makes, on a real broker: each does its work, and nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
import redis
from tests.conftest import IN_CI
from tests.integration.refused_commands import ALSO, DETECTOR, NEVER

from dsmil.config import Settings
from dsmil.errors import BusRefused, NotAllowed
from dsmil.events.handling import Delivery, Outcome
from dsmil.events.streams import DEAD_LETTERS, StreamName
from dsmil.infrastructure.access import Role, acl_lines
from dsmil.infrastructure.broker import bundled_binary
from dsmil.infrastructure.groups import attempts_key, ledger_key
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.passwords import password_hash
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services import preparation, roles
from dsmil.services import runner as runner_module
from dsmil.services.catalogue import make_parts
from dsmil.services.metrics import PartsCollector
from dsmil.services.runner import Runner
from dsmil.testing.factories import make_event
from dsmil.testing.running import Running
from dsmil.testing.servers import PrivateServer
from dsmil.testing.waiting import until

ALERT = (
    '{"timestamp":"2026-11-23T10:00:00.000000+0000","event_type":"alert","src_ip":"192.0.2.1",'
    '"alert":{"signature_id":7,"signature":"test","severity":1}}\n'
)


class Users:
    """A broker with the users of every role, and settings for each."""

    def __init__(self, server: PrivateServer, folder: Path) -> None:
        self.server = server
        self.folder = folder

    def environment(self, role: str, password: str = "") -> dict[str, str]:
        return {
            "REDIS_URL": self.server.url,
            "REDIS_USERNAME": f"dsmil-{role}",
            "REDIS_PASSWORD": password or f"secret of {role}",
            "HOTPATH_DB": str(self.folder / "hotpath.db"),
            "DSMIL_STATE_DIR": str(self.folder),
        }

    def settings(self, role: str, password: str = "") -> Settings:
        return Settings.from_env(self.environment(role, password))

    def bus(self, role: str) -> RedisStreamsClient:
        return RedisStreamsClient(settings=self.settings(role))

    def root(self) -> redis.Redis:
        return redis.Redis.from_url(self.server.url, username="root", password="root", protocol=2)

    def dsmil(self, role: str, *arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dsmil", *arguments],
            env={k: v for k, v in os.environ.items() if not k.startswith("REDIS_")}
            | self.environment(role, password),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def lines_of(known: Sequence[Role]) -> list[str]:
    hashes = {f"dsmil-{role.name}": password_hash(f"secret of {role.name}") for role in known}
    return [*acl_lines(known, "dsmil-", hashes), "user root on >root ~* &* +@all"]


@pytest.fixture(params=["bundled", "redis-server"])
def users(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Users]:
    binary = bundled_binary() if request.param == "bundled" else shutil.which(request.param)
    if binary is None:
        message = f"no {request.param} on PATH; Debian: apt install redis-server"
        if IN_CI:
            pytest.fail(message)
        pytest.skip(message)
    file = tmp_path / "users.acl"
    file.write_text("\n".join(lines_of(roles.roles())) + "\n")
    with PrivateServer(binary, ["--aclfile", file, "--enable-debug-command", "yes"]) as server:
        yield Users(server, tmp_path)


@pytest.fixture
def prepared(users: Users) -> Users:
    done = users.dsmil("admin", "init")
    assert (done.returncode, done.stderr) == (0, "")
    return users


@pytest.fixture(autouse=True)
def _quick_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "pause", lambda *_: 0.01)


def running(users: Users, name: str) -> Running:
    (part,) = make_parts([name], users.settings(name))
    return Running(part)


def test_each_service_does_its_work_as_its_own_user(prepared: Users) -> None:
    log = prepared.folder / "eve.json"
    log.write_text(ALERT + "no record\n")
    done = prepared.dsmil("ingest", "ingest", "suricata-eve", str(log))
    assert done.returncode == 65, done
    with prepared.root() as root:
        root.xadd("L3_OUT", {"event": "no event"})
        root.xadd("SOC_EVENTS", {"event": "no event"})
        with running(prepared, DETECTOR), running(prepared, "soc-router"), running(prepared, "store-writer"):
            until(lambda: root.xlen(DEAD_LETTERS) == 3, what="three dead letters")
            with HotPathDB(settings=prepared.settings("reader")) as db:
                (row,) = until(db.get_recent_soc_events, what="the row")
        assert row["severity"] == "HIGH"
        services = {fields[b"service"] for _, fields in root.xrange(DEAD_LETTERS)}
        assert services == {b"ingest suricata-eve", b"soc-router", b"store-writer"}
        refused = [entry["object"] for entry in root.acl_log()]
        assert refused == [], "a service that is content must not ask for what it is refused"


def test_readers_see_everything(prepared: Users) -> None:
    with prepared.bus("ingest") as bus:
        bus.publish_many(StreamName.L3_IN, [make_event()])
    for arguments in (["tail", "L3_IN", "--no-follow"], ["dlq", "list"]):
        done = prepared.dsmil("reader", *arguments)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done
    status = prepared.dsmil("reader", "status", "--json")
    assert '"imbalance":0' in status.stdout, status
    assert "CONFIG is not allowed" in status.stdout


class Trying:
    """Fails until told otherwise."""

    name: ClassVar[str] = DETECTOR
    device_id: ClassVar[int] = 16
    reads: ClassVar[tuple[StreamName, ...]] = (StreamName.L3_IN,)
    writes: ClassVar[tuple[StreamName, ...]] = (StreamName.L3_OUT,)

    def handle(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        raise RuntimeError(f"{len(batch)} cannot be handled")


def test_attempts_and_reclaims_are_within_the_rights(prepared: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "CLAIM_IDLE_MS", 0)
    with prepared.bus("ingest") as bus:
        bus.publish_many(StreamName.L3_IN, [make_event({"n": 1})])
    with prepared.root() as root:
        root.xreadgroup(DETECTOR, "dead consumer", {"L3_IN": ">"})
        with Running(Runner(Trying(), prepared.settings(DETECTOR))):
            until(lambda: root.xlen(DEAD_LETTERS), what="the dead letter of a reclaimed entry")
        ((_, letter),) = root.xrange(DEAD_LETTERS)
        assert (letter[b"cause"], letter[b"attempts"]) == (b"handler_failed", b"5")
        assert root.hgetall(ledger_key("L3_IN", DETECTOR)) == {b"dead": b"1"}
        assert not root.exists(attempts_key("L3_IN", DETECTOR))
        assert root.acl_log() == []


@pytest.mark.parametrize("role", [role.name for role in roles.roles()])
def test_each_role_is_refused_everything_else(prepared: Users, role: str) -> None:
    assert len(ALSO.get(role, ())) >= 4, "say what this role may not"
    settings = prepared.settings(role)
    for command in (*NEVER, *ALSO[role]):
        with (
            redis.Redis.from_url(
                settings.redis_url,
                username=settings.redis_username,
                password=str(settings.redis_password),
                protocol=2,
                driver_info=None,
            ) as client,
            pytest.raises(redis.exceptions.NoPermissionError),
        ):
            client.execute_command(*command)
    with prepared.root() as root:
        assert root.exists("L3_IN")
        assert root.xlen("L3_OUT") == root.xlen("SOC_EVENTS") == 0


def test_without_a_name_nobody_may_do_anything(prepared: Users) -> None:
    with redis.Redis.from_url(prepared.server.url, protocol=2) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


@pytest.mark.parametrize(
    "arguments",
    [
        ["tail", "--no-follow"],
        ["init"],
        ["publish", "L3_IN", "-"],
        ["ingest", "suricata-eve", "-"],
        ["up"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_wrong_password_is_one_clear_line(prepared: Users, arguments: list[str]) -> None:
    given = '{"source_device":5,"payload":{}}\n' if arguments[0] == "publish" else ALERT
    done = subprocess.run(
        [sys.executable, "-m", "dsmil", *arguments],
        env=os.environ | prepared.environment("admin", "wrong"),
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 69, done
    last = done.stderr.splitlines()[-1]
    assert "the broker refuses user or password (REDIS_USERNAME, REDIS_PASSWORD)" in last
    assert "Traceback" not in done.stderr
    if arguments[0] != "up":  # which tells what it starts, and that it stops
        assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_service_with_a_wrong_password_ends(prepared: Users) -> None:
    done = prepared.dsmil("soc-router", "run", "soc-router", "--metrics-port", "0", password="wrong")
    assert done.returncode == 69, done
    assert "refuses user or password" in done.stderr


def test_a_service_waits_for_the_admin_and_says_so(users: Users) -> None:
    runner = Runner(Trying(), users.settings(DETECTOR))
    with Running(runner):
        until(lambda: "run `dsmil init` as the admin user" in runner.vitals().checks["broker"], what="the remedy")
        with users.bus("admin") as bus:
            for stream, group in preparation.service_groups():
                bus.client.xgroup_create(stream, group, id="0", mkstream=True)
        until(lambda: "functions are missing" in runner.vitals().checks["broker"], what="the other remedy")
        assert users.dsmil("admin", "init").returncode == 0
        until(lambda: runner.vitals().healthy, what="work")


def test_a_right_that_is_missing_shows_at_the_start(users: Users, tmp_path: Path) -> None:
    """Inside the function each command is checked against its caller: one would fail in mid-batch."""
    file = tmp_path / "users.acl"
    file.write_text(file.read_text().replace("+hincrby +hdel", "+hdel"))
    with users.root() as root:
        root.acl_load()
    assert users.dsmil("admin", "init").returncode == 0
    with pytest.raises(NotAllowed, match=r"HINCRBY dsmil:ledger:L3_IN:\S+ is refused.*dsmil acl"):
        Runner(Trying(), users.settings(DETECTOR)).run(Running(Runner(Trying(), users.settings("reader"))).stop)


def test_init_may_be_repeated_and_keeps_what_is_there(prepared: Users) -> None:
    with prepared.root() as root:
        entry = root.xadd("L3_IN", {"event": "{}"})
        done = prepared.dsmil("admin", "init", "--json")
        assert (done.returncode, done.stdout) == (0, '{"groups_made":[]}\n')
        assert root.xrange("L3_IN") == [(entry, {b"event": b"{}"})]


def test_others_may_not_initialise(prepared: Users) -> None:
    done = prepared.dsmil("reader", "init")
    assert done.returncode == 69
    assert "this user may not do that" in done.stderr
    with prepared.bus("reader") as bus, pytest.raises(BusRefused):
        preparation.prepare_broker(bus.client)


def test_up_runs_as_admin_on_a_given_broker(users: Users) -> None:
    """All its services share the one user that it was given."""
    log = users.folder / "eve.json"
    log.write_text(ALERT)
    output = users.folder / "output"
    with output.open("wb") as said:
        up = subprocess.Popen(
            [sys.executable, "-m", "dsmil", "up"],
            env=os.environ | users.environment("admin"),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    try:
        until(lambda: up.poll() is not None or "running " in output.read_text(), 30, "the running line")
        assert users.dsmil("ingest", "ingest", "suricata-eve", str(log)).returncode == 0
        with HotPathDB(settings=users.settings("reader")) as db:
            until(db.get_recent_soc_events, what="the row")
        up.send_signal(signal.SIGTERM)
        assert up.wait(30) == 0, output.read_text()
    finally:
        if up.poll() is None:
            up.kill()
            up.wait(30)
    with users.root() as root:
        assert [entry["object"] for entry in root.acl_log()] == []


def test_metrics_of_a_service_show_its_own_streams(prepared: Users) -> None:
    with prepared.bus(DETECTOR) as bus, HotPathDB(settings=prepared.settings(DETECTOR)) as db:
        families = {family.name: family for family in PartsCollector([], bus, db).collect()}
    lengths = families["dsmil_redis_stream_length"].samples
    assert [sample.labels["stream_name"] for sample in lengths] == ["L3_IN"]


def test_the_admin_may_do_what_each_service_may() -> None:
    """All services of `dsmil up` share the one user that it was given."""
    own = {role.name: set(role.grants) for role in roles.roles()}
    assert all(grants <= own["admin"] for grants in own.values())
