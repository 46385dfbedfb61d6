"""All checks over the same facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsmil.doctor import checks
from dsmil.registry import discover

if TYPE_CHECKING:
    from dsmil.doctor.facts import Facts
    from dsmil.doctor.finding import Check, Finding


def all_checks() -> dict[str, Check]:
    """Return the families of checks by name."""
    return discover(checks, "CHECK")


def examine(facts: Facts) -> list[Finding]:
    """Return what every check says, family by family."""
    return [finding for check in all_checks().values() for finding in check.run(facts)]
