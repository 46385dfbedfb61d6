"""The commands of a page: its fenced blocks, in order, with what the page shows as their output."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Final

import msgspec

_FENCE: Final = re.compile(r"^( *)```(\w*)([^\n`]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_HEADING: Final = re.compile(r"^#{2,3} (.+)$", re.MULTILINE)
#: What differs from run to run, and what stands for it when shapes are compared.
_VARIABLE: Final = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}"), "ID"),
    (re.compile(r"(/[\w.*-]+)+"), "PATH"),
    (re.compile(r"\d[\d.,:]*"), "N"),
    (re.compile(r"\s+"), " "),
)


class Block(msgspec.Struct, frozen=True):
    """One block of shell commands."""

    heading: str
    #: Words after ``bash``: none for a block that is run as it stands.
    marks: tuple[str, ...]
    commands: str
    #: What the page shows below it; empty when it shows nothing.
    shown: str
    line: int

    @property
    def code(self) -> int:
        """Exit code that the page says it ends with."""
        return next((int(mark.removeprefix("exit=")) for mark in self.marks if mark.startswith("exit=")), 0)


def blocks(page: Path) -> list[Block]:
    """Return all shell blocks of a page."""
    text = page.read_text("utf-8")
    fences = list(_FENCE.finditer(text))
    found = []
    for fence, following in zip(fences, [*fences[1:], None], strict=True):
        if fence[2] != "bash":
            continue
        headings = _HEADING.findall(text[: fence.start()])
        next_to_it = following and following[2] == "text" and not text[fence.end() : following.start()].strip()
        shown = textwrap.dedent(following[4]) if following and next_to_it else ""
        found.append(
            Block(
                heading=headings[-1] if headings else "",
                marks=tuple(fence[3].split()),
                commands=textwrap.dedent(fence[4]),
                shown=shown,
                line=text[: fence.start()].count("\n") + 1,
            )
        )
    return found


def shape(text: str) -> list[str]:
    """Return lines without what differs from run to run."""
    lines = []
    for line in text.splitlines():
        told = line.strip()
        for pattern, word in _VARIABLE:
            told = pattern.sub(word, told)
        lines.append(told)
    return lines


def has_shape(said: str, shown: str) -> bool:
    """Return whether the shown lines come in this order in what was said; ``...`` stands for any lines.

    Without a ``...`` at the start, the first shown line is the first that was said.
    """
    rest, wanted = shape(said), shape(shown)
    if wanted[0] != "..." and rest[:1] != wanted[:1]:
        return False
    for line in wanted:
        if line == "...":
            continue
        if line not in rest:
            return False
        rest = rest[rest.index(line) + 1 :]
    return True
