"""No text of any event can act on a terminal, and escaped JSON is still the same JSON."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from dsmil.text import printable, printable_json

BIDI = {"RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI"}
#: Weighted to what is dangerous: most of Unicode is harmless.
UNSAFE = st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"])
TEXT = st.text(UNSAFE | st.characters(), max_size=40)
CLEAN = st.text(
    UNSAFE.filter(lambda c: unicodedata.category(c) != "Cs") | st.characters(exclude_categories=["Cs"])
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | CLEAN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(CLEAN, inner, max_size=4),
    max_leaves=12,
)


def dangerous(character: str) -> bool:
    return (
        unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
        or unicodedata.bidirectional(character) in BIDI
        or character in "\u200b\u200c\u200d\u200e\u200f\u061c\u2060\ufeff\u00ad"
    )


@given(TEXT)
@example("\x1b]0;title\x07\x9b31m\r\n\u202e\u2066\x7f\x85\ud800")
def test_nothing_printable_can_act_on_a_terminal(text: str) -> None:
    shown = printable(text)
    assert not any(map(dangerous, shown))
    assert len(shown.splitlines()) <= 1
    shown.encode()


@given(TEXT)
def test_showing_twice_changes_nothing(text: str) -> None:
    assert printable(printable(text)) == printable(text)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@given(TEXT, st.integers(1, 60))
def test_the_limit_holds_and_says_when_something_was_cut(text: str, limit: int) -> None:
    whole, shown = printable(text), printable(text, limit)
    assert len(shown) <= limit
    if len(whole) <= limit:
        assert shown == whole
    else:
        assert shown == whole[: limit - 1] + "…"


@given(JSON, st.sampled_from([None, 0, 2]), st.booleans())
def test_printable_json_is_the_same_json_and_safe(document: Any, indent: int | None, ascii_only: bool) -> None:  # noqa: FBT001
    text = printable_json(json.dumps(document, indent=indent, ensure_ascii=ascii_only))
    assert json.loads(text) == document
    assert not any(map(dangerous, text.replace("\n", "")))


@given(JSON, st.sampled_from(["\t", "\r\n", " \r"]))
def test_white_space_between_tokens_does_no_harm(document: Any, space: str) -> None:
    text = printable_json(json.dumps(document, ensure_ascii=False, separators=("," + space, ":" + space)))
    assert json.loads(text) == document
    assert not any(map(dangerous, text.translate(dict.fromkeys(map(ord, "\t\r\n")))))
