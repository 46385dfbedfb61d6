"""The Sigma language: every modifier, condition and kind of value, also those that public rules hardly use."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dsmil.sigma.frontend import joined
from dsmil.sigma.index import Index
from dsmil.sigma.loading import make_rule
from dsmil.sigma.matching import text_matcher
from dsmil.sigma.problem import RuleProblem
from dsmil.sigma.rule import Rule
from dsmil.sigma.tree import Wild
from dsmil.sigma.view import View

Record = dict[str, Any]


def rule(detection: str, placeholders: dict[str, list[str]] | None = None) -> Rule:
    document = {"title": "t", "logsource": {"product": "test"}, "detection": yaml.safe_load(detection)}
    return make_rule(document, "t.yml", placeholders)


def matches(detection: str, record: Record, placeholders: dict[str, list[str]] | None = None) -> bool:
    """Return the answer, after making sure that the index gives the same one."""
    made = rule(detection, placeholders)
    answer = made.test(View(record))
    assert (Index([made]).match(View(record)) == [made]) is answer, "the index and the rule disagree"
    return answer


def one(item: str, record: Record) -> bool:
    return matches(f"sel:\n  {item}\ncondition: sel", record)


def b64(text: str, encoding: str = "utf-8") -> str:
    return base64.b64encode(text.encode(encoding)).decode()


VALUES: list[tuple[str, Record, bool]] = [
    # plain values: whole, case does not matter
    ("A: value", {"A": "VALUE"}, True),
    ("A: value", {"A": "value."}, False),
    ("A: value", {"B": "value"}, False),
    ("A: [one, two]", {"A": "TWO"}, True),
    ("A: 4624", {"A": 4624}, True),
    ("A: 4624", {"A": "4624"}, True),
    ("A: 4624", {"A": 4624.0}, True),
    ("A: 4624", {"A": 46240}, False),
    ("A: 1.5", {"A": 1.5}, True),
    ("A: true", {"A": True}, True),
    ("A: true", {"A": "True"}, True),
    ("A: true", {"A": False}, False),
    # several values in the record: one is enough
    ("A: two", {"A": ["one", "Two"]}, True),
    ("A|contains|all: [ne, tw]", {"A": ["one two", "x"]}, True),
    ("A: three", {"A": ["one", "two"]}, False),
    # objects inside the record
    ("A.b.c: x", {"A": {"b": {"c": "X"}}}, True),
    ("A.b.c: x", {"A.b": {"c": "x"}}, True),
    ("A.b: x", {"A": [{"b": "y"}, {"b": "x"}]}, True),
    ("A.b: x", {"A": "x"}, False),
    ("A|contains: 'inner'", {"A": {"b": "has inner text"}}, True),
    # null, empty, exists
    ("A: null", {}, True),
    ("A: null", {"A": None}, True),
    ("A: null", {"A": ""}, False),
    ("A: ''", {"A": ""}, True),
    ("A: ''", {}, False),
    ("A: ''", {"A": "x"}, False),
    ("A|exists: true", {"A": ""}, True),
    ("A|exists: true", {}, False),
    ("A|exists: false", {}, True),
    ("A|exists: false", {"A": "x"}, False),
    # wildcards and their escapes
    ("A: 'a*c'", {"A": "abbbc"}, True),
    ("A: 'a*c'", {"A": "abbbcd"}, False),
    ("A: 'a?c'", {"A": "abc"}, True),
    ("A: 'a?c'", {"A": "ac"}, False),
    (r"A: 'a\*c'", {"A": "a*c"}, True),
    (r"A: 'a\*c'", {"A": "abc"}, False),
    (r"A: 'a\?c'", {"A": "a?c"}, True),
    (r"A: 'a\\*c'", {"A": "a\\bbc"}, True),
    (r"A: 'a\\*c'", {"A": "a*c"}, False),
    (r"A: 'C:\Windows\x'", {"A": "c:\\windows\\X"}, True),
    (r"A: 'C:\\Windows'", {"A": "c:\\windows"}, True),
    ("A: '*'", {"A": "anything"}, True),
    ("A: 'a*b*c'", {"A": "a\nb\nc"}, True),
    # contains, startswith, endswith, all
    ("A|contains: mid", {"A": "aMIDb"}, True),
    ("A|contains: 'm?d'", {"A": "aMIDb"}, True),
    ("A|startswith: 'ab'", {"A": "ABc"}, True),
    ("A|startswith: 'ab'", {"A": "cab"}, False),
    ("A|endswith: ['x', 'bc']", {"A": "aBC"}, True),
    ("A|endswith: 'bc'", {"A": "bca"}, False),
    ("A|contains|all: [a, b]", {"A": "b and a"}, True),
    ("A|contains|all: [a, b]", {"A": "only b"}, False),
    # cased
    ("A|cased: Value", {"A": "Value"}, True),
    ("A|cased: Value", {"A": "value"}, False),
    ("A|contains|cased: ALU", {"A": "vALUe"}, True),
    ("A|contains|cased: ALU", {"A": "value"}, False),
    # regular expressions: found anywhere, case matters unless told
    ("A|re: 'b+c'", {"A": "abbbcd"}, True),
    ("A|re: 'b+c'", {"A": "aBBcd"}, False),
    ("A|re|i: 'b+c'", {"A": "aBBcd"}, True),
    ("A|re: '^b$'", {"A": "a\nb\nc"}, False),
    ("A|re|m: '^b$'", {"A": "a\nb\nc"}, True),
    ("A|re: 'a.b'", {"A": "a\nb"}, False),
    ("A|re|s: 'a.b'", {"A": "a\nb"}, True),
    ("A|re|i|s: 'A.B'", {"A": "a\nb"}, True),
    ("A|re: 'b$'", {"A": "ab\n"}, True),
    ("A|re: 'b$'", {"A": "ab\n\n"}, False),
    ("A|re: '^a.b$'", {"A": "a\U0001f600b"}, True),
    ("A|re|i: 'stra\u00dfe'", {"A": "STRA\u00dfE"}, True),
    ("A|re: 'x{2,}|y(?:one|two)z'", {"A": "ytwoz"}, True),
    ("A|re: '[Pp][Oo]w'", {"A": "Pow"}, True),
    # addresses
    ("A|cidr: 10.0.0.0/8", {"A": "10.200.3.4"}, True),
    ("A|cidr: 10.0.0.0/8", {"A": "11.0.0.1"}, False),
    ("A|cidr: 10.0.0.0/8", {"A": "::ffff:10.1.1.1"}, True),
    ("A|cidr: ['192.0.2.0/24', '2001:db8::/32']", {"A": "2001:db8::5"}, True),
    ("A|cidr: 10.0.0.0/8", {"A": "no address"}, False),
    # Base64
    ("A|base64: 'foobar'", {"A": b64("foobar")}, True),
    ("A|base64offset|contains: 'secret'", {"A": b64("xsecrety")}, True),
    ("A|base64offset|contains: 'secret'", {"A": b64("xxsecret")}, True),
    ("A|base64offset|contains: 'secret'", {"A": b64("another")}, False),
    ("A|wide|base64offset|contains: 'IEX'", {"A": b64("  IEX", "utf-16-le")}, True),
    ("A|utf16le|base64offset|contains: 'IEX'", {"A": b64(" IEX ", "utf-16-le")}, True),
    ("A|utf16be|base64offset|contains: 'IEX'", {"A": b64("IEX", "utf-16-be")}, True),
    ("A|utf16|base64|contains: 'IEX'", {"A": b64("IEX", "utf-16")}, True),
    # dashes
    ("A|windash|contains: ' -f '", {"A": "x /F y"}, True),
    ("A|contains|windash: ' /f '", {"A": "x –f y"}, True),  # noqa: RUF001 - the en dash is the point
    ("A|windash|contains: ' -f '", {"A": "x -g y"}, False),
    # numbers
    ("A|lt: 5", {"A": 4}, True),
    ("A|lt: 5", {"A": 5}, False),
    ("A|lte: 5", {"A": "5"}, True),
    ("A|gt: 5", {"A": 5.5}, True),
    ("A|gte: 5", {"A": "4"}, False),
    ("A|gte: 16", {"A": "0x10"}, True),
    ("A|gt: 5", {"A": "many"}, False),
    ("A|gt: 5", {"A": True}, False),
    ("A|gt: 5", {}, False),
    # other fields
    ("A|fieldref: B", {"A": "Same", "B": "same"}, True),
    ("A|fieldref: B", {"A": "x", "B": "y"}, False),
    ("A|fieldref: B", {"A": "x"}, False),
    ("A|fieldref|startswith: B", {"A": "abc", "B": "AB"}, True),
    ("A|fieldref|endswith: B", {"A": "abc", "B": "ab"}, False),
    ("A|fieldref|contains: B", {"A": "abc", "B": "b"}, True),
    ("A|fieldref: B", {"A": ["x", "y"], "B": "Y"}, True),
    # neq
    ("A|neq: x", {"A": "y"}, True),
    ("A|neq: x", {"A": "X"}, False),
    ("A|neq: [x, y]", {"A": "y"}, False),
    ("A|contains|neq: x", {"A": "axb"}, False),
    # parts of a time, in UTC
    ("A|hour: 13", {"A": "2026-11-24T13:45:10Z"}, True),
    ("A|hour: 13", {"A": "2026-11-24T14:45:10+01:00"}, True),
    ("A|hour: 13", {"A": "2026-11-24T14:45:10Z"}, False),
    ("A|minute: 45", {"A": 1795527910}, True),
    ("A|day: 24", {"A": "2026-11-24 13:45:10"}, True),
    ("A|week: 48", {"A": "2026-11-24T13:45:10Z"}, True),
    ("A|month: 11", {"A": 1795527910123}, True),
    ("A|year: 2026", {"A": "1795527910.5"}, True),
    ("A|year: 2026", {"A": "no time"}, False),
    ("A|hour|gte: 13", {"A": "2026-11-24T13:45:10Z"}, True),
    ("A|hour|lt: 13", {"A": "2026-11-24T13:45:10Z"}, False),
]


@pytest.mark.parametrize(("item", "record", "wanted"), VALUES, ids=lambda value: str(value)[:60])
def test_value(item: str, record: Record, wanted: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    assert one(item, record) is wanted


SELECTIONS = """
sel_a: {A: 1}
sel_b: {B: 1}
filter_c: {C: 1}
_hidden: {D: 1}
condition: """
A, B, C, D = ({name: 1} for name in "ABCD")
CONDITIONS: list[tuple[str, Record, bool]] = [
    ("sel_a and sel_b", A, False),
    ("sel_a and sel_b", A | B, True),
    ("sel_a or sel_b", B, True),
    ("not sel_a", B, True),
    ("sel_a and not filter_c", A | C, False),
    ("sel_a or sel_b and filter_c", A, True),
    ("(sel_a or sel_b) and filter_c", A, False),
    ("not (sel_a or sel_b)", C, True),
    ("not not sel_a", A, True),
    ("1 of sel_*", B, True),
    ("1 of sel_*", C, False),
    ("any of sel_*", B, True),
    ("all of sel_*", A, False),
    ("all of sel_*", A | B, True),
    ("1 of them", C, True),
    ("1 of them", D, False),
    ("all of them", A | B | C, True),
    ("1 of sel_* and not 1 of filter_*", A | C, False),
    ("1 of sel_* and not 1 of filter_*", A, True),
    ("SEL_A or sel_a", A, False),
]


@pytest.mark.parametrize(("condition", "record", "wanted"), CONDITIONS, ids=lambda value: str(value)[:60])
def test_condition(condition: str, record: Record, wanted: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    if condition.startswith("SEL_A"):
        with pytest.raises(RuleProblem, match="SEL_A"):
            matches(SELECTIONS + condition, record)
    else:
        assert matches(SELECTIONS + condition, record) is wanted


def test_a_list_of_conditions_is_any_of_them() -> None:
    assert matches(SELECTIONS + "[sel_a, sel_b]", B)
    assert not matches(SELECTIONS + "[sel_a, sel_b]", C)


def test_a_list_of_maps_is_any_of_them_and_a_map_is_all_of_it() -> None:
    detection = "sel:\n  - {A: 1, B: 1}\n  - {C: 1}\ncondition: sel"
    assert not matches(detection, A)
    assert matches(detection, A | B)
    assert matches(detection, C)


KEYWORDS: list[tuple[str, Record, bool]] = [
    ("[needle, other]", {"X": "a Needle here"}, True),
    ("[needle]", {"needle": "a name is no value"}, False),
    ("[needle]", {"X": {"deep": ["x", {"er": "needle"}]}}, True),
    ("['nee*dle']", {"X": "nee and dle"}, True),
    ("['nee?dle']", {"X": "xneeXdlex"}, True),
    ("[one, two]", {"X": "two"}, True),
    ("{'|all': [one, two]}", {"X": "two"}, False),
    ("{'|all': [one, two]}", {"X": "one", "Y": "two"}, True),
    ("[4711]", {"X": 4711}, True),
    ("{'|re': 'a[0-9]b'}", {"X": "xa5bx"}, True),
    ("{'|cased': [Needle]}", {"X": "needle"}, False),
    ("{'|cidr': '10.0.0.0/8'}", {"X": "10.0.0.1"}, True),
]


@pytest.mark.parametrize(("keywords", "record", "wanted"), KEYWORDS, ids=lambda value: str(value)[:60])
def test_keywords(keywords: str, record: Record, wanted: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    assert matches(f"keywords: {keywords}\ncondition: keywords", record) is wanted


def test_placeholders_stand_for_their_values() -> None:
    detection = "sel:\n  User|expand: 'corp\\%admins%'\ncondition: sel"
    values = {"admins": ["kim", "svc*"]}
    assert matches(detection, {"User": "CORP\\kim"}, values)
    assert matches(detection, {"User": "corp\\svc-backup"}, values)
    assert not matches(detection, {"User": "corp\\alex"}, values)
    with pytest.raises(RuleProblem, match=r"%admins%.*placeholders\.yml"):
        rule(detection)


def test_placeholders_in_expressions_are_plain_text() -> None:
    detection = "sel:\n  Host|re|expand: '^%names%$'\ncondition: sel"
    assert matches(detection, {"Host": "a.b"}, {"names": ["a.b", "c"]})
    assert not matches(detection, {"Host": "axb"}, {"names": ["a.b", "c"]})


BAD = [
    ("sel: {A: 1}\ncondition: sel and", "Expected"),
    ("sel: {A: 1}\ncondition: other", "other"),
    ("sel: {A: 1}\ncondition: 1 of no_*", "no_"),
    ("sel: {A: 1}", "condition"),
    ("sel: {A|nonsense: 1}\ncondition: sel", "nonsense"),
    ("sel: {A|re: '('}\ncondition: sel", "invalid"),
    ("sel: {A|re: '^foo(?!bar)'}\ncondition: sel", "bounded time.*look-around"),
    (r"sel: {A|re: '(a)\1'}" + "\ncondition: sel", "bounded time"),
    ("sel: {A|cidr: 10.0.0.0/99}\ncondition: sel", "CIDR"),
    ("sel: {A|lt: text}\ncondition: sel", "incompatible"),
    ("sel: {A: 1}\ncondition: sel | count() > 5", "pipe"),
    ("sel: {A: 1}\ntimeframe: 5m\ncondition: sel", "correlation"),
    ("sel: {}\ncondition: sel", "empty"),
]


@pytest.mark.parametrize(("detection", "words"), BAD, ids=[words for _, words in BAD])
def test_what_cannot_be_compiled_says_why(detection: str, words: str) -> None:
    with pytest.raises(RuleProblem, match=words):
        rule(detection)


def test_matched_names_fields_and_values_that_decided() -> None:
    made = rule(
        "sel: {A|contains: x, B: [1, 2]}\nfilter: {C: 1}\nkeywords: [needle]\n"
        "condition: (sel or keywords) and not filter"
    )
    assert made.matched(View({"A": "axb", "B": 2, "D": "z"})) == {"A": "axb", "B": 2}
    assert made.matched(View({"D": "a needle"})) == {"keywords": ["a needle"]}
    long = made.matched(View({"A": "x" * 9999, "B": 1}))["A"]
    assert len(long) == 512


#: Made to take for ever where every way of matching is tried.
LONG = 100_000
CATASTROPHES: list[tuple[str, str]] = [
    ("A|re: '(a+)+$'", "a" * LONG + "!"),
    ("A|re: '^(a|aa)+$'", "a" * LONG + "!"),
    ("A|re: '(.*)*x$'", "y" * LONG),
    ("A|re: '.*a.*b.*c.*d'", "abc" * (LONG // 3)),
    ("A|re: '(a?){60}a{60}'", "b" + "a" * 59),
    ("A: '*a*a*a*a*a*a*b'", "a" * LONG),
    ("A: '*a?a*a?a*a?a*b?c'", "a" * LONG),
    ("A|contains: 'a*a*a*a*a*b'", "a" * LONG),
    ("A|cased: '*a*a*a*a*a*a*b'", "a" * LONG),
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("item", "text"), CATASTROPHES, ids=[item for item, _ in CATASTROPHES])
def test_no_text_takes_a_pattern_for_ever(item: str, text: str) -> None:
    assert not rule(f"sel: {{{item}}}\ncondition: sel").test(View({"A": text}))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("words", ["'*a*a*a*a*a*b'", "{'|re': '(a+)+$'}"])
def test_no_text_takes_a_keyword_for_ever(words: str) -> None:
    listed = words if words.startswith("{") else f"[{words}]"
    assert not rule(f"words: {listed}\ncondition: words").test(View({"A": "a" * LONG + "!"}))


PIECES = st.lists(st.sampled_from(["*", "?", "a", "b", "ab", "\n"]), max_size=9)


@given(PIECES, st.text("ab\n", max_size=12), st.booleans())
def test_wildcards_match_as_an_expression_does(pieces: list[str], text: str, anywhere: bool) -> None:  # noqa: FBT001
    """Wildcards stand for any text, newlines too, and what stands first is no trap for what stands behind it."""
    body = "".join({"*": "(?s:.*)", "?": "(?s:.)"}.get(piece, re.escape(piece)) for piece in pieces)
    wanted = re.search(body, text) if anywhere else re.fullmatch(body, text)
    pattern = joined([{"*": Wild.MANY, "?": Wild.ONE}.get(piece, piece) for piece in pieces])
    if anywhere:
        pattern = joined([Wild.MANY, *pattern, Wild.MANY])
    assert text_matcher([pattern])(text) is (wanted is not None)
