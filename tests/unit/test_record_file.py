"""Records of a file: lines or one array, plain or gzip, whole or half written."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from dsmil.errors import UnreadableFile
from dsmil.sources._files import MAX_LINE_BYTES, RecordFile


class Folder:
    """Writes a file and reads its records."""

    def __init__(self, path: Path) -> None:
        self.path = path / "log.json"

    def read(self, content: bytes, *, json_array: bool = True) -> tuple[list[bytes], RecordFile]:
        self.path.write_bytes(content)
        file = RecordFile(str(self.path), json_array=json_array)
        return [record.raw for record in file], file

    def places(self, content: bytes) -> list[str]:
        self.path.write_bytes(content)
        return [r.place.removeprefix(f"{self.path}:") for r in RecordFile(str(self.path), json_array=True)]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_one_record_a_line(folder: Folder) -> None:
    records, file = folder.read(b'{"a":1}\n{"b":2}\n')
    assert records == [b'{"a":1}', b'{"b":2}']
    assert (file.problem, file.partial) == ("", None)


def test_a_place_is_file_and_line(folder: Folder) -> None:
    assert folder.places(b'\n{"a":1}\n\n \t\n{"b":2}\n') == ["2", "5"]


def test_windows_line_ends_and_blank_lines_are_not_part_of_a_record(folder: Folder) -> None:
    assert folder.read(b'\r\n  {"a":1} \r\n\r\n\t\n{"b":2}\r\n')[0] == [b'{"a":1}', b'{"b":2}']


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\t\n  "])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_without_records(folder: Folder, content: bytes, *, zipped: bool) -> None:
    records, file = folder.read(gzip.compress(content) if zipped else content)
    assert (records, file.problem, file.partial) == ([], "", None)


def test_a_last_line_without_an_end_is_said_to_be_perhaps_half_written(folder: Folder) -> None:
    records, file = folder.read(b'{"a":1}\n{"b":2')
    assert records == [b'{"a":1}', b'{"b":2']
    assert file.partial is not None
    assert (file.partial.raw, file.partial.place) == (b'{"b":2', f"{folder.path}:2")
    assert file.problem == ""


def test_gzip_is_recognised_by_its_content(folder: Folder) -> None:
    lines = b"".join(b'{"n":%d}\n' % n for n in range(5000))
    assert folder.read(gzip.compress(lines))[0] == [b'{"n":%d}' % n for n in range(5000)]


def test_gzip_in_several_members_is_read_through(folder: Folder) -> None:
    content = gzip.compress(b'{"a":1}\n') + gzip.compress(b'{"b":2}\n')
    assert folder.read(content)[0] == [b'{"a":1}', b'{"b":2}']


@pytest.mark.parametrize("missing", [1, 8, 200, 5000])
def test_a_truncated_gzip_gives_its_whole_lines_and_a_problem(folder: Folder, missing: int) -> None:
    lines = [json.dumps({"n": n, "pad": pow(3, n, 2**89 - 1)}).encode() for n in range(3000)]
    records, file = folder.read(gzip.compress(b"\n".join(lines) + b"\n")[:-missing])
    assert records == lines[: len(records)]
    assert len(records) > 1000
    assert "ends early or is damaged" in file.problem


def test_a_damaged_gzip_gives_what_lies_before_the_damage_and_a_problem(folder: Folder) -> None:
    """A flipped bit may still unpack, so what follows it is only found out by the checksum at the end."""
    content = bytearray(gzip.compress(b"".join(b'{"n":%d}\n' % n for n in range(50_000)), mtime=0))
    content[len(content) // 2] ^= 0xFF
    records, file = folder.read(bytes(content))
    assert records[:10_000] == [b'{"n":%d}' % n for n in range(10_000)]
    assert "damaged" in file.problem


def test_a_line_as_long_as_allowed_is_one_record(folder: Folder) -> None:
    line = b"x" * MAX_LINE_BYTES
    assert folder.read(line + b'\n{"b":2}\n')[0] == [line, b'{"b":2}']


@pytest.mark.parametrize("extra", [1, 2, MAX_LINE_BYTES, MAX_LINE_BYTES + 1, 3 * MAX_LINE_BYTES])
def test_an_over_long_line_is_cut_counts_once_and_hides_nothing_after_it(folder: Folder, extra: int) -> None:
    content = b"x" * (MAX_LINE_BYTES + extra) + b'\n{"b":2}\n'
    records, file = folder.read(content)
    assert [len(record) for record in records] == [MAX_LINE_BYTES + 1, len(b'{"b":2}')]
    assert file.partial is None
    assert folder.places(content) == ["1", "2"]


def test_an_over_long_line_without_an_end_is_partial(folder: Folder) -> None:
    records, file = folder.read(b"x" * (3 * MAX_LINE_BYTES))
    assert [len(record) for record in records] == [MAX_LINE_BYTES + 1]
    assert file.partial is not None


def test_one_array_over_several_lines(folder: Folder) -> None:
    content = b'\n[\n  {\n    "a": 1\n  },\n  {"b": [2, {"c": "]"}]}\n]\n'
    records, file = folder.read(content)
    assert [json.loads(record) for record in records] == [{"a": 1}, {"b": [2, {"c": "]"}]}]
    assert folder.places(content) == ["3", "6"]
    assert (file.problem, file.partial) == ("", None)


@pytest.mark.parametrize("content", [b"[]", b" [ \n ] \n", b'[{"a":1},{"b":2}]', b'[{"a":1}\n,\n{"b":2}]\n'])
def test_arrays_of_any_spacing(folder: Folder, content: bytes) -> None:
    records, file = folder.read(content)
    assert [json.loads(record) for record in records] == json.loads(content)
    assert file.problem == ""


def test_an_array_in_gzip(folder: Folder) -> None:
    assert folder.read(gzip.compress(b'[\n{"a":1}\n]'))[0] == [b'{"a":1}']


def test_an_element_of_an_array_keeps_its_bytes(folder: Folder) -> None:
    element = b'{ "a" : "\xff\xc3\xa9" , "n" : NaN , "a" : 1e999 }'
    assert folder.read(b"[" + element + b"]")[0] == [element]


@pytest.mark.parametrize("rest", [b"", b" ", b",", b",\n\n"])
def test_an_array_without_an_end_gives_its_whole_elements_and_a_problem(folder: Folder, rest: bytes) -> None:
    records, file = folder.read(b'[{"a":1},{"b":2}' + rest)
    assert records == [b'{"a":1}', b'{"b":2}']
    assert "has no end" in file.problem


def test_a_half_written_element_is_one_last_bad_record(folder: Folder) -> None:
    records, file = folder.read(b'[\n{"a":1},\n{"b":')
    assert records == [b'{"a":1}', b'{"b":']
    assert ":3: the JSON array is damaged or ends early here" in file.problem


@pytest.mark.parametrize("rest", [b'\n[{"b":2}]\n', b'\n{"b":2}\n', b" garbage", b']{"b":2}'])
def test_what_follows_the_end_of_an_array_is_not_lost_in_silence(folder: Folder, rest: bytes) -> None:
    records, file = folder.read(b'[{"a":1}]' + rest)
    assert len(records) > 1 or file.problem


@pytest.mark.parametrize("element", [b'{"n":' + b"9" * 5000 + b"}", b"[" * 3000 + b"]" * 3000])
def test_an_element_that_is_whole_but_refused_does_not_swallow_the_others(folder: Folder, element: bytes) -> None:
    records, _ = folder.read(b'[{"a":1},' + element + b',{"b":2}]')
    assert records == [b'{"a":1}', element, b'{"b":2}']


def test_a_feed_without_arrays_takes_the_line_as_it_is(folder: Folder) -> None:
    assert folder.read(b'[{"a":1}]\n', json_array=False)[0] == [b'[{"a":1}]']


def test_only_the_first_record_decides_whether_it_is_an_array(folder: Folder) -> None:
    assert folder.read(b'{"a":1}\n[1]\n')[0] == [b'{"a":1}', b"[1]"]


def test_a_missing_file_and_a_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"nothing\.json cannot be read: No such file"):
        list(RecordFile(str(tmp_path / "nothing.json")))
    with pytest.raises(UnreadableFile, match="Is a directory"):
        list(RecordFile(str(tmp_path)))


def test_progress_is_told_in_bytes_of_the_file(folder: Folder) -> None:
    folder.path.write_bytes(b'{"a":1}\n' * 1000)
    told: list[int] = []
    assert len(list(RecordFile(str(folder.path), progress=told.append))) == 1000
    assert told
    assert told == sorted(told)
    assert told[-1] <= 8000
