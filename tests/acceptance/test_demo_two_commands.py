"""The demo on a terminal: fused events within seconds, an escalation with its reason, and Ctrl-C ends it all."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tests.acceptance.fabric_process import LINUX, Fabric, environment, http_get
from tests.acceptance.terminal import Terminal

from dsmil.testing.waiting import until

pytestmark = pytest.mark.skipif(not LINUX, reason="finding what is left behind needs /proc")

_EVENT = re.compile(r"^\d\d:\d\d:\d\d (LOW|MEDIUM|HIGH|CRITICAL) +\S")


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@pytest.fixture
def demo(tmp_path: Path, runtime: dict[str, str]) -> Iterator[tuple[Fabric, Terminal, bool]]:
    state = tmp_path / "state"
    was_free = _is_free(8500)
    env = environment(DSMIL_STATE_DIR=state, XDG_RUNTIME_DIR=runtime["XDG_RUNTIME_DIR"])
    program = str(Path(sys.executable).with_name("dsmil"))
    terminal = Terminal([program, "up", "--demo"], env)
    seen = Fabric(state, XDG_RUNTIME_DIR=runtime["XDG_RUNTIME_DIR"])
    try:
        until(lambda: any(line.startswith("running ") for line in terminal.lines()), 20, "the running line")
        seen.record = json.loads((state / "instance.json").read_bytes())
        seen.socket = seen.record["socket"]
        yield seen, terminal, was_free
    finally:
        terminal.close()
        seen.close()


def test_demo_shows_escalates_and_ends_clean(demo: tuple[Fabric, Terminal, bool]) -> None:
    fabric, terminal, was_free = demo
    started = time.monotonic()
    until(lambda: [line for line in terminal.lines() if _EVENT.match(line)], 10, "a fused event within 10 s")

    port = fabric.record["ports"]["shrink"]
    assert port == 8500 if was_free else 8500 < port < 8700
    status, body = http_get(port, "/api/v1/metrics")
    reading = json.loads(body)
    assert status == 200
    assert reading["recorded"] is True, "played readings must never pass for live ones"
    assert {"risk_acute_stress", "crisis_level", "lbi_hyperfocus_density", "sentiment_score", "entropy"} <= set(
        reading
    )
    assert fabric.record["shrink_url"] == f"http://127.0.0.1:{port}"
    assert any("recorded readings" in line for line in terminal.lines() if line.startswith("shrink "))

    def escalated() -> tuple[str, str] | None:
        shown = terminal.lines()
        for line, reason in pairwise(shown):
            if _EVENT.match(line) and "by shrink-acute-stress: risk_acute_stress" in reason:
                return line, reason
        return None

    found = until(escalated, 40 - (time.monotonic() - started), "an escalated event")
    assert found is not None
    line, reason = found
    assert "recorded reading" in reason
    told = re.search(r"(\w+) -> (\w+) by shrink-acute-stress: risk_acute_stress (\S+) >= 0\.7", reason)
    assert told is not None, reason
    before, after, value = told.groups()
    levels = ["LOW", "MEDIUM", "HIGH", "CRITICAL"]
    assert after == levels[min(levels.index(before) + 1, 3)]
    assert line.split()[1] == after, "the line shows the severity after escalation"
    assert 0.7 <= float(value) <= 1

    _, page = http_get(fabric.record["ports"]["metrics"], "/metrics")
    for name in ("risk_acute_stress", "crisis_level", "lbi_hyperfocus_density", "sentiment_score", "entropy"):
        assert re.search(rf"^shrink_{name} [0-9.e-]+$", page, re.MULTILINE), name

    before_stop = fabric.processes()
    assert len(before_stop) >= 5, f"up, broker, player, services: {before_stop}"
    sock = Path(fabric.record["socket"])
    assert sock.is_socket()
    terminal.press_ctrl_c()
    assert terminal.wait_end() == 0
    assert terminal.lines()[-1] == "stopped"
    assert not any("Traceback" in line for line in terminal.lines())
    assert fabric.processes() == {}
    assert not sock.exists()
    assert not (fabric.state / "instance.json").exists()


def test_demo_takes_the_next_port_when_8500_is_busy(tmp_path: Path, runtime: dict[str, str]) -> None:
    taken: list[socket.socket] = []
    try:
        if _is_free(8500):
            taken.append(socket.create_server(("127.0.0.1", 8500)))
        with Fabric(tmp_path / "state", "--demo", XDG_RUNTIME_DIR=runtime["XDG_RUNTIME_DIR"]) as fabric:
            port = fabric.record["ports"]["shrink"]
            assert 8500 < port < 8700
            assert json.loads(http_get(port, "/api/v1/metrics")[1])["recorded"] is True
            assert fabric.end(signal.SIGINT) == 0
    finally:
        for held in taken:
            held.close()
