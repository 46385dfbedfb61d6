"""What is wrong with a rule."""

from __future__ import annotations

import msgspec

from dsmil.errors import DsmilError


class RuleProblem(DsmilError, ValueError):
    """A rule cannot be compiled."""


class Problem(msgspec.Struct, frozen=True):
    """One rule or case that cannot be used, and why."""

    #: File it stands in.
    path: str
    reason: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.path}: {self.reason}"
