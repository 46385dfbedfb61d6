"""Text of events made safe for a terminal and a log line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dsmil.text import printable, printable_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, été, 漢字, \U0001f600", "plain text, été, 漢字, \U0001f600"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\r\tc", "a\\x0ab\\x0d\\x09c"),
        ("\x7f\x80\x9b\x9f", "\\x7f\\x80\\x9b\\x9f"),
        ("\u202eexe.txt", "\\u202eexe.txt"),
        ("\u2066\u2069\u200f\u061c", "\\u2066\\u2069\\u200f\\u061c"),
        ("a\u200bb\ufeff\u00ad", "a\\u200bb\\ufeff\\xad"),
        ("\u2028\u2029", "\\u2028\\u2029"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("", ""),
    ],
)
def test_what_could_act_on_a_terminal_is_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(("value", "shown"), [(5, "5"), (None, "None"), (["\x1b"], "['\\x1b']")])
def test_any_value_has_a_text(value: object, shown: str) -> None:
    assert printable(value) == shown


@pytest.mark.parametrize(
    ("limit", "shown"), [(None, "abcdef"), (7, "abcdef"), (6, "abcdef"), (5, "abcd…"), (2, "a…"), (1, "…")]
)
def test_longer_text_ends_in_an_ellipsis(limit: int | None, shown: str) -> None:
    assert printable("abcdef", limit) == shown


def test_the_limit_counts_what_is_shown_not_what_was_given() -> None:
    assert printable("\x1b\x1b", 4) == "\\x1…"


def test_a_limit_of_nothing_shows_nothing() -> None:
    assert printable("abc", 0) == ""


@pytest.mark.parametrize(
    "document",
    [
        {"a": "\x7f\x9b\u202e\u2028\ufeff\U000e0041", "\u200b": [None, True, 1.5]},
        ["\n\t\r\x00\x1b", "\\", '"', "\\u0041"],
        {},
        "\U000e007f",
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_printable_json_is_still_the_same_json(document: Any, indent: int | None) -> None:
    text = printable_json(json.dumps(document, ensure_ascii=False, indent=indent))
    assert json.loads(text) == document
    assert all(printable(line) == line for line in text.split("\n"))


@pytest.mark.parametrize("document", ['{\t"a": 1}', '{\r\n"a": 1}\r\n'])
def test_white_space_of_other_people_s_json_stays_json(document: str) -> None:
    assert json.loads(printable_json(document)) == {"a": 1}
