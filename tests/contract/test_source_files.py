"""Conventions of every source file: its size, and words where a reader looks for them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src"
TEXTS = sorted(
    path
    for path in SRC.rglob("*")
    if path.suffix in {".py", ".sql", ".lua", ".toml", ".yml", ".yaml", ".ts", ".css"}
    and "__pycache__" not in path.parts
)
MODULES = sorted((SRC / "dsmil").rglob("*.py"))
#: Records that others read: settings and ``instance.json``.
RECORDS = [path for path in MODULES if path.name in {"config.py", "instance.py"}]
MOST_LINES = 400

Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _name(path: Path) -> str:
    return str(path.relative_to(SRC))


@pytest.mark.parametrize("path", TEXTS, ids=_name)
def test_no_file_is_too_long(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= MOST_LINES, f"{lines} lines: split it"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_everything_public_has_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree), "the module has none"
    missing = [f"{name} (line {node.lineno})" for name, node in _public(tree) if not ast.get_docstring(node)]
    assert missing == []


def _public(scope: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, Documented]]:
    for node in scope.body:
        if isinstance(node, Documented) and not node.name.startswith("_"):
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from _public(node, f"{prefix}{node.name}.")


@pytest.mark.parametrize("path", RECORDS, ids=_name)
def test_fields_of_public_records_are_described(path: Path) -> None:
    """``#:`` above a field is our data dictionary."""
    lines = path.read_text("utf-8").splitlines()
    for name, node in _public(ast.parse("\n".join(lines))):
        if isinstance(node, ast.ClassDef) and any("Struct" in ast.unparse(base) for base in node.bases):
            described = [f for f in node.body if isinstance(f, ast.AnnAssign) and _described(lines, f)]
            fields = [f for f in node.body if isinstance(f, ast.AnnAssign)]
            assert len(described) * 2 >= len(fields), f"{name}: {len(described)} of {len(fields)} fields described"


def _described(lines: list[str], field: ast.AnnAssign) -> bool:
    return lines[field.lineno - 2].strip().startswith("#:")
