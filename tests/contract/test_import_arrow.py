"""Imports go one way: each layer can be read and tested without those above it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "dsmil"
#: Part of the package -> its place on the arrow; a part may import what is below it, and itself.
RANKS = {
    **dict.fromkeys(("errors", "config", "journal", "log", "registry", "text"), 0),
    "events": 1,
    **dict.fromkeys(("fusion", "sigma", "analytics"), 2),
    "infrastructure": 3,
    **dict.fromkeys(("sources", "detections", "correlation", "sinks"), 4),
    **dict.fromkeys(("services", "api"), 5),
    "doctor": 6,
    "cli": 7,
    "testing": 8,
    "__main__": 9,
}
FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and part of every import of this package, wherever it stands: in functions, for types only."""
    package = ("dsmil", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            names = [[*base, alias.name] for alias in node.names]
        elif isinstance(node, ast.Call) and _is_import_module(node.func):
            text = node.args[0] if node.args else None
            if not (isinstance(text, ast.Constant) and isinstance(text.value, str)):
                continue
            names = [text.value.split(".")]
        else:
            continue
        for name in names:
            if name[0] == "dsmil" and len(name) > 1 and (name[1] in RANKS or (PACKAGE / name[1]).exists()):
                yield node.lineno, name[1]


def _is_import_module(function: ast.expr) -> bool:
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in {"import_module", "__import__"}


def violations(path: Path, source: str) -> list[str]:
    own = part_of(path)
    found = []
    for line, other in imported(path, ast.parse(source)):
        if own in {other, "__main__", "testing"}:
            continue
        level = RANKS[own] == RANKS[other] == 0  # the ground floor is one
        if RANKS[other] >= RANKS[own] and not level:
            found.append(f"{path.relative_to(PACKAGE)}:{line} imports {other}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    if path.parent == PACKAGE and path.name == "__init__.py":
        assert not list(imported(path, ast.parse(path.read_text("utf-8")))), "the package itself imports nothing"
        return
    assert part_of(path) in RANKS, f"{part_of(path)} has no place on the arrow"
    assert violations(path, path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("place", "source", "bad"),
    [
        ("events/x.py", "from dsmil.infrastructure import store", True),
        ("events/x.py", "import dsmil.cli.up", True),
        ("events/x.py", "from dsmil import services", True),
        ("events/x.py", "from ..services import runner", True),
        ("events/x.py", "from .codec import encode", False),
        ("events/x.py", "def f():\n    from dsmil.cli import main", True),
        ("fusion/x.py", "if TYPE_CHECKING:\n    from dsmil.infrastructure.store import Store", True),
        ("fusion/x.py", "from dsmil.events.model import Event", False),
        ("services/x.py", "from dsmil.api import app", True),
        ("api/x.py", "from dsmil.services import runner", True),
        ("sources/x.py", "from dsmil.detections import suricata_alert", True),
        ("services/x.py", "from importlib import import_module\nimport_module('dsmil.cli.up')", True),
        ("config.py", "from dsmil.errors import ConfigError", False),
        ("config.py", "from dsmil.events import ids", True),
        ("cli/x.py", "from dsmil import log\nfrom dsmil import __version__", False),
        ("cli/x.py", "from dsmil.testing import factories", True),
        ("testing/x.py", "from dsmil.cli import main", False),
    ],
)
def test_the_check_itself(place: str, source: str, bad: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    assert bool(violations(PACKAGE / place, source)) is bad
