"""The score card: no figure is worse than its page says, and a worse one is noticed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))

from score_parts._card import page, stated, worse  # noqa: E402 - scripts are no package
from score_parts._figure import Figure  # noqa: E402


def figure(value: float, better: str = "higher") -> Figure:
    return Figure(key="part.some-feed.records", value=value, meaning="of 3", better=better)


def test_a_page_is_read_back_as_it_was_written() -> None:
    assert stated(page([figure(0.73456)])) == {"part.some-feed.records": 0.735}


@pytest.mark.parametrize(
    ("better", "value", "is_worse"),
    [
        *(("higher", 9, False), ("higher", 8, False), ("higher", 7, True)),
        *(("lower", 7, False), ("lower", 8, False), ("lower", 9, True)),
        *(("", 8, False), ("", 7, True), ("", 9, True)),
    ],
)
def test_what_is_worse(better: str, value: float, is_worse: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    assert bool(worse([figure(value, better)], {"part.some-feed.records": 8.0}, all_of_them=True)) is is_worse


def test_rounding_is_no_fall() -> None:
    assert worse([figure(0.73456)], {"part.some-feed.records": 0.735}, all_of_them=True) == []


def test_a_figure_that_is_no_longer_measured_is_worse_when_all_are_measured() -> None:
    assert worse([], {"a.b": 1.0}, all_of_them=True) == ["a.b was 1 and is no longer measured"]
    assert worse([], {"a.b": 1.0}, all_of_them=False) == []


def score(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "score"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=540)


@pytest.mark.timeout(600)
def test_no_figure_has_become_worse(fixtures: Path) -> None:
    before = (ROOT / "docs" / "score.md").read_bytes()
    done = score("--check", "--json", "--fixtures", str(fixtures))
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(done.stdout)
    assert figures["sigma.matched"] == figures["sigma.rules"] == 151
    assert figures["falco.right"] == figures["falco.cases"] == 30
    assert figures["otrf.technique_named"] >= 9
    assert figures["parse.files_different"] == 0
    assert (ROOT / "docs" / "score.md").read_bytes() == before, "--check writes nothing"


def test_without_logs_it_says_so(tmp_path: Path) -> None:
    done = score("--fixtures", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("score: no public logs in ")
    assert "nonsense" in score("--only", "nonsense", "--fixtures", str(tmp_path)).stderr
