"""Listeners as people run them: with ``dsmil up``, as commands, fed by a program that others wrote."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.acceptance.fabric_process import Fabric, dsmil, environment, http_get
from tests.integration.listening import free_port, line, listener, reachable, taken, tcp

from dsmil.config import Settings
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services import metric_names
from dsmil.services.letters import read_letters
from dsmil.services.listening.specs import Spec
from dsmil.testing.running import Running
from dsmil.testing.waiting import until

EVE = ("--feed", "suricata-eve")


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture(scope="module")
def fabric(tmp_path_factory: pytest.TempPathFactory, ports: tuple[int, int]) -> Iterator[Fabric]:
    state = tmp_path_factory.mktemp("listening") / "state"
    made = dsmil("listen", "key", env=environment(DSMIL_STATE_DIR=state))
    assert made.code == 0
    words = (
        f"syslog --tcp 127.0.0.1:{ports[0]} --feed suricata-eve;"
        f" http --bind 127.0.0.1:{ports[1]} --feed suricata-eve --feed falco; redis-list suricata"
    )
    with Fabric(state, DSMIL_LISTEN=words) as running:
        yield running


def heard(fabric: Fabric, number: int) -> list[tuple[str]]:
    where = f"json_extract(payload, '$.flow_id') = {number:d}"
    return fabric.rows(f"SELECT event_id FROM raw_events_fast WHERE {where}")  # noqa: S608 - our own number


def test_every_way_ends_in_the_store(fabric: Fabric, ports: tuple[int, int]) -> None:
    with reachable(ports[0]) as stream:
        stream.sendall(line(1) + b"\n")
    key = dsmil("listen", "key", env=fabric.env).out.strip()
    answer = httpx2.post(
        f"http://127.0.0.1:{ports[1]}/api/v1/ingest/suricata-eve",
        content=b"[" + line(2) + b"]",
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        trust_env=False,
    )
    assert answer.status_code == 202
    with fabric.redis() as client:
        client.lpush("suricata", line(3))
    for number in (1, 2, 3):
        until(lambda number=number: len(heard(fabric, number)) == 1, what=f"record {number}")  # type: ignore[misc]


def test_status_shows_each_and_metrics_count(fabric: Fabric, ports: tuple[int, int]) -> None:
    with reachable(ports[0]) as stream:
        stream.sendall(b"no record\n")

    def seen() -> dict[str, dict[str, object]]:
        found = {word["name"]: word for word in fabric.json("status")["listeners"]}
        syslog = found.get("listen syslog suricata-eve", {})
        return found if len(found) == 3 and syslog.get("dead") else {}

    words = until(seen, what="the words of three listeners")
    word = words["listen syslog suricata-eve"]
    assert word["endpoints"] == [f"tcp://127.0.0.1:{ports[0]}"]
    assert word["received"] == word["published"] + word["dead"]  # type: ignore[operator]
    assert word["problem"] == ""
    assert f"listener tcp://127.0.0.1:{ports[0]} (listen syslog suricata-eve)" in fabric.cli("status").out
    status, page = http_get(fabric.record["ports"]["metrics-listen-syslog"], "/metrics")
    assert status == 200
    assert f'dsmil_listen_records_total{{endpoint="tcp://127.0.0.1:{ports[0]}"}}' in page
    assert 'dsmil_events_total{outcome="dead",stage="listen syslog suricata-eve",stream="L3_IN"}' in page
    described = {name for metric in metric_names.ALL for name in metric.samples}
    samples = {row.partition("{")[0] for row in page.splitlines() if row.startswith("dsmil_listen")}
    assert {name.partition(" ")[0] for name in samples} <= described


def test_a_listener_that_died_is_started_anew(fabric: Fabric, ports: tuple[int, int]) -> None:
    (pid,) = [pid for pid, words in fabric.processes().items() if "listen syslog" in words]
    os.kill(pid, signal.SIGKILL)
    until(lambda: "listen-syslog ended with code -9" in fabric.said())
    with reachable(ports[0]) as stream:
        stream.sendall(line(40) + b"\n")
    until(lambda: len(heard(fabric, 40)) == 1, what="a record after the kill")


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["syslog"], 2, "name at least one address"),
        (["syslog", *EVE, "--tcp", "5514"], 78, "'5514' is not HOST:PORT"),
        (["syslog", *EVE, "--tcp", "127.0.0.1:70000"], 78, "'70000' is not a port"),
        (["syslog", *EVE, "--tcp", "::1:5514"], 78, "is not HOST:PORT"),
        (
            ["syslog", "--tcp", "192.0.2.1:5514", *EVE],
            69,
            "192.0.2.1:5514 cannot be listened on",
        ),
        (["syslog", "--tls", "127.0.0.1:0"], 2, "TLS needs both --tls-cert and --tls-key"),
        (["syslog", "--tcp", "127.0.0.1:0", "--feed", "nothing"], 2, "no feed is called 'nothing'"),
        (["syslog", "--tcp", "127.0.0.1:0", "--feed", "zeek-tsv"], 2, "joins lines"),
        (["syslog", "--unix-stream", "/s", "--socket-mode", "rw"], 2, "--socket-mode 'rw' is not octal"),
        (["http", "--bind", "127.0.0.1:0"], 78, "make one with `dsmil listen key`"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else None,
)
def test_a_slip_is_one_clear_line(tmp_path: Path, words: list[str], code: int, complaint: str) -> None:
    done = dsmil("listen", *words, "--metrics-port", "0", env=environment(DSMIL_STATE_DIR=tmp_path))
    assert (done.code, complaint in done.err.splitlines()[-1]) == (code, True), done.err


def test_a_slip_in_the_variable_stops_the_start(tmp_path: Path) -> None:
    done = dsmil("up", env=environment(DSMIL_STATE_DIR=tmp_path, DSMIL_LISTEN="smtp x"))
    assert (done.code, done.complaint) == (
        78,
        "dsmil: DSMIL_LISTEN='smtp x': 'smtp' is no listener; there are: syslog, http, redis-list",
    )
    assert not (tmp_path / "broker").exists()


@pytest.mark.skipif(shutil.which("logger") is None, reason="no logger(1); Debian: apt install bsdutils")
def test_a_sender_that_others_wrote(bus: RedisStreamsClient, settings: Settings) -> None:
    """logger(1) over UDP, TCP by lines and by counts, and a unix socket, in both of its protocols."""
    name = f"/tmp/dsmil-l-{os.getpid()}"
    specs = [tcp(), Spec(scheme="udp", address="127.0.0.1:0"), Spec(scheme="unix-dgram", address=name)]
    part = listener(settings, *specs)
    with Running(part):
        number = {place.partition(":")[0]: place.rpartition(":")[2] for place in part.endpoints}
        ways = [
            ["-n", "127.0.0.1", "-P", number["udp"], "-d"],
            ["-n", "127.0.0.1", "-P", number["tcp"], "-T"],
            ["-n", "127.0.0.1", "-P", number["tcp"], "-T", "--octet-count"],
            ["-u", name],
        ]
        sent = [(way, form) for way in ways for form in ("--rfc3164", "--rfc5424")]
        for index, (way, form) in enumerate(sent):
            subprocess.run(["logger", *way, form, "-t", "tester", f"message {index}"], check=True, timeout=20)
        until(lambda: taken(part) == len(sent))
    letters = read_letters(settings, 20)[0]  # they are no EVE: letters keep their bytes
    ends = sorted(letter.raw.rpartition(b"message ")[2] for letter in letters)
    assert ends == sorted(str(index).encode() for index in range(len(sent)))
    assert {letter.raw[:1] for letter in letters} == {b"<"}
    assert {letter.cause for letter in letters} == {"malformed_json"}
    assert bus.client.xlen("L3_IN") == 0
