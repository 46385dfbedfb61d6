"""Records of several lines, and lines of several records: joined, parted, and resumed at any line."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from dsmil.sources._feed import Joiner, Parsed, RawRecord, Reader, Source
from dsmil.sources._files import RecordFile
from dsmil.sources._joiners import JsonDocuments


class Pairs:
    """Joins each two lines; a line with # is a comment."""

    def __init__(self) -> None:
        self._lines: list[RawRecord] = []

    def add(self, line: RawRecord) -> list[RawRecord]:
        if line.raw.startswith(b"#"):
            return []
        self._lines.append(line)
        return self.rest() if len(self._lines) == 2 else []

    def rest(self) -> list[RawRecord]:
        lines, self._lines = self._lines, []
        return [RawRecord(b" ".join(line.raw for line in lines), lines[0].place)] if lines else []

    def held(self) -> list[RawRecord]:
        return self._lines


class Text(Source):
    """A text feed of two lines a record."""

    name: ClassVar[str] = "text-pairs"
    source: ClassVar[str] = "text"
    device_id: ClassVar[int] = 11
    keeps_text: ClassVar[bool] = True

    def joiner(self) -> Joiner:
        return Pairs()

    def decode(self, record: RawRecord) -> dict[str, Any]:
        return {"words": record.raw.decode("latin-1").split(" ")}

    def parse(self, record: dict[str, Any]) -> Parsed:
        return Parsed(ts=5.0, payload=record)


LINES = [RawRecord(text, f"log:{n}") for n, text in enumerate([b"a", b"# note", b"b", b"c", b"d", b"a", b"b"], 1)]


def whole(reader: Reader, lines: list[RawRecord]) -> list[tuple[str, str, Any]]:
    events = [reader.event(record, 9.0) for line in lines for record in reader.records(line)]
    return [(event.origin, event.event_id, event.payload["words"]) for event in events]


def test_lines_are_joined_under_the_place_of_the_first() -> None:
    assert [(place, words) for place, _, words in whole(Reader(Text()), LINES)] == [
        ("log:1", ["a", "b"]),
        ("log:4", ["c", "d"]),
        ("log:6", ["a", "b"]),
    ]


@pytest.mark.parametrize("stop", range(len(LINES) + 1))
def test_a_reading_stopped_after_any_line_goes_on_with_the_same_ids(stop: int) -> None:
    expected = whole(Reader(Text()), LINES)
    first = Reader(Text(), {})
    got = whole(first, LINES[:stop])
    second = Reader(Text(), first.take_changes(), first.held)
    assert got + whole(second, LINES[stop:]) == expected


def test_what_waits_for_a_line_that_never_comes_is_given_out_at_the_end() -> None:
    reader = Reader(Text())
    assert list(reader.records(LINES[0])) == []
    assert [record.raw for record in reader.rest()] == [b"a"]
    assert reader.held == ()


def test_an_over_long_line_is_no_part_of_a_record() -> None:
    reader = Reader(Text())
    long = RawRecord(b"x", "log:1", cut=5)
    assert list(reader.records(long)) == [long]


@pytest.mark.parametrize(("raw", "kept"), [(b"a \xc3\xa9", {"_raw": "a é"}), (b"a \xff", {"_raw_base64": "YSD/"})])
def test_a_text_feed_keeps_the_original(raw: bytes, kept: dict[str, str]) -> None:
    payload = Reader(Text()).event(RawRecord(raw, "log:1"), 9.0).payload
    assert {key: value for key, value in payload.items() if key != "words"} == kept


def parted(key: str, text: str) -> list[tuple[bytes, str, bytes]]:
    joiner = JsonDocuments(key)
    found: list[RawRecord] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            found += joiner.add(RawRecord(line.strip().encode(), f"log:{number}"))
    return [(record.raw, record.place, record.head) for record in [*found, *joiner.rest()]]


