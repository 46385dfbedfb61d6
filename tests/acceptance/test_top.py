"""``dsmil top`` on a terminal of its own, on a running fabric, with a broker that dies, and in a pipe."""

from __future__ import annotations

import json
import os
import signal
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.fabric_process import Fabric, dsmil, environment
from tests.acceptance.terminal import Terminal

from dsmil.infrastructure.broker import Broker, bundled_binary
from dsmil.testing.waiting import until

TOP = (sys.executable, "-m", "dsmil", "top", "--interval", "0.2")
#: Other screen, cursor hidden; and back.
TAKEN, GIVEN_BACK = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


@pytest.fixture(scope="module")
def demo(runtime: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    """Return a running demo, which has readings of its own."""
    env = {name: value for name, value in runtime.items() if name != "SHRINK_URL"}
    with Fabric(tmp_path_factory.mktemp("demo") / "state", "--demo", **env) as running:
        yield running


@pytest.fixture
def top(demo: Fabric) -> Iterator[Terminal]:
    terminal = Terminal(TOP, demo.env)
    try:
        yield terminal
    finally:
        terminal.close()


def shows(terminal: Terminal, *words: str, without: str = "") -> bool:
    """Return whether a whole frame shows these words; what came so far may be half of one."""
    frame = terminal.frame()
    return all(word in frame for word in (*words, "? help")) and not (without and without in frame)


def echoes(terminal: Terminal) -> bool:
    return bool(terminal.mode()[3] & termios.ECHO and terminal.mode()[3] & termios.ICANON)


def test_the_demo_its_keys_and_the_way_back(top: Terminal) -> None:
    before = top.mode()
    words = ("▲", "store-writer", "l3-suricata-alert", "fsync everysec", "stress", "q quit")
    until(lambda: shows(top, *words) and len(top.frame().splitlines()) == 24, 60, "an escalated event")
    assert not echoes(top)

    top.press("p")
    until(lambda: "PAUSED" in top.frame(), 10, "the pause")
    top.press("p")
    until(lambda: shows(top, without="PAUSED"), 10, "the end of the pause")
    top.press("ss")
    until(lambda: "s events: escalated" in top.frame(), 10, "the other events")
    top.press("+")
    until(lambda: "every 0.5 s" in top.frame(), 10, "the other interval")
    top.press("?")
    until(lambda: "p  pause" in top.frame(), 10, "the help")

    top.press("q")
    assert top.wait_end() == 0
    assert top.shown().endswith(GIVEN_BACK)
    assert top.mode() == before


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, -signal.SIGTERM),
        (signal.SIGHUP, -signal.SIGHUP),
        (signal.SIGQUIT, -signal.SIGQUIT),
    ],
)
def test_a_signal_gives_the_terminal_back(top: Terminal, number: signal.Signals, code: int) -> None:
    before = top.mode()
    until(lambda: "store-writer" in top.frame(), 20, "a frame")
    assert TAKEN in top.shown()
    top.process.send_signal(number)
    assert top.wait_end() == code
    assert GIVEN_BACK in top.shown()
    assert top.mode() == before


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="needs a shell that controls jobs")
def test_ctrl_z_gives_the_terminal_to_the_shell(demo: Fabric) -> None:
    shell = Terminal(["/bin/bash", "--norc", "--noprofile", "-i"], demo.env)
    try:
        shell.press(" ".join(TOP) + "\n")
        until(lambda: "store-writer" in shell.frame(), 20, "a frame")
        shell.press("\x1a")
        until(lambda: "Stopped" in shell.shown().rpartition(GIVEN_BACK)[2], 10, "the shell")
        shell.press("fg\n")
        until(lambda: shell.shown().count(TAKEN) == 2 and "store-writer" in shell.frame(), 10, "the next frame")
        shell.press("q")
        until(lambda: shell.shown().count(GIVEN_BACK) == 2, 10, "the shell again")
        shell.press("exit 7\n")
        assert shell.wait_end() == 7
    finally:
        shell.close()


def test_a_window_that_is_closed_ends_it(top: Terminal) -> None:
    until(lambda: "store-writer" in top.frame(), 20, "a frame")
    top.hang_up()
    assert top.process.wait(20) in {-signal.SIGHUP, 0}


def test_a_broker_that_dies_shows_and_comes_back(tmp_path: Path, runtime: dict[str, str]) -> None:
    server = Broker(bundled_binary(), tmp_path)
    server.start()
    terminal = Terminal(TOP, environment(DSMIL_STATE_DIR=tmp_path, REDIS_URL=server.url, **runtime))
    try:
        until(lambda: "memory" in terminal.frame(), 20, "a frame")
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: "does not answer" in terminal.frame(), 10, "the broker's absence")
        assert "\x1b[1;31m" in terminal.shown().rpartition("\x1b[H")[2], "in red"
        until(lambda: server.poll() is not None, 10, "the end of the broker")
        server.start()
        until(lambda: "memory" in terminal.frame(), 10, "the broker's return")
        os.kill(server.pid, signal.SIGSTOP)  # it hangs: the keyboard must not
        until(lambda: "no answer for" in terminal.frame(), 10, "the silence")
        terminal.press("q")
        assert terminal.wait_end(5) == 0
        os.kill(server.pid, signal.SIGCONT)
    finally:
        terminal.close()
        server.stop()


def test_a_pipe_gets_one_frame(demo: Fabric) -> None:
    done = demo.cli("top")
    assert (done.code, done.err) == (0, "")
    assert "soc-router" in done.out
    assert "\x1b" not in done.out


def test_json_for_scripts(demo: Fabric) -> None:
    view = demo.cli("top", "--json", "--once", "--interval", "0.2").json
    keys = "at version uptime_s broker store shrink streams parts dead_letters events"
    assert set(view) == set(keys.split())
    assert set(view["events"]) == {"all", "high", "escalated"}
    (stream,) = [s for s in view["streams"] if s["name"] == "L3_IN"]
    assert stream["in_per_s"] >= 0
    detectors = ["l3-analytics", "l3-sensor-alert", "l3-sigma", "l3-suricata-alert"]
    assert [group["name"] for group in stream["groups"]] == detectors
    assert {part["service"] for part in view["parts"]} >= {"soc-router", "store-writer"}
    counted = demo.rows("SELECT count(*) FROM soc_events_cache")[0][0]
    assert view["store"]["rows"]["soc"] <= counted, "rows were only added since"


def test_nothing_there_is_told_plainly(tmp_path: Path, closed_port: int) -> None:
    env = environment(DSMIL_STATE_DIR=tmp_path / "none", REDIS_URL=f"redis://127.0.0.1:{closed_port}")
    done = dsmil("top", "--once", "--json", "--interval", "0.2", env=env)
    assert done.code == 1
    view = json.loads(done.out)
    assert "does not answer" in view["broker"]["error"]
    assert "no store" in view["store"]["error"]
