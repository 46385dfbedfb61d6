"""Who goes first where cores are short."""

from __future__ import annotations

import contextlib
import os


def step_back(steps: int) -> None:
    """Let others go first, by so many steps of niceness; where that is forbidden, go on as before.

    The hardened units forbid it with everything else about resources; there the unit itself can say ``Nice=``.
    """
    with contextlib.suppress(OSError):
        os.nice(steps)