def test_a_document_over_several_lines_is_one_record() -> None:
    text = '{"a":1}\n{\n  "b": {\n    "c": "}"\n  }\n}\n{"d":1}\n'
    assert [(raw, place) for raw, place, _ in parted("", text)] == [
        (b'{"a":1}', "log:1"),
        (b'{\n"b": {\n"c": "}"\n}\n}', "log:2"),
        (b'{"d":1}', "log:7"),
    ]


def test_a_line_cut_off_takes_no_other_along() -> None:
    assert [raw for raw, _, _ in parted("", '{"a":"x\n{"b":1}\n')] == [b'{"a":"x', b'{"b":1}']


def test_a_document_without_an_end_is_given_out_when_it_is_too_large() -> None:
    joiner = JsonDocuments()
    line = b'"' + b"x" * 100_000 + b'",'
    records = [list(joiner.add(RawRecord(raw, "log:1"))) for raw in (b"{", line, line, line)]
    assert [len(found) for found in records] == [0, 0, 0, 1]
    assert joiner.held() == []


def test_elements_become_records_with_the_document_around_them() -> None:
    text = '{\n"x": {"items": [9]},\n"items": [\n{"a": 1},\n{"a": [2]}\n],\n"y": 1\n}'
    head = b'{\n"x": {"items": [9]},\n"items": [],\n"y": 1\n}'
    assert parted("items", text) == [(b'{"a": 1}', "log:4", head), (b'{"a": [2]}', "log:5", head)]
    assert parted("items", '{"items":[1,"b"],"y":1}') == [
        (b"1", "log:1", b'{"items":[],"y":1}'),
        (b'"b"', "log:1", b'{"items":[],"y":1}'),
    ]


@pytest.mark.parametrize("text", ['{"items":5}', '{"other":[1]}', "no json", '{"items":[1,]}'])
def test_a_document_without_elements_passes_as_it_is(text: str) -> None:
    assert parted("items", text) == [(text.encode(), "log:1", b"")]


def read(tmp_path: Any, text: str) -> tuple[list[tuple[bytes, str]], str]:
    path = tmp_path / "log.json"
    path.write_text(text)
    file = RecordFile(str(path), array_key="Records")
    found = [(record.raw, record.place.rpartition(":")[2]) for record in file]
    return found, file.problem.replace(str(path), "log")


def test_a_file_may_be_one_object_around_the_array(tmp_path: Any) -> None:
    assert read(tmp_path, '{"v":1,"Records":[{"a":1},\n{"a":2}],"w":[]}\n') == (
        [(b'{"a":1}', "1"), (b'{"a":2}', "2")],
        "",
    )


def test_objects_one_after_another(tmp_path: Any) -> None:
    text = '{"Records":[{"a":1}]}\n{"Records":[{"a":2}]}\n'
    assert read(tmp_path, text) == ([(b'{"a":1}', "1"), (b'{"a":2}', "2")], "")


def test_lines_stay_lines_where_the_key_is_not_there(tmp_path: Any) -> None:
    assert read(tmp_path, '{"a":1}\n{"b":{"Records":[1]}}\n')[0] == [
        (b'{"a":1}', "1"),
        (b'{"b":{"Records":[1]}}', "2"),
    ]


def test_an_object_that_ends_early_is_said_to(tmp_path: Any) -> None:
    found, problem = read(tmp_path, '{"Records":[{"a":1},{"a":')
    assert [raw for raw, _ in found] == [b'{"a":1}', b'{"a":']
    assert problem == "log:1: the JSON array is damaged or ends early here"


def test_what_follows_the_object_is_read_line_by_line(tmp_path: Any) -> None:
    found, problem = read(tmp_path, '{"Records":[1]} more\n\n{"a":1}\nrest')
    assert found == [(b"1", "1"), (b"more", "1"), (b'{"a":1}', "3"), (b"rest", "4")]
    assert problem == ""
