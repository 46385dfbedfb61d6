"""The documents say what the code does."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from dsmil import config
from dsmil.cli import cli
from dsmil.events.handling import Dead, Delivery, Drop, Publish, Retry
from dsmil.events.streams import StreamName
from dsmil.sources._feed import RawRecord, Reader

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "changelog.d").glob("*.md")])
COMMANDS = cli.list_commands(click.Context(cli))
#: Target of a Markdown link or picture; addresses with a scheme are not ours.
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]*))?\)")
VARIABLE = re.compile(r"[A-Z]+(_[A-Z]+)+")


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_the_page_of_devices_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "docs-devices", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_table_of_roles_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "docs-roles", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_table_of_mappings_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "docs-feeds", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_its_section_with_every_option(name: str) -> None:
    text = page("docs/command-line.md")
    assert f"\n## dsmil {name}\n" in text
    section = text.partition(f"\n## dsmil {name}\n")[2].partition("\n## ")[0]
    missing = sorted(
        option
        for command in _commands(name)
        if not command.hidden
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for option in parameter.opts
        if f"`{option}" not in section
    )
    assert missing == []


def _commands(name: str) -> Iterator[click.Command]:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    yield found
    if isinstance(found, click.Group):
        yield from found.commands.values()


def test_each_command_is_in_the_table_of_the_readme() -> None:
    table = page("README.md").partition("\n## Commands\n")[2].partition("\n## ")[0]
    shown = [name for name in COMMANDS if not next(_commands(name)).hidden]
    assert [name for name in shown if f"`dsmil {name}" not in table] == []


def test_each_variable_is_in_the_readme() -> None:
    constants = (node.value for node in ast.walk(_tree(Path(config.__file__))) if isinstance(node, ast.Constant))
    variables = {value for value in constants if isinstance(value, str) and VARIABLE.fullmatch(value)}
    assert {"REDIS_URL", "POLL_TIMEOUT", "DSMIL_STATE_DIR"} <= variables
    table = page("README.md").partition("\n## Environment variables\n")[2].partition("\n## ")[0]
    assert sorted(name for name in variables if f"| `{name}` |" not in table) == []


def test_each_exit_code_is_documented() -> None:
    codes = {"0", "1", "2", *re.findall(r"\b(65|69|70|75|78|130)\b", cli.help or "")}
    assert len(codes) == 9
    assert sorted(code for code in codes if f"\n| {code} |" not in page("docs/command-line.md")) == []


def test_each_cause_word_is_documented() -> None:
    causes = set(_first_words("EventInvalid")) | set(_first_words("Dead"))
    assert {"malformed_json", "not_eve", "handler_failed"} <= causes
    text = page("docs/events.md")
    assert sorted(cause for cause in causes if f"`{cause}`" not in text) == []


def _first_words(constructor: str) -> Iterator[str]:
    """Yield the constant first arguments of all calls of ``constructor`` in the package."""
    for file in sorted((ROOT / "src" / "dsmil").rglob("*.py")):
        for node in ast.walk(_tree(file)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == constructor:
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield first.value


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(ROOT)))
def test_each_link_leads_somewhere(file: Path) -> None:
    broken = []
    for target, anchor in LINK.findall(_prose(file)):
        aim = (file.parent / target) if target else file
        if not aim.exists() or (anchor and anchor not in _anchors(aim)):
            broken.append(f"{target}#{anchor}")
    assert broken == []


def _prose(file: Path) -> str:
    return re.sub(r"^```.*?^```", "", file.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def _anchors(file: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _prose(file), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_no_picture_fetches_anything() -> None:
    for file in (ROOT / "docs" / "images").glob("*.svg"):
        text = file.read_text("utf-8")
        assert "font-face" not in text
        assert not re.search(r"(href|src|url)\s*[=(]\s*[\"']?[a-z]+:", text)


def test_the_example_feed_and_detector_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSMIL_STATE_DIR", str(tmp_path))
    text = page("docs/connect-a-feed.md")
    source = _example(text, "SOURCE")()
    lines = text.partition("```json\n")[2].partition("```")[0].encode().splitlines()
    reader = Reader(source)
    events = [reader.event(RawRecord(line, f"door.json:{n}"), 1.0) for n, line in enumerate(lines[:3], start=1)]
    assert json.loads(lines[1]) == events[1].payload
    batch = [Delivery(stream=StreamName.L3_IN, entry_id=f"{n}-0", event=e) for n, e in enumerate(events, start=1)]
    detector = _example(text, "DETECTOR")()
    assert [type(outcome) for outcome in detector.handle(batch)] == [Drop, Retry, Dead]
    (tmp_path / "lost-badges.txt").write_text("0815\n")
    (outcome,) = detector.handle(batch[1:2])
    assert isinstance(outcome, Publish)
    ((stream, finding),) = outcome.outputs
    assert (stream, finding.severity, finding.evidence) == (StreamName.L3_OUT, "HIGH", (events[1].event_id,))


def _example(text: str, constant: str) -> Any:
    """Run the one Python block that ends in ``constant`` and return what it offers."""
    (block,) = (b for b in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if f"\n{constant} = " in b)
    names: dict[str, Any] = {}
    exec(compile(block, f"docs/connect-a-feed.md {constant}", "exec"), names)  # noqa: S102 - our own document
    return names[constant]
