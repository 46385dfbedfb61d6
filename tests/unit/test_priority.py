"""Stepping back is a courtesy: where it is forbidden, as in a hardened unit, work goes on."""

from __future__ import annotations

import os

import pytest

from dsmil.services.priority import step_back


def test_a_process_that_may_not_step_back_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[int]()

    def forbidden(steps: int) -> int:
        asked.append(steps)
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "nice", forbidden)
    step_back(5)
    assert asked == [5]
