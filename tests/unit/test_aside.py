"""Work that is done aside: its result, its errors, and its end without a word."""

from __future__ import annotations

import os

import pytest

from dsmil.errors import DsmilError, StoreTooNew
from dsmil.services.aside import aside


def _twice(number: int, *, plus: int = 0) -> int:
    return 2 * number + plus


def _refuse() -> None:
    raise StoreTooNew("made by a later version")


def _slip() -> None:
    raise KeyError("nothing of that name")


def test_what_it_returns_is_returned() -> None:
    assert aside(_twice, 20, plus=2) == 42


def test_it_is_another_process() -> None:
    assert aside(os.getpid) != os.getpid()


def test_its_error_is_raised_here() -> None:
    with pytest.raises(StoreTooNew, match="a later version"):
        aside(_refuse)


def test_a_bug_says_where_it_was() -> None:
    with pytest.raises(KeyError) as caught:
        aside(_slip)
    assert "in _slip" in "".join(caught.value.__notes__)


def test_one_that_dies_without_an_answer_is_an_error_with_its_code() -> None:
    with pytest.raises(DsmilError, match="ended with code 3 and without an answer"):
        aside(os._exit, 3)
