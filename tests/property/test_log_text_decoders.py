"""Whatever text comes in, a decoder answers or raises EventInvalid; what is escaped comes back as it was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmil.errors import EventInvalid
from dsmil.sources import _auditd, _cef, _journald, _leef, _stamps, _syslog

PIECES = st.sampled_from(
    [
        "<13>",
        "<999>",
        "1 ",
        "- ",
        "[a@1 b=",
        '"',
        "\\",
        "]",
        "CEF:0|",
        "LEEF:2.0|",
        "|",
        "^|",
        "x09|",
        "a=",
        "\t",
        "Mar  1 18:46:11 ",
        "Feb 30 00:00:00",
        "2024-02-29T23:59:60Z",
        "%ASA-4-1: ",
        "host ",
        "tag[1]: ",
        "\ufeff",
        "type=EXECVE ",
        "msg=audit(1.5:7): ",
        "a0[0]=",
        "6162",
        "\x1d",
        "msg='",
        "'",
        "\x00",
        "é",
        " ",
        "node=n ",
    ]
)
SOUP = st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=80)
VALUE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).map(
    lambda t: " ".join(t.split())
)
WORD = st.from_regex(r"[A-Za-z]{1,8}", fullmatch=True)


@given(SOUP | st.binary(max_size=80).map(lambda raw: raw.decode("latin-1")))
def test_no_text_breaks_a_decoder(text: str) -> None:
    for decode in (_cef.decode, _leef.decode, _auditd.decode_line, lambda t: _syslog.decode(t.encode())):
        assert cause(decode, text) in {"", "bad_cef", "bad_leef", "not_auditd", "not_syslog", "empty"}


def cause(decode: Callable[[str], dict[str, Any]], text: str) -> str:
    """Return why a text is refused; nothing when it is not."""
    try:
        decode(text)
    except EventInvalid as bad:
        return bad.cause
    return ""


@given(SOUP, SOUP)
def test_no_time_breaks_its_reader(text: str, pattern: str) -> None:
    reader = _stamps.java_format(pattern)
    for found in (_stamps.text_time(text), reader(text) if reader else None):
        assert found is None or found.seconds >= 0


@given(st.dictionaries(WORD.filter(lambda w: not w.endswith("Label")), VALUE, max_size=5), VALUE)
def test_cef_values_come_back(fields: dict[str, str], name: str) -> None:
    def escaped(value: str, *marks: str) -> str:
        for mark in ("\\", *marks):
            value = value.replace(mark, f"\\{mark}")
        return value

    extension = " ".join(f"{key}={escaped(value, '=')}" for key, value in fields.items())
    found = _cef.decode(f"CEF:0|v|p|1|id|{escaped(name, '|')}|5|{extension}")
    assert found["name"] == name
    assert found["extension"] == {key: value.strip(" \t\r\n") for key, value in fields.items()}


@given(st.dictionaries(WORD, VALUE, max_size=5))
def test_parameters_of_structured_data_come_back(fields: dict[str, str]) -> None:
    def escaped(value: str) -> str:
        return "".join(f"\\{c}" if c in '\\"]' else c for c in value)

    inside = "".join(f' {key}="{escaped(value)}"' for key, value in fields.items())
    found = _syslog.decode(f"<34>1 - - - - - [x@1{inside}] m".encode())
    assert found["structured_data"] == {"x@1": fields}


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=40))
def test_hexadecimal_names_of_audit_come_back(name: str) -> None:
    line = f"type=PATH msg=audit(1.5:7): item=0 name={name.encode().hex().upper()}"
    assert _auditd.decode_line(line)["fields"]["name"] == name


@given(st.binary(min_size=1, max_size=30))
def test_bytes_of_the_journal_are_text(raw: bytes) -> None:
    assert _journald.plain({"MESSAGE": list(raw)}) == {"MESSAGE": raw.decode("utf-8", "backslashreplace")}


@given(st.floats(63_072_000, 63_072_000 + 366 * 86400 - 1), st.floats(1e9, 4e9))
def test_a_time_without_a_year_is_never_far_ahead_of_its_arrival(seconds: float, arrival: float) -> None:
    at = _stamps.with_year(seconds, arrival)
    assert arrival - 8.1 * 366 * 86400 < at <= arrival + _stamps.AHEAD_S


@given(
    st.integers(-200_000, 9_000_000_000),
    st.integers(0, 999_999),
    st.integers(0, 6),
    st.sampled_from(["Z", "+00:00", "-00:00", "+05:45", "-23:59", "+14:00"]),
    st.sampled_from("T "),
)
def test_a_plain_time_is_read_as_the_general_way_reads_it(
    seconds: int, micros: int, digits: int, zone: str, between: str
) -> None:
    """To the last bit: times enter ids, and a second reading must give them again."""
    at = datetime.fromtimestamp(seconds, UTC)
    fraction = f".{micros:06d}"[: digits + 1] if digits else ""
    text = f"{at:%Y-%m-%d}{between}{at:%H:%M:%S}{fraction}{zone}"
    match = _stamps.ISO.match(text)
    assert match is not None
    assert _stamps.plain(text) == _stamps.read(match)


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-29T23:59:60Z",
        "2023-02-29T00:00:00Z",
        "2024-01-01T00:00:00",
        "2024-01-01T00:00:00.1234567Z",
        "2024-01-01T00:00:00+99:99",
        "2024-01-01T00:00:00+0000",
        "20240101T000000Z",
        "2024-W01-1T00:00:00Z",
        "2024-01-01T00:00:00Z tail",
        "\u0662024-01-01T00:00:00Z",
    ],
)
def test_what_is_not_plain_is_left_to_the_general_way(text: str) -> None:
    assert _stamps.plain(text) is None
