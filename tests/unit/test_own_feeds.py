"""Feeds of the user's own: field maps, code in a directory, the templates, and what --explain tells of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dsmil.cli import cli
from dsmil.errors import ConfigError, RegistryError, UnknownName
from dsmil.events.model import Entity, EventCategory, Severity
from dsmil.services.explaining import explain_file
from dsmil.services.feed_template import write_template
from dsmil.services.feeds import find_source, read_source, source_names
from dsmil.sources.alertmanager import Alertmanager
from dsmil.sources.suricata_eve import SuricataEve
from dsmil.testing.feeds import read_file

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests" / "data" / "feeds"


def block(kind: str) -> str:
    """Return the one block of that kind in the page about feeds."""
    (found,) = re.findall(rf"```{kind}\n(.*?)```", (ROOT / "docs/feeds.md").read_text("utf-8"), re.DOTALL)
    return str(found)


@pytest.fixture
def gate(tmp_path: Path) -> tuple[Path, Path]:
    """Return the documented field map and its log."""
    made, log = tmp_path / "gate-log.toml", tmp_path / "gate.json"
    made.write_text(block("toml"))
    log.write_text(block("json"))
    return made, log


def test_the_documented_field_map_reads_its_log(gate: tuple[Path, Path]) -> None:
    reading = read_file(read_source(gate[0])(), gate[1])
    granted, forced = reading.events
    assert (reading.dead, reading.dead_places) == ({"not_of_map": 1}, [f"{gate[1]}:3"])
    assert (granted.source, granted.source_device, granted.category) == ("gate", 11, EventCategory.AUTH)
    assert (granted.severity, forced.severity) == (Severity.LOW, Severity.HIGH)
    assert (granted.ts, forced.ts) == (1795418102.0, 1795418200.0)
    assert (forced.techniques, forced.payload["note"]) == (("T1078",), "kept")
    assert granted.entities == (Entity("badge", "4711", "src"), Entity("host", "gate-2", "dest"))


def test_the_documented_explanation_is_what_is_printed(
    gate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(gate[0].parent)
    page = (ROOT / "docs/feeds.md").read_text("utf-8")
    shown = re.search(r"```console\n\$ dsmil (ingest .*?)\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    done = CliRunner().invoke(cli, shown[1].split())
    assert (done.exit_code, done.output) == (0, shown[2])


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (('forced = "HIGH"', 'forced = "AWFUL"'), 16, ["forced", "'AWFUL'", "use LOW, MEDIUM"]),
        (('category = "AUTH"', 'category = "DOOR"'), 5, ["category", "'DOOR'", "use AUTH"]),
        (("device_id = 11", "device_id = 52"), 4, ["device_id", "52", "0-11"]),
        (('name = "gate-log"', 'name = "Gate Log"'), 2, ["name", "'Gate Log'", "small letters"]),
        (("time = [", "tiem = ["), 7, ["tiem", "no such key", "time"]),
        (('time = ["when", "received"]', "time = 5"), 7, ["time", "5", "a list of texts"]),
        (('from = "result"\n', ""), 10, ["severity", "has no from"]),
        (('type = "badge"\n', ""), 18, ["entities", "lacks from or type"]),
        (('type = "host"\n', ""), 23, ["entities", "lacks from or type"]),
        (('role = "dest"', "role = 5"), 26, ["role", "5", "in quotes"]),
        (('role = "dest"', 'rule = "dest"'), 26, ["rule", "no such key", "role"]),
        (("[severity]", "[severity"), 10, ["not TOML"]),
        (('forced = "HIGH"', "forced = 5"), 16, ["forced", "5", "use LOW"]),
    ],
)
def test_a_mistake_is_told_with_file_line_key_and_remedy(
    gate: tuple[Path, Path], change: tuple[str, str], line: int, words: list[str]
) -> None:
    text = gate[0].read_text()
    assert change[0] in text
    gate[0].write_text(text.replace(*change))
    with pytest.raises(ConfigError) as caught:
        read_source(gate[0])
    assert str(caught.value).startswith(f"{gate[0]}:{line}: ")
    assert [word for word in words if word not in str(caught.value)] == []


def test_steps_and_arrays_of_a_field_map(tmp_path: Path) -> None:
    made, log = tmp_path / "probe.toml", tmp_path / "log.json"
    made.write_text('array_key = "hits"\n[severity]\nfrom = "n"\n[severity.steps]\n5 = "MEDIUM"\n0 = "LOW"\n')
    log.write_text('{"hits":[{"n":4},{"n":"5"},{"n":-1},{}]}')
    events = read_file(read_source(made)(), log).events
    assert [(e.severity.value, e.flags) for e in events] == [
        ("LOW", ("missing_time",)),
        ("MEDIUM", ("missing_time",)),
        ("HIGH", ("unknown_severity:-1", "missing_time")),
        ("HIGH", ("missing_severity", "missing_time")),
    ]


@pytest.mark.parametrize("field_map", [False, True])
def test_the_template_is_a_feed_whose_test_passes(tmp_path: Path, *, field_map: bool) -> None:
    feed, test = write_template("my-door-2", tmp_path / "feeds", field_map=field_map)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert read_source(feed).name == "my-door-2"
    with pytest.raises(ConfigError, match="is there already"):
        write_template("my-door-2", tmp_path / "feeds", field_map=field_map)


@pytest.mark.parametrize("name", ["Door", "door_log", "", "-door", "../door", "1door"])
def test_a_name_that_is_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="small letters"):
        write_template(name, tmp_path, field_map=True)
    assert list(tmp_path.iterdir()) == []


def test_own_feeds_are_found_where_they_are_named_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_template("own-code", tmp_path, field_map=False)
    write_template("own-map", tmp_path, field_map=True)
    (tmp_path / "_shared.py").write_text("raise RuntimeError('no feed')")
    with pytest.raises(UnknownName, match="own-code"):
        find_source("own-code")
    monkeypatch.setenv("DSMIL_FEEDS", str(tmp_path))
    assert {"own-code", "own-map", "suricata-eve"} <= set(source_names())
    assert find_source("own-map").name == "own-map"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("odd.py", "def broken(:", "SyntaxError"),
        ("odd.py", "x = 1", "has no SOURCE"),
        ("odd.py", "class A: name = 'a'\nSOURCE = A", "derived from Source"),
        ("odd.py", "from dsmil.sources._feed import Source\nclass A(Source): name = 'a'\nSOURCE = A", "device_id"),
        ("falco.toml", "", "'falco'"),
    ],
)
def test_a_broken_feed_of_ones_own_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    monkeypatch.setenv("DSMIL_FEEDS", str(tmp_path))
    with pytest.raises(RegistryError) as caught:
        source_names()
    assert str(tmp_path / name) in str(caught.value)
    assert words in str(caught.value)


def test_a_directory_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSMIL_FEEDS", "/no/such/place")
    with pytest.raises(ConfigError, match="DSMIL_FEEDS='/no/such/place' is no directory"):
        source_names()


def invoke(*arguments: str) -> tuple[int, list[Any]]:
    command = [sys.executable, "-m", "dsmil", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_the_commands(tmp_path: Path) -> None:
    assert invoke("source", "new", "own-map", "--in", str(tmp_path), "--map")[0] == 0
    code, (rows,) = invoke("source", "list", "--feeds", str(tmp_path))
    own = [row["name"] for row in rows if row["own"]]
    assert (code, own) == (0, ["own-map"])
    log = str(SAMPLES / "falco.json")
    code, lines = invoke("ingest", "falco", log, "--explain", "--limit", "2")
    assert (code, [line["severity"] for line in lines]) == (0, ["CRITICAL", "LOW"])
    assert invoke("ingest", "falco", log, "--explain")[0] == 65


def test_a_new_feed_may_not_have_the_name_of_another(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["source", "new", "syslog", "--in", str(tmp_path)])
    assert isinstance(done.exception, ConfigError)
    assert "is a feed already" in str(done.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [["--limit", "1"], ["--explain", "--follow"], ["--explain", "--rate", "5"]])
def test_options_that_do_not_go_together(wrong: list[str]) -> None:
    assert CliRunner().invoke(cli, ["ingest", "falco", "x", *wrong]).exit_code == 2


def test_an_explanation_names_the_field_behind_everything() -> None:
    down, up, *_ = explain_file(Alertmanager(), str(SAMPLES / "alertmanager.json"))
    assert (down.ts_from, down.severity_from) == ("startsAt", "labels.severity")
    assert [(row["value"], row["from"]) for row in down.entities] == [
        ("192.0.2.5", "labels.instance"),
        ("rack-4", "labels.node"),
    ]
    assert down.detections == {
        "l3-sensor-alert": "CRITICAL HostDown HostDown",
        "l3-sigma": "no finding: no_rules_for_feed",
    }
    assert up.detections["l3-sensor-alert"] == "no finding: resolved"


def test_an_explanation_tells_what_is_wrong_and_what_is_half_written(tmp_path: Path) -> None:
    log = tmp_path / "eve.json"
    log.write_text('{"event_type":"flow"}\nno json\n{"event_type":')
    flow, bad, half = explain_file(SuricataEve(), str(log))
    assert (flow.flags, flow.ts_from, flow.problem) == (("missing_time",), "", "")
    assert (bad.place, bad.problem.partition(":")[0], bad.partial) == (f"{log}:2", "malformed_json", False)
    assert half.partial
