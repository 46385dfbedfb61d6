"""``dsmil up`` as a process: its record, its lock, what dies under it, and every way to end it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.acceptance.fabric_process import GROUPS, Fabric, alive, assert_balanced, dsmil, environment, http_get
from tests.acceptance.terminal import Terminal

from dsmil.infrastructure.broker import Broker
from dsmil.testing.waiting import until

#: One service of each process.
SERVICES = ("soc-router", "store-writer", min(group for stream, group in GROUPS if stream == "L3_IN"))


@pytest.fixture(scope="module")
def victim(runtime: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    """Return a fabric whose parts may be killed."""
    with Fabric(tmp_path_factory.mktemp("victim") / "state", **runtime) as running:
        until(lambda: len(running.children()) == 4, 10, "broker and three services")
        yield running


def test_writes_its_record(victim: Fabric) -> None:
    assert victim.process is not None
    record = victim.record
    assert record["pid"] == victim.process.pid
    assert record["broker_url"] == f"unix://{record['socket']}"
    assert Path(record["socket"]).is_socket()
    assert record["hotpath_db"] == str(victim.state / "hotpath.db")
    assert set(record["ports"]) == {"metrics", "metrics-store", "metrics-detect"}
    assert len(set(record["ports"].values())) == 3
    assert all(8000 <= port < 8200 for port in record["ports"].values())
    for port in record["ports"].values():
        until(lambda port=port: http_get(port, "/health")[0] == 200, 10, f"health on {port}")  # type: ignore[misc]
    assert (victim.state.stat().st_mode & 0o077) == 0, "the state directory is private"
    assert all("dsmil" in words for words in victim.processes().values()), "known by their command lines"


def test_the_supervisor_carries_no_library_of_its_services(victim: Fabric) -> None:
    """It stays for months and tends processes: what preparing broker and store takes is done by one that ends."""
    assert victim.process is not None
    loaded = Path(f"/proc/{victim.process.pid}/maps").read_text()
    assert "msgspec" in loaded, "the way to see it"
    assert not [name for name in ("apsw", "hiredis", "re2", "_ssl") if name in loaded]


def test_the_store_steps_back_for_who_routes(victim: Fabric) -> None:
    """Where cores are short, rows come later than alerts, never the other way."""
    own = os.getpriority(os.PRIO_PROCESS, 0)

    def behind() -> list[str]:
        return [n for n, pid in victim.children().items() if os.getpriority(os.PRIO_PROCESS, pid) > own]

    until(behind, 20, "one that steps back")
    assert behind() == ["store-writer"]


def test_two_instances_have_their_own_ports_and_data(victim: Fabric, fabric: Fabric) -> None:
    assert not set(victim.record["ports"].values()) & set(fabric.record["ports"].values())
    assert victim.record["broker_url"] != fabric.record["broker_url"]
    fabric.send("only-in-the-other")
    fabric.wait_row("only-in-the-other")
    assert victim.row("only-in-the-other") is None


def test_second_up_on_the_same_state_is_refused_in_one_line(victim: Fabric) -> None:
    before = victim.children()
    done = victim.cli("up")
    assert done.code == 75
    assert str(victim.record["pid"]) in done.complaint
    assert str(victim.state) in done.complaint
    assert "dsmil down" in done.complaint
    assert done.out == ""
    assert victim.children() == before, "the one that runs must not suffer"
    assert json.loads((victim.state / "instance.json").read_bytes()) == victim.record


@pytest.mark.parametrize("service", SERVICES)
def test_killed_service_is_back_and_events_flow(victim: Fabric, service: str) -> None:
    old = victim.children()
    os.kill(old[service], signal.SIGKILL)
    until(lambda: victim.children().get(service, old[service]) != old[service], 4, f"a new {service}")
    now = victim.children()
    assert {name: pid for name, pid in now.items() if name != service} == {
        name: pid for name, pid in old.items() if name != service
    }, "its neighbours are left alone"
    line = json.dumps(_alert(f"203.0.113.{SERVICES.index(service) + 1}"))
    done = victim.cli("ingest", "suricata-eve", "-", given=line + "\n")
    assert done.code == 0, done
    until(lambda: victim.rows(_FOUND, f"%{json.loads(line)['src_ip']}%"), 20, "the SOC row of a new alert")
    assert_balanced(victim.settled())


_FOUND = "SELECT event_id FROM soc_events_cache WHERE payload LIKE ?"


def _alert(address: str) -> dict[str, object]:
    return {
        "timestamp": "2026-02-03T04:05:06.700000+0000",
        "event_type": "alert",
        "src_ip": address,
        "src_port": 40000,
        "dest_ip": "192.0.2.1",
        "dest_port": 22,
        "proto": "TCP",
        "alert": {"gid": 1, "signature_id": 9000099, "rev": 1, "signature": "TEST after a kill", "severity": 2},
    }


def test_killed_broker_is_back_with_its_data(victim: Fabric) -> None:
    numbers = range(50)
    for number in numbers:
        victim.send(f"before-broker-kill-{number}")
    for number in numbers:
        victim.wait_row(f"before-broker-kill-{number}")
    lengths = _lengths(victim)
    services = {name: pid for name, pid in victim.children().items() if name != "broker"}
    old = victim.children()["broker"]
    os.kill(old, signal.SIGKILL)
    until(lambda: victim.children().get("broker", old) != old, 5, "a new broker")

    assert until(lambda: _lengths(victim), 10, "answers") == lengths, "nothing that was accepted may be gone"
    victim.send("after-broker-kill")
    victim.wait_row("after-broker-kill")
    assert {n: p for n, p in victim.children().items() if n != "broker"} == services, "services wait it out"
    status = victim.settled()
    assert_balanced(status)
    assert len(victim.rows("SELECT 1 FROM soc_events_cache WHERE event_id LIKE 'before-broker-kill-%'")) == 50


def _lengths(fabric: Fabric) -> dict[str, int]:
    status = fabric.json("status")
    return {stream["name"]: stream["length"] for stream in status["broker"].get("streams", ())}


def test_store_that_refuses_is_not_hammered(victim: Fabric) -> None:
    """As when the tmpfs is full: the writer waits longer and longer, and catches up when it may."""
    seen = len(_pauses(victim))
    with closing(sqlite3.connect(victim.record["hotpath_db"], timeout=10)) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON soc_events_cache BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
        connection.commit()
        try:
            victim.send("while-the-store-refuses")
            pauses = until(lambda: (p := _pauses(victim)[seen:])[5:] and p, 15, "six refusals") or []
        finally:
            connection.execute("DROP TRIGGER full")
            connection.commit()
    victim.wait_row("while-the-store-refuses")
    assert_balanced(victim.settled())
    assert pauses[5] > 1, pauses


def _pauses(fabric: Fabric) -> list[float]:
    """Return how long the store writer has waited after each trouble, seconds."""
    lines = [line for line in fabric.said().splitlines() if line.startswith("{")]
    return [entry["retry_in_s"] for entry in map(json.loads, lines) if entry["event"] == "store.trouble"]


def test_durable_waits_for_the_disk_at_every_write(tmp_path: Path, runtime: dict[str, str]) -> None:
    with Fabric(tmp_path / "state", "--durable", **runtime) as fabric:
        assert fabric.json("status")["broker"]["durability"] == "always"
        assert "fsync every write" in fabric.said()


def test_system_broker_must_be_there(tmp_path: Path, runtime: dict[str, str]) -> None:
    state = tmp_path / "state"
    env = environment(DSMIL_STATE_DIR=state, PATH=tmp_path, **runtime)
    done = dsmil("up", "--broker", "system", env=env)
    assert done.code == 69
    assert "PATH" in done.complaint
    assert not (state / "instance.json").exists()


def test_killed_up_leaves_nothing_and_a_new_one_has_the_old_data(tmp_path: Path, runtime: dict[str, str]) -> None:
    with Fabric(tmp_path / "state", **runtime) as first:
        first.send("kept-over-the-kill")
        row = first.wait_row("kept-over-the-kill")
        until(lambda: len(first.children()) == 4, 10, "broker and three services")
        pids = list(first.processes())
        assert len(pids) == 5
        assert first.process is not None
        first.process.kill()
        first.process.wait()
        until(lambda: not [pid for pid in pids if alive(pid)], 5, "the end of broker and services")
        assert first.processes() == {}
        assert dsmil("status", env=first.env).code == 1, "a record left behind is no running instance"

        with Fabric(tmp_path / "state", **runtime) as second:
            assert second.record["pid"] != first.record["pid"]
            assert second.row("kept-over-the-kill") == row
            assert _lengths(second)["SOC_EVENTS"] == 1
            second.send("after-the-kill")
            second.wait_row("after-the-kill")
            assert_balanced(second.settled())
            assert second.end(signal.SIGTERM) == 0


def test_sigterm_ends_with_zero_and_leaves_nothing(tmp_path: Path, runtime: dict[str, str]) -> None:
    with Fabric(tmp_path / "state", **runtime) as fabric:
        fabric.send("last-words")
        fabric.wait_row("last-words")
        until(lambda: fabric.rows("SELECT count(*) FROM device_status") == [(9,)], 20, "all to have signed on")
        assert fabric.end(signal.SIGTERM) == 0
        assert fabric.processes() == {}
        assert not Path(fabric.record["socket"]).exists()
        assert not (fabric.state / "instance.json").exists()
        assert "Traceback" not in fabric.said()
        assert fabric.rows("PRAGMA integrity_check") == [("ok",)]
        offline = fabric.rows("SELECT count(*) FROM device_status WHERE status = 'OFFLINE'")
        assert offline == [(9,)], "services sign off"
        assert fabric.cli("status").code == 1
        assert fabric.cli("down").code == 1


def test_down_stops_it(tmp_path: Path, runtime: dict[str, str]) -> None:
    with Fabric(tmp_path / "state", **runtime) as fabric:
        done = fabric.cli("down")
        assert (done.code, done.out) == (0, "stopped\n")
        assert fabric.process is not None
        assert fabric.process.wait(5) == 0
        assert fabric.processes() == {}
        again = fabric.cli("down")
        assert again.code == 1
        assert str(fabric.state) in again.complaint


def test_given_broker_is_used(tmp_path: Path, runtime: dict[str, str], broker: Broker) -> None:
    with Fabric(tmp_path / "state", **runtime, REDIS_URL=broker.url) as fabric:
        with fabric.redis() as client:
            client.flushall()
        assert fabric.record["broker_url"] == broker.url
        assert fabric.record["broker_mode"] == "given"
        until(lambda: len(fabric.children()) == 3, 10, "three services and no broker")
        assert "broker" not in fabric.children()
        fabric.send("through-the-given-broker")
        fabric.wait_row("through-the-given-broker")
        # A command that was told only the state directory finds the given broker too.
        told = dict(fabric.env)
        del told["REDIS_URL"]
        status = dsmil("status", "--json", env=told)
        assert status.code == 0
        assert status.json["broker"]["address"] == broker.url
        assert fabric.end() == 0
        assert broker.poll() is None, "a given broker is not ours to stop"


@pytest.mark.parametrize("how", ["url", "host and port"])
def test_given_broker_that_does_not_answer_is_an_error(tmp_path: Path, closed_port: int, how: str) -> None:
    given = (
        {"REDIS_URL": f"redis://user:geheim@127.0.0.1:{closed_port}/0"}
        if how == "url"
        else {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(closed_port)}
    )
    state = tmp_path / "state"
    done = dsmil("up", env=environment(DSMIL_STATE_DIR=state, **given))
    assert done.code == 69
    said = [line for line in done.err.splitlines() if line.startswith("dsmil: ")]
    assert len(said) == 1
    assert f"127.0.0.1:{closed_port}" in said[0]
    assert "REDIS_URL" in said[0], "the remedy"
    assert "geheim" not in done.out + done.err
    assert not (state / "broker").exists(), "no fallback"
    assert not (state / "instance.json").exists()


def test_broker_that_does_not_answer_takes_one_line(tmp_path: Path, closed_port: int) -> None:
    url = f"redis://127.0.0.1:{closed_port}/0"
    done = dsmil("up", env=environment(DSMIL_STATE_DIR=tmp_path / "state", REDIS_URL=url))
    assert done.code == 69
    assert url in done.complaint


def test_goes_on_when_nobody_reads_what_it_says(tmp_path: Path, runtime: dict[str, str]) -> None:
    """``dsmil up | head -5``: what it has to say is lost, what it has to do is not."""
    fabric = Fabric(tmp_path / "state", **runtime)
    fabric.state.mkdir()
    fabric.process = subprocess.Popen(
        [sys.executable, "-m", "dsmil", "up"],
        env=fabric.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        _adopt(fabric)
        assert fabric.process.stdout is not None
        fabric.process.stdout.close()
        old = fabric.children()["soc-router"]
        os.kill(old, signal.SIGKILL)  # it wants to say so, and cannot

        def is_back() -> bool:
            assert fabric.process is not None
            assert fabric.process.poll() is None, "it has ended"
            return fabric.children().get("soc-router", old) != old

        until(is_back, 4, "a new router")
        fabric.send("nobody-listens")
        fabric.wait_row("nobody-listens")
        assert fabric.end() == 0
        assert fabric.processes() == {}
    finally:
        fabric.close()


@pytest.mark.parametrize("options", [[], ["--demo"]], ids=["up", "demo"])
def test_closing_the_terminal_stops_it_in_order(
    tmp_path: Path, runtime: dict[str, str], options: list[str]
) -> None:
    fabric = Fabric(tmp_path / "state", **runtime)
    terminal = Terminal([sys.executable, "-m", "dsmil", "up", *options], fabric.env)
    try:
        until(lambda: any(line.startswith("running ") for line in terminal.lines()), 20, "the running line")
        _adopt(fabric)
        terminal.hang_up()
        code = terminal.process.wait(20)
        until(lambda: not fabric.processes(), 10, "the end of broker and services")
        assert not (fabric.state / "instance.json").exists()
        assert code == 0
    finally:
        terminal.close()
        fabric.close()


def _adopt(fabric: Fabric) -> None:
    """Take the record of a fabric that the test started by itself."""
    record = fabric.state / "instance.json"
    until(record.exists, 20, "the record")
    fabric.record = json.loads(record.read_bytes())
    fabric.socket = fabric.record["socket"]
    until(lambda: "soc-router" in fabric.children(), 10, "the router")
