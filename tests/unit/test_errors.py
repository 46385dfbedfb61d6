"""Errors: one root, three families, a place and a default message."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from dsmil import errors
from dsmil.errors import DsmilError, EventInvalid, StoreTooNew, StoreUnavailable, Unavailable

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_has_the_one_root(kind: type[Exception]) -> None:
    assert issubclass(kind, DsmilError)


@pytest.mark.parametrize("kind", [k for k in ALL if k is not EventInvalid], ids=lambda kind: kind.__name__)
def test_the_docstring_is_the_message_by_default(kind: type[DsmilError]) -> None:
    assert str(kind()) == (kind.__doc__ or "").splitlines()[0]
    assert str(kind("words")) == "words"


def test_the_place_comes_first() -> None:
    error = StoreUnavailable("no room", source="L3_IN/1-0")
    assert str(error) == "L3_IN/1-0: no room"
    assert error.source == "L3_IN/1-0"
    assert DsmilError().source is None


def test_bad_input_is_a_value_error_and_not_unavailable() -> None:
    error = EventInvalid("too_deep", "nested deeper than 32", source="f:1")
    assert isinstance(error, ValueError)
    assert not isinstance(error, Unavailable)
    assert (error.cause, error.detail) == ("too_deep", "nested deeper than 32")
    assert str(error) == "f:1: too_deep: nested deeper than 32"


def test_what_is_only_away_is_told_from_what_is_wrong() -> None:
    away = {kind.__name__ for kind in ALL if issubclass(kind, Unavailable)}
    assert {"BusUnavailable", "BusRefused", "GroupLost", "StoreUnavailable"} <= away
    assert not issubclass(StoreTooNew, Unavailable)


def test_every_cause_of_an_invalid_event_is_documented() -> None:
    """``EventInvalid.cause`` promises it: people look the word up when they find it in a dead letter."""
    package = Path(errors.__file__).parent
    causes = {
        str(node.args[0].value)
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "EventInvalid"
        and isinstance(node.args[0], ast.Constant)
    }
    assert {"malformed_json", "duplicate_key", "bad_time"} <= causes
    documented = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")
    assert {cause for cause in causes if f"`{cause}`" not in documented} == set()
