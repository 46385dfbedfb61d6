"""ATT&CK: tactics in the order in which attacks usually go, and which of them a technique serves."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Tactic(msgspec.Struct, frozen=True):
    """One tactic."""

    id: str
    name: str
    #: Ids of its techniques, with blanks between.
    techniques: str


@lru_cache(maxsize=1)
def tactics() -> tuple[Tactic, ...]:
    """Return all tactics, in order; see ``attack.toml`` for the source."""
    text = files("dsmil.correlation").joinpath("attack.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text)["tactic"], type=tuple[Tactic, ...])


@lru_cache(maxsize=1)
def places() -> dict[str, int]:
    """Return tactic id -> its place in the order."""
    return {tactic.id: place for place, tactic in enumerate(tactics())}


@lru_cache(maxsize=1)
def _served() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for tactic in tactics():
        for technique in tactic.techniques.split():
            found.setdefault(technique, []).append(tactic.id)
    return {technique: tuple(served) for technique, served in found.items()}


def tactics_of(technique: str) -> tuple[str, ...]:
    """Return the ids of the tactics that a technique, or a part of one, serves; empty for an unknown one."""
    return _served().get(whole(technique), ())


def whole(technique: str) -> str:
    """Return the technique that a part belongs to."""
    return technique.upper().partition(".")[0]


def assigned(served: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return tactic -> technique, so that as many tactics as can be are shown by a technique of their own.

    A technique that serves four tactics shows only one of them: else it alone would look like a whole attack. It
    is a maximum matching, by augmenting paths.
    """
    taken: dict[str, str] = {}

    def place(technique: str, tried: set[str]) -> bool:
        for tactic in served[technique]:
            if tactic in tried:
                continue
            tried.add(tactic)
            if tactic not in taken or place(taken[tactic], tried):
                taken[tactic] = technique
                return True
        return False

    for technique in served:
        place(technique, set())
    return taken
