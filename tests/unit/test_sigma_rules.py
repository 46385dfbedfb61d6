"""Loading rules, their cases, hot reload, and the pack that comes with the product."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from dsmil.cli import cli
from dsmil.detections._rules import PACK, RuleKeeper
from dsmil.errors import ConfigError, UnreadableFile
from dsmil.sigma.cases import run_cases
from dsmil.sigma.loading import load

RULE = """\
title: A test
id: 5d0f5b52-6a43-4a8e-8b26-5fbb4a4a5e01
date: 2026-01-02
level: high
tags: [attack.execution, attack.t1059.001]
logsource: {product: windows}
detection: {sel: {A: 1}, condition: sel}
"""
OTHER = RULE.replace("5e01", "5e02")
BROKEN = OTHER.replace("condition: sel", "condition: gone")
CASES = """\
- {case: it matches, feed: windows, record: {A: 1}}
- {case: it does not, feed: windows, record: {A: 2}, findings: 0}
"""


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / f"{name.replace('_cases', '.cases')}.yml"
        path.write_text(text)
        # A later time even on file systems with coarse ones.
        stamp = path.stat().st_mtime_ns + 10_000_000 * (len(text) + 1)
        os.utime(path, ns=(stamp, stamp))


def test_what_a_rule_says_about_itself(tmp_path: Path) -> None:
    write(tmp_path, one=RULE)
    (rule,) = load([tmp_path]).rules.rules
    assert (rule.about.title, rule.about.severity, rule.about.techniques) == ("A test", "HIGH", ("T1059.001",))
    assert rule.about.tactics == ("TA0002",)
    assert rule.about.revision.startswith("2026-01-02+")
    write(tmp_path, one=RULE.replace("A: 1", "A: 3"))
    (changed,) = load([tmp_path]).rules.rules
    assert changed.about.revision != rule.about.revision


BAD_FILES = [
    ("title: [", "no YAML"),
    ("", "empty"),
    ("just text", "object"),
    (RULE.replace("logsource: {product: windows}\n", ""), "log source"),
    (RULE.replace("detection", "nothing"), "detection"),
    (RULE + "title: again\n", "title"),
    (RULE.replace("detection: {sel: {A: 1}, condition: sel}", "filter: {}"), "filter"),
    ("x: " + "y" * (1 << 20), "larger"),
]


@pytest.mark.parametrize(("text", "words"), BAD_FILES, ids=[words for _, words in BAD_FILES])
def test_a_bad_file_is_named_and_the_others_are_used(tmp_path: Path, text: str, words: str) -> None:
    write(tmp_path, bad=text, good=OTHER)
    loaded = load([tmp_path])
    (problem,) = loaded.problems
    assert problem.path == str(tmp_path / "bad.yml")
    assert words in problem.reason
    assert [rule.about.path for rule in loaded.rules.rules] == [str(tmp_path / "good.yml")]


def test_an_id_stands_for_one_rule(tmp_path: Path) -> None:
    write(tmp_path, one=RULE, two=RULE.replace("A test", "Its copy"))
    loaded = load([tmp_path])
    assert [rule.about.title for rule in loaded.rules.rules] == ["A test"]
    assert "one.yml" in loaded.problems[0].reason


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnreadableFile, match="nowhere"):
        load([tmp_path / "nowhere"])
    monkeypatch.setenv("DSMIL_RULES", str(tmp_path / "nowhere"))
    from dsmil.detections.sigma import Sigma

    with pytest.raises(ConfigError, match=r"DSMIL_RULES.*nowhere"):
        Sigma()


def test_values_of_placeholders_lie_beside_the_rules(tmp_path: Path) -> None:
    write(tmp_path, one=RULE.replace("{A: 1}", "{'A|expand': '%names%'}"), placeholders="names: [kim]\n")
    loaded = load([tmp_path])
    assert (len(loaded.rules.rules), loaded.problems) == (1, ())
    write(tmp_path, placeholders="names: kim\n")
    assert "placeholders.yml" in str(load([tmp_path]).problems[0])


# Cases


def test_cases_that_hold_and_cases_that_fail(tmp_path: Path) -> None:
    write(tmp_path, one=RULE, one_cases=CASES, two=OTHER)
    tested = run_cases([tmp_path], load([tmp_path]).rules)
    assert (tested.cases, tested.files, tested.problems) == (2, 1, ())
    assert tested.without == (str(tmp_path / "two.yml"),)
    write(tmp_path, one_cases=CASES.replace("A: 2", "A: 1"))
    (problem,) = run_cases([tmp_path], load([tmp_path]).rules).problems
    assert "'it does not': 1 findings instead of 0" in problem.reason


def test_cases_without_a_rule_file_are_a_problem(tmp_path: Path) -> None:
    """Nobody would run them, and nobody would notice."""
    write(tmp_path, one=RULE, one_cases=CASES, lost_cases=CASES)
    (problem,) = run_cases([tmp_path], load([tmp_path]).rules).problems
    assert problem.path.endswith("lost.cases.yml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- {case: x, feed: nonsense, record: {}}", "nonsense"),
        ("- {case: x, feed: windows}", "no record"),
        ("- {case: x, feed: windows, record: {}, match: true}", "match"),
        ("case: x", "list of cases"),
    ],
)
def test_a_bad_case_is_named(tmp_path: Path, text: str, words: str) -> None:
    write(tmp_path, one=RULE, one_cases=text)
    (problem,) = run_cases([tmp_path], load([tmp_path]).rules).problems
    assert words in problem.reason
    assert problem.path.endswith("one.cases.yml")


def test_the_pack_has_cases_for_each_file_and_they_hold() -> None:
    loaded = load([PACK])
    tested = run_cases([PACK], loaded.rules)
    assert (loaded.problems, tested.problems, tested.without) == ((), (), ())
    assert len(loaded.rules.rules) + len(loaded.rules.correlations) >= 20
    assert {rule.source.product for rule in loaded.rules.rules} >= {"windows", "linux", "aws", "kubernetes", ""}


@pytest.mark.parametrize("path", sorted(PACK.glob("*.cases.yml")), ids=lambda path: path.name)
def test_each_file_of_the_pack_has_a_case_that_matches_and_one_that_does_not(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "findings: 0" in text
    assert text.count("- case:") > text.count("findings: 0")


# The commands


def test_check_names_what_is_wrong_and_fails(tmp_path: Path) -> None:
    write(tmp_path, one=RULE, two=BROKEN)
    done = CliRunner().invoke(cli, ["rules", "check", str(tmp_path)], standalone_mode=False)
    assert done.return_value == 65
    assert str(tmp_path / "two.yml") in done.output
    assert "gone" in done.output
    write(tmp_path, two=OTHER)
    done = CliRunner().invoke(cli, ["rules", "check", str(tmp_path)], standalone_mode=False)
    assert (done.return_value, "2 rules" in done.output) == (0, True)


def test_a_folder_without_rules_is_no_success(tmp_path: Path) -> None:
    """A pipeline that checks the wrong folder would be green for ever."""
    done = CliRunner().invoke(cli, ["rules", "check", str(tmp_path)])
    assert done.exit_code == 2
    assert f"no rule files (*.yml, *.yaml) in {tmp_path}" in done.output


def test_test_runs_the_cases_and_fails_with_them(tmp_path: Path) -> None:
    write(tmp_path, one=RULE, one_cases=CASES)
    done = CliRunner().invoke(cli, ["rules", "test", str(tmp_path), "--json"], standalone_mode=False)
    assert (done.return_value, '"cases":2' in done.output) == (0, True)
    write(tmp_path, one_cases=CASES.replace("A: 2", "A: 1"))
    assert CliRunner().invoke(cli, ["rules", "test", str(tmp_path)], standalone_mode=False).return_value == 65


# Hot reload


def test_a_change_is_taken_up_and_a_bad_one_is_not(tmp_path: Path) -> None:
    write(tmp_path, one=RULE)
    keeper = RuleKeeper([tmp_path])
    ours = len(keeper.current().rules) - 1
    write(tmp_path, two=OTHER)
    keeper.look()
    assert len(keeper.current().rules) == ours + 2
    write(tmp_path, two=BROKEN)
    keeper.look()
    assert len(keeper.current().rules) == ours + 2, "the rules as they were"
    assert "two.yml" in keeper.refused
    write(tmp_path, two=OTHER)
    keeper.look()
    assert keeper.refused == ""
    shutil.rmtree(tmp_path)
    keeper.look()
    assert "no such folder" in keeper.refused
    assert len(keeper.current().rules) == ours + 2


def test_rules_that_could_not_be_used_from_the_start_do_not_hold_back_later_ones(tmp_path: Path) -> None:
    write(tmp_path, bad=BROKEN)
    keeper = RuleKeeper([tmp_path])
    ours = len(keeper.current().rules)
    write(tmp_path, one=RULE)
    keeper.look()
    assert (len(keeper.current().rules), keeper.refused) == (ours + 1, "")


def test_looking_for_changes_does_not_hold_up_the_stream(tmp_path: Path) -> None:
    write(tmp_path, one=RULE)
    now = 0.0
    keeper = RuleKeeper([tmp_path], clock=lambda: now)
    ours = len(keeper.current().rules) - 1
    write(tmp_path, two=OTHER)
    assert len(keeper.current().rules) == ours + 1, "not yet looked"
    now = 10.0
    keeper.current()
    assert keeper._reading is not None
    keeper._reading.join(30)
    assert len(keeper.current().rules) == ours + 2


def test_rules_of_ones_own_win_over_the_pack(tmp_path: Path) -> None:
    shutil.copy(PACK / "dns_zone_transfer.yml", tmp_path / "mine.yml")
    keeper = RuleKeeper([tmp_path])
    paths = {rule.about.path for rule in keeper.current().rules}
    assert str(tmp_path / "mine.yml") in paths
    assert str(PACK / "dns_zone_transfer.yml") not in paths
    assert keeper.loaded is not None
    assert keeper.loaded.problems == ()
