"""Starting a command: what it imports, its help, its exit codes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.acceptance.fabric_process import Fabric, dsmil, environment, run


def test_both_ways_to_call_it() -> None:
    env = environment()
    script = run(Path(sys.executable).with_name("dsmil"), "--version", env=env)
    module = dsmil("--version", env=env)
    assert script == module
    assert script.code == 0
    assert script.out.startswith("dsmil, version ")


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_starting_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from dsmil.cli import main\n"
        "sys.argv = ['dsmil', *sys.argv[1:]]\n"
        "try:\n    main()\n"
        "except SystemExit as exc:\n    assert not exc.code, exc.code\n"
        "heavy = {'redis', 'rich', 'apsw', 'structlog', 'h11', 'prometheus_client', 'asyncio', 'sqlite3'}\n"
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)\n"
    )
    done = run(sys.executable, "-c", script, *arguments, env=environment())
    assert done.code == 0, done
    assert done.complaint == "[]"


def test_every_command_has_help() -> None:
    env = environment()
    listing = dsmil("--help", env=env)
    assert listing.code == 0
    commands = {"up", "down", "status", "events", "tail", "why", "sql", "publish", "ingest", "dlq", "run"}
    assert commands <= set(listing.out.split())
    for code in (65, 66, 69, 70, 75, 78, 130):
        assert str(code) in listing.out, "exit codes are documented"
    for command in sorted(commands):
        done = dsmil(command, "--help", env=env)
        assert done.code == 0
        assert "Usage: " in done.out


@pytest.mark.parametrize("arguments", [["no-such-command"], ["events", "--no-such-option"], ["why"], ["ingest"]])
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    assert dsmil(*arguments, env=environment()).code == 2


@pytest.mark.parametrize(
    "setting",
    [{"REDIS_PORT": "many"}, {"SHRINK_URL": "ftp://x"}, {"REDIS_URL": "http://x"}, {"LOG_LEVEL": "LOUD"}],
    ids=lambda setting: next(iter(setting)),
)
def test_wrong_setting_exits_78_and_names_it(tmp_path: Path, setting: dict[str, str]) -> None:
    done = dsmil("status", env=environment(DSMIL_STATE_DIR=tmp_path, **setting))
    assert done.code == 78
    assert next(iter(setting)) in done.complaint


@pytest.mark.parametrize(
    "arguments", [["tail", "--no-follow"], ["dlq", "list"], ["dlq", "show", "1-0"], ["publish", "L3_OUT", "-"]]
)
def test_without_a_broker_commands_exit_69(tmp_path: Path, closed_port: int, arguments: list[str]) -> None:
    env = environment(DSMIL_STATE_DIR=tmp_path, REDIS_URL=f"redis://127.0.0.1:{closed_port}/0")
    done = dsmil(*arguments, env=env, given='{"source_device": 15}\n')
    assert done.code == 69
    assert str(closed_port) in done.complaint


@pytest.mark.parametrize(
    "arguments",
    [["events", "-n", str(2**70)], ["dlq", "list", "-n", "0"], ["events", "-n", "-1"], ["tail", "-n", "-1"]],
    ids=" ".join,
)
def test_number_out_of_range_is_wrong_usage(fabric: Fabric, arguments: list[str]) -> None:
    following = ["--no-follow"] if arguments[0] == "tail" else []
    assert fabric.cli(*arguments, *following).code == 2


def test_unexpected_error_exits_70(fabric: Fabric) -> None:
    script = (
        "import sys\n"
        "from dsmil.infrastructure import status\n"
        "def broken(*_): raise RuntimeError('as never expected')\n"
        "status.collect = broken\n"
        "from dsmil.cli import main\n"
        "sys.argv = ['dsmil', 'status']\n"
        "main()\n"
    )
    done = run(sys.executable, "-c", script, env=fabric.env)
    assert done.code == 70
    assert "as never expected" in done.complaint
    shown = run(sys.executable, "-c", script, env=fabric.env | {"LOG_LEVEL": "DEBUG"})
    assert "Traceback" in shown.err
