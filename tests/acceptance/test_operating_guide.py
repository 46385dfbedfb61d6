"""docs/operate.md: every command in it is run, in order, on a fabric that suffers what the page speaks of."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.acceptance.fabric_process import ROOT, Done, Fabric, alive, environment, run
from tests.acceptance.guide import Block, blocks, has_shape

from dsmil.services.catalogue import part_names
from dsmil.services.metric_names import ALL
from dsmil.testing.waiting import until

PAGE = ROOT / "docs" / "operate.md"
BLOCKS = blocks(PAGE)
SETUP = next(block for block in BLOCKS if "setup" in block.marks)
TOOLS = ("bash", "jq", "curl", "redis-cli", "git")
#: Marks that a block may have, and what becomes of it here.
MARKS = {"setup", "systemd", "clone", "exit=69"}
UNITS = {"dsmil.target", "dsmil-soc-router", "dsmil*", "dsmil@*", "redis-server"}
VERBS = {"start", "stop", "restart", "status", "show"}


class Guide:
    """A person who follows the page, with a home and a clone of their own."""

    def __init__(self, folder: Path, runtime: dict[str, str]) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.clone = folder / "clone"
        self.fabric = Fabric(folder / "state", **runtime)
        self.fabric.env |= {"HOME": str(self.home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        self.counted: dict[str, int] = {}

    def follow(self, block: Block) -> Done:
        """Run one block in a new shell that has the names of the page."""
        script = f"set -u\n{SETUP.commands}\n{block.commands}"
        where = self.clone if "clone" in block.marks else ROOT
        ended = subprocess.run(
            ["bash", "-c", script],
            env=self.fabric.env,
            cwd=where,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return Done(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def look(self) -> None:
        """Read the record of the instance that runs now."""
        self.fabric.record = json.loads((self.fabric.state / "instance.json").read_bytes())
        self.fabric.socket = self.fabric.record["socket"]

    # What happens before a section is followed

    def make_clone(self) -> None:
        """Make a clone with something to pull, and with the packages that are installed here already."""
        upstream = self.clone.with_name("upstream")
        git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.test", "-c", "commit.gpgsign=false")
        env = environment()
        upstream.mkdir()
        for name in ("scripts", "requirements.lock", "pyproject.toml"):
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, upstream / name)
        for command in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-qm", "one")):
            assert run(*git, "-C", upstream, *command, env=env).code == 0
        assert run(*git, "clone", "-q", upstream, self.clone, env=env).code == 0
        (upstream / "NEWS").write_text("two\n")
        for command in (("add", "-A"), ("commit", "-qm", "two")):
            assert run(*git, "-C", upstream, *command, env=env).code == 0
        binaries = self.clone / ".venv" / "bin"
        binaries.mkdir(parents=True)
        for name in ("dsmil", "python"):
            (binaries / name).symlink_to(Path(sys.executable).with_name(name))
        wanted = "cat requirements.lock pyproject.toml scripts/setup | cksum"
        known = subprocess.run(wanted, shell=True, cwd=self.clone, capture_output=True, text=True, check=True)  # noqa: S602
        (self.clone / ".venv" / ".dsmil-setup").write_text(f"{known.stdout.strip()} {self.clone}\n")

    def count(self) -> None:
        """Note how much is in the streams, as it will have to be after a restoration."""
        self.look()
        self.fabric.settled()
        with self.fabric.redis() as client:
            self.counted = {name: int(client.xlen(name)) for name in ("L3_IN", "L3_OUT", "SOC_EVENTS")}
        assert min(self.counted.values()) > 10

    def add_more(self) -> None:
        """Add what is not in the backup, so that a restoration can be seen."""
        self.fabric.send("after-the-backup")
        self.fabric.wait_row("after-the-backup")

    def kill_router(self) -> None:
        self.look()
        os.kill(self.fabric.children()["soc-router"], signal.SIGKILL)

    def kill_broker(self) -> None:
        self.look()
        os.kill(self.fabric.children()["broker"], signal.SIGKILL)

    def kill_everything(self) -> None:
        """Kill all processes of the instance at once, as a power cut does."""
        self.look()
        pids = list(self.fabric.processes())
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        until(lambda: not any(alive(pid) for pid in pids), 20, "their end")

    def make_letters(self) -> None:
        self.look()
        with self.fabric.redis() as client:
            client.xadd("L3_OUT", {"event": "garbage"})
            client.xadd("L3_OUT", {"event": '{"source_device": "x"}'})
            until(lambda: client.xlen("DEAD_LETTERS") >= 2, 20, "letters")

    def make_newer(self) -> None:
        """Leave the hot store as a newer version would."""
        with closing(sqlite3.connect(self.fabric.record["hotpath_db"])) as connection, connection:
            connection.execute("INSERT INTO schema_steps VALUES (9999, '9999_later.sql', 0)")


#: Heading -> what has happened when somebody reads on there. Once each, before its first block.
BEFORE: dict[str, Callable[[Guide], None]] = {
    "Back up": Guide.count,
    "Restore": Guide.add_more,
    "A process was killed": Guide.kill_router,
    "Everything was killed, or the power went": Guide.kill_everything,
    "The broker is gone": Guide.kill_broker,
    "Dead letters pile up": Guide.make_letters,
    "Upgrade": Guide.make_clone,
}


def _nothing(_guide: Guide) -> None:
    """Do nothing: most sections speak of no trouble."""


def _restored(guide: Guide) -> None:
    guide.look()
    guide.fabric.settled()
    with guide.fabric.redis() as client:
        assert {name: client.xlen(name) for name in guide.counted} == guide.counted
    assert guide.fabric.row("after-the-backup") is not None, "the hot store keeps what it had"


def _filled(guide: Guide) -> None:
    guide.look()
    guide.fabric.settled()
    rows = guide.fabric.rows("SELECT count(*) FROM soc_events_cache")[0][0]
    assert rows >= guide.counted["SOC_EVENTS"]


def _pulled(guide: Guide) -> None:
    assert (guide.clone / "NEWS").is_file()


def _rolled_back(guide: Guide) -> None:
    assert not (guide.clone / "NEWS").exists()


def _uninstalled(guide: Guide) -> None:
    assert not guide.fabric.state.exists()
    until(lambda: not guide.fabric.processes(), 20, "the end of all processes")


#: Heading -> what must be true after its last block.
AFTER: dict[str, Callable[[Guide], None]] = {
    "Restore": _restored,
    "Everything was killed, or the power went": _filled,
    "The broker is gone": _filled,
    "The hot store is gone or damaged": _filled,
    "Upgrade": _pulled,
    "Roll back": _rolled_back,
    "Uninstall": _uninstalled,
}


@pytest.fixture
def guide(tmp_path: Path, runtime: dict[str, str]) -> Iterator[Guide]:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"not on PATH: {missing}")
        pytest.skip(f"not on PATH: {missing}")
    reader = Guide(tmp_path, runtime)
    try:
        yield reader
    finally:
        reader.fabric.close()


@pytest.mark.timeout(300)
def test_every_command_of_the_guide(guide: Guide) -> None:
    seen: set[str] = set()
    for number, block in enumerate(BLOCKS):
        if {"setup", "systemd"} & set(block.marks):
            continue
        if block.heading not in seen:
            seen.add(block.heading)
            BEFORE.get(block.heading, _nothing)(guide)
        if "exit=69" in block.marks:
            guide.make_newer()
        done = guide.follow(block)
        place = f"{PAGE.name}:{block.line}"
        assert done.code == block.code, (place, done)
        assert "Traceback" not in done.err, (place, done)
        if block.shown:
            assert has_shape(done.out + done.err, block.shown), f"{place}: {done.out}{done.err}"
        if block.heading not in {later.heading for later in BLOCKS[number + 1 :] if "systemd" not in later.marks}:
            AFTER.get(block.heading, _nothing)(guide)
    assert seen >= BEFORE.keys() | AFTER.keys(), "a heading was renamed"


def test_every_block_is_known() -> None:
    assert len(BLOCKS) > 25
    assert {mark for block in BLOCKS for mark in block.marks} == MARKS
    assert BLOCKS[0] is SETUP


def _system_lines() -> list[tuple[str, list[str]]]:
    found = []
    for block in BLOCKS:
        if "systemd" in block.marks:
            lines = block.commands.splitlines()
            found += [(f"{PAGE.name}:{block.line}: {line}", line.removeprefix("sudo ").split()) for line in lines]
    return found


@pytest.mark.parametrize(("place", "words"), _system_lines(), ids=[place for place, _ in _system_lines()])
def test_commands_for_systemd_name_what_is_there(place: str, words: list[str]) -> None:
    """Blocks that need root or systemd: their units, journal fields and options exist."""
    program, *rest = [word.strip("'") for word in words]
    names = [word for word in rest if not word.startswith("-")]
    match program:
        case "systemctl":
            assert names[0] in VERBS, place
            assert names[1] in UNITS | {f"dsmil@{name}" for name in part_names()}, place
        case "journalctl":
            for word in rest:
                if word.startswith("DSMIL_EVENT="):
                    event = word.partition("=")[2]
                    sources = (file.read_text() for file in (ROOT / "src" / "dsmil").rglob("*.py"))
                    assert any(f'"{event}"' in text for text in sources), place
            if "-u" in rest:
                assert rest[rest.index("-u") + 1] in UNITS, place
        case "scripts/setup_data_fabric.sh":
            usage = run("bash", ROOT / program, "--help", env=environment()).out
            assert all(option in usage for option in rest), place
            shown = run("bash", ROOT / program, *{*rest, "--dry-run"}, env=environment())
            assert shown.code == 0, shown
        case _:
            assert program == "timedatectl", place


def test_the_table_of_metrics_is_up_to_date() -> None:
    done = run(sys.executable, "scripts/docs-metrics", "--check", env=environment())
    assert done.code == 0, done.err


def test_rules_and_scrape_configuration_ask_only_for_what_there_is() -> None:
    folder = ROOT / "samples" / "prometheus"
    rules = (folder / "dsmil.rules.yml").read_text()
    labels = {sample: set(metric.labels) for metric in ALL for sample in metric.samples}
    expressions = re.findall(r"expr: (?:\|\n((?: {10,}.*\n)+)|(.+))", rules)
    assert len(expressions) == rules.count("- alert:") == 10
    for expression in (several or one for several, one in expressions):
        used = re.findall(r"\b((?:dsmil|shrink)_[a-z_]+)(?:\{(.*?)\})?", expression)
        assert used or expression == 'up{job="dsmil"} == 0', expression
        for name, selector in used:
            assert name in labels, expression
            assert set(re.findall(r"(\w+)(?:=~|!=|=)\"", selector)) <= labels[name], expression
    configuration = (folder / "prometheus.yml").read_text()
    assert "job_name: dsmil\n" in configuration
    assert "dsmil.rules.yml" in configuration
    tool = shutil.which("promtool")
    if tool is not None:
        assert run(tool, "check", "config", folder / "prometheus.yml", env=environment()).code == 0
