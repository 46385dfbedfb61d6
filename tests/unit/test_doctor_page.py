"""The page of the doctor lists the checks and fixes as the code has them."""

from __future__ import annotations

from pathlib import Path

from dsmil.doctor.examine import all_checks
from dsmil.doctor.finding import FIXES

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"


def table(head: str, rows: dict[str, str]) -> str:
    return f"{head}\n|---|---|\n" + "".join(f"| `{name}` | {text} |\n" for name, text in rows.items())


def expected() -> tuple[str, str]:
    checks = {name: text for check in all_checks().values() for name, text in check.tells.items()}
    return table("| Fix | What it does |", FIXES), table("| Check | What it says |", checks)


def test_the_tables_are_those_of_the_code() -> None:
    text = PAGE.read_text("utf-8")
    for wanted in expected():
        assert wanted in text, f"put this into docs/{PAGE.name}:\n{wanted}"
