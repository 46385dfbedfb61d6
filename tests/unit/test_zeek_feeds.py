"""Zeek logs, JSON and text: every public log counted, both forms equal field by field, odd lines refused."""

from __future__ import annotations

import gzip
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dsmil.errors import EventInvalid
from dsmil.events.model import Entity, EventCategory
from dsmil.sources._feed import RawRecord, Reader
from dsmil.sources.zeek_json import ZeekJson
from dsmil.sources.zeek_tsv import ZeekTsv, read_header, unescape
from dsmil.testing.feeds import Reading, read_file

BOTH_FORMS = ["dns", "dpd", "kerberos", "notice", "ntlm", "rdp", "smtp", "ssh", "ssl", "weird", "x509"]


def stated(folder: Path) -> dict[str, int]:
    """Return the counts that SOURCE.txt states, by file."""
    line = next(line for line in (folder / "SOURCE.txt").read_text().splitlines() if line.startswith("counts:"))
    pairs = (pair.split("': ") for pair in line.removeprefix("counts: {'").rstrip("}").split(", '"))
    return {name: int(count.strip("'").partition("/")[0]) for name, count in pairs}


def log_path(folder: Path, name: str) -> Path:
    """Return the file of a name, which may be kept compressed."""
    path = folder / name
    return path if path.is_file() else path.with_name(f"{path.name}.gz")


def clean(reading: Reading) -> int:
    assert (reading.dead, reading.partial, reading.problem) == ({}, 0, "")
    return len(reading.events)


def test_every_public_json_log_is_read_to_its_last_record(fixtures: Path) -> None:
    zed, otrf = fixtures / "zeek_brimdata_zed", fixtures / "zeek_otrf_apt29_day1"
    files = {log_path(zed, name): count for name, count in stated(zed).items() if name.startswith("zeek-json")}
    logs = otrf / "datasets/compound/apt29/day1/zeek/individual_zeek_logs"
    files |= {log_path(logs, name): count for name, count in stated(otrf).items()}
    assert len(files) == 29 - 1 + 26
    assert {path: clean(read_file(ZeekJson(), path)) for path in files} == files


def records_in(path: Path, lines: int) -> int:
    """Return how many records a text log of so many line ends has."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    assert content.count(b"\n") == lines
    return sum(bool(line) and not line.startswith(b"#") for line in content.split(b"\n"))


def test_every_public_text_log_is_read_to_its_last_record(fixtures: Path) -> None:
    rita, zed = fixtures / "zeek_activecm_rita", fixtures / "zeek_brimdata_zed"
    folders = ("test_data/open_conns/", "test_data/open_sni/", "test_data/proxy/")
    paths = {log_path(rita, name): count for name, count in stated(rita).items() if name.startswith(folders)}
    files = {path: records_in(path, count) for path, count in paths.items()}
    files |= {log_path(zed, name): n for name, n in stated(zed).items() if name.startswith("zeek-default")}
    assert len(files) == 32 + 11
    assert {path: clean(read_file(ZeekTsv(), path)) for path in files} == files


@pytest.mark.parametrize(
    ("name", "feed", "events", "dead", "partial"),
    [
        ("truncated/conn.log", ZeekTsv(), 58, {}, 1),
        ("truncated/conn_json.log", ZeekJson(), 3, {}, 1),
        ("truncated/conn_top.log", ZeekTsv(), 0, {"no_header": 58}, 1),
        ("text_file/conn.log", ZeekTsv(), 0, {"no_header": 4}, 1),
        ("text_file/conn.log", ZeekJson(), 0, {"malformed_json": 4}, 1),
        ("truncated/conn.log", ZeekJson(), 0, {"malformed_json": 66}, 1),
        ("has_unknown_field/http.log", ZeekTsv(), 4, {"not_zeek": 1}, 0),
    ],
)
def test_public_logs_that_are_cut_off_or_none(
    fixtures: Path, name: str, feed: Any, events: int, dead: dict[str, int], partial: int
) -> None:
    path = fixtures / "zeek_activecm_rita/test_data" / name
    reading = read_file(feed, path)
    assert (len(reading.events), reading.dead, reading.partial) == (events, dead, partial)
    assert all(place.startswith(f"{path}:") for place in reading.dead_places)


def test_a_column_zeek_does_not_have_stays(fixtures: Path) -> None:
    path = fixtures / "zeek_activecm_rita/test_data/has_unknown_field/http.log"
    events = read_file(ZeekTsv(), path).events
    assert [event.payload.get("i_dont_exist") for event in events] == ["bingbong"] * 4


def same(text: Any, plain: Any) -> bool:
    """Return whether two values say the same: the text form has six digits, and times as seconds."""
    if isinstance(text, list) and isinstance(plain, list):
        return len(text) == len(plain) and all(map(same, text, plain))
    if isinstance(text, float) and isinstance(plain, str):
        plain = datetime.fromisoformat(plain).timestamp()
    if isinstance(text, float):
        return math.isclose(text, plain, abs_tol=1.1e-6, rel_tol=1e-9)
    return type(text) is type(plain) and bool(text == plain)


@pytest.mark.parametrize("name", BOTH_FORMS)
def test_both_forms_of_one_log_are_equal_field_by_field(fixtures: Path, name: str) -> None:
    folder = fixtures / "zeek_brimdata_zed"
    text = read_file(ZeekTsv(), folder / f"zeek-default/{name}.log.gz").events
    plain = read_file(ZeekJson(), folder / f"zeek-json/{name}.json.gz").events[: len(text)]
    assert len(text) == len(plain) > 0
    for one, other in zip(text, plain, strict=True):
        fields = {key: value for key, value in one.payload.items() if key != "_raw"}
        expected = {key: value for key, value in other.payload.items() if key != "_write_ts"}
        assert fields.keys() == expected.keys()
        assert [key for key in fields if not same(fields[key], expected[key])] == []
        assert one.ts == pytest.approx(other.ts, abs=1e-6)
        assert (one.entities, one.category) == (other.entities, other.category)


HEAD = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tprobe\n"


def lines(text: str) -> list[Any]:
    """Return the payloads (or causes) of the lines of a text log, without the lines themselves."""
    reader = Reader(ZeekTsv())
    found: list[Any] = []
    for number, line in enumerate(text.splitlines(), start=1):
        for record in reader.records(RawRecord(line.encode(), f"log:{number}")):
            try:
                payload = reader.event(record, 9.0).payload
            except EventInvalid as exc:
                found.append(exc.cause)
            else:
                found.append({key: value for key, value in payload.items() if key not in ("_raw", "_path", "ts")})
    return found


def one(kind: str, cell: str) -> Any:
    (found,) = lines(f"{HEAD}#fields\tts\tx\n#types\ttime\t{kind}\n1.5\t{cell}")
    return found.get("x", "unset") if isinstance(found, dict) else found


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("string", "plain", "plain"),
        ("string", "-", "unset"),
        ("string", "\\x2d", "-"),
        ("string", "(empty)", ""),
        ("string", "\\x28empty)", "(empty)"),
        ("string", "a\\x09b\\x0ac\\\\d\\x41", "a\tb\nc\\dA"),
        ("string", "\\xc3\\xa9", "é"),
        ("string", "\\xff\\x01\\x7F", "\\xff\\x01\\x7f"),
        ("string", "\\q", "\\q"),
        ("enum", "tcp", "tcp"),
        ("addr", "::1", "::1"),
        ("subnet", "10.0.0.0/8", "10.0.0.0/8"),
        ("func", "f", "f"),
        ("brand-new", "5", "5"),
        ("count", "18446744073709551615", 18446744073709551615),
        ("int", "-5", -5),
        ("port", "53", 53),
        ("port", "53/udp", 53),
        ("bool", "T", True),
        ("bool", "F", False),
        ("double", "1e3", 1000.0),
        ("interval", "0.000870", 0.00087),
        ("time", "0.000000", 0.0),
        ("time", "2024-01-01T00:00:00.5Z", "2024-01-01T00:00:00.5Z"),
        ("set[string]", "(empty)", []),
        ("set[string]", "-", "unset"),
        ("set[string]", "a,b\\x2cc", ["a", "b,c"]),
        ("vector[string]", "a,-,(empty)", ["a", None, ""]),
        ("vector[interval]", "1.000000,2.5", [1.0, 2.5]),
        ("table[count]", "1,2", [1, 2]),
        ("set[enum]", "A::B", ["A::B"]),
        ("count", "five", "not_zeek"),
        ("bool", "yes", "not_zeek"),
        ("double", "nan", "not_zeek"),
        ("vector[count]", "1,x", "not_zeek"),
    ],
)
def test_a_value_has_the_type_of_its_column(kind: str, cell: str, value: Any) -> None:
    assert one(kind, cell) == value


def test_another_separator_and_other_markers() -> None:
    head = "#separator \\x7c\n#set_separator|;\n#empty_field|EMPTY\n#unset_field|NONE\n#fields|ts|a|b|c\n"
    assert lines(f"{head}#types|time|set[count]|string|string\n1.0|1;2|EMPTY|NONE") == [{"a": [1, 2], "b": ""}]


def test_a_log_put_behind_another_has_its_own_header() -> None:
    first = f"{HEAD}#fields\tts\ta\n#types\ttime\tcount\n1.0\t1\n#close\t2024-01-01-00-00-00\n"
    second = f"{HEAD}#fields\tts\tb\n#types\ttime\tstring\n1.0\t1"
    assert lines(first + second) == [{"a": 1}, {"b": "1"}]


def test_names_alone_are_a_header_too() -> None:
    """Zeek's option ``tsv`` writes one line of names and no other header."""
    assert lines("ts\tuid\torig_bytes\n1.0\tC1\t5") == [{"uid": "C1", "orig_bytes": "5"}]


@pytest.mark.parametrize(
    "text",
    ["1.0\tx", "#fields\n1.0", "#fields\ta\ta\n1\t2", "#fields\ta\tb\n#types\tcount\n1\t2", "#\n1"],
)
def test_a_line_below_no_good_header(text: str) -> None:
    assert lines(text) == ["no_header"]


@pytest.mark.parametrize("line", ["1.0", "1.0\ta\tb", "1.0\ta\t"])
def test_a_line_of_another_length(line: str) -> None:
    assert lines(f"{HEAD}#fields\tts\tx\n#types\ttime\tstring\n{line}") == ["not_zeek"]


def test_an_empty_last_field_is_not_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "probe.log"
    head = "#separator \\x09\n#empty_field\t\n#fields\tts\tx\ty\n#types\ttime\tstring\tstring\n"
    path.write_text(f"{head}1.0\ta\t\n")
    assert [event.payload["y"] for event in read_file(ZeekTsv(), path).events] == [""]


def test_a_reading_goes_on_below_the_header_it_has_read() -> None:
    head = [line.encode() for line in f"{HEAD}#fields\tts\tx\n#types\ttime\tcount".splitlines()]
    first = Reader(ZeekTsv(), {})
    for number, line in enumerate(head, start=1):
        assert list(first.records(RawRecord(line, f"log:{number}"))) == []
    second = Reader(ZeekTsv(), {}, first.held)
    (record,) = second.records(RawRecord(b"1.0\t7", "log:8"))
    assert second.event(record, 9.0).payload == {"_path": "probe", "ts": 1.0, "x": 7, "_raw": "1.0\t7"}


def test_a_header_is_read_once() -> None:
    read_header.cache_clear()
    lines(f"{HEAD}#fields\tts\tx\n#types\ttime\tcount\n" + "1.0\t7\n" * 50)
    assert read_header.cache_info().misses == 1


def test_an_endless_header_takes_bounded_memory() -> None:
    reader = Reader(ZeekTsv())
    for number in range(3000):
        list(reader.records(RawRecord(b"#note%d\t%s" % (number, b"x" * 100), f"log:{number}")))
    assert sum(len(line.raw) for line in reader.held) < 64 * 1024


@pytest.mark.parametrize(
    ("ts", "seconds"),
    [
        (1517336042.090842, 1517336042.090842),
        (1517336042090, 1517336042.09),
        ("2018-01-30T18:14:02.090842Z", 1517336042.090842),
        ("1517336042.090842", 1517336042.090842),
    ],
)
def test_the_times_zeek_may_be_set_to(ts: Any, seconds: float) -> None:
    assert ZeekJson().parse({"ts": ts}).ts == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize("ts", ["soon", -5, True, {}, 1e300])
def test_a_time_that_is_none(ts: Any) -> None:
    with pytest.raises(EventInvalid, match="bad_time"):
        ZeekJson().parse({"ts": ts})


def test_a_record_that_is_not_zeeks() -> None:
    with pytest.raises(EventInvalid, match="not_zeek"):
        ZeekJson().parse({"event_type": "flow"})


@pytest.mark.parametrize("keys", [("id.orig_h", "id.resp_p"), ("id_orig_h", "id_resp_p")])
def test_connections_by_either_spelling(keys: tuple[str, str]) -> None:
    parsed = ZeekJson().parse({"ts": 1.0, keys[0]: "10.0.0.1", keys[1]: 53})
    assert parsed.entities == (Entity("ip", "10.0.0.1", "src"), Entity("port", "53", "dest"))


@pytest.mark.parametrize(("path", "category"), [("conn", "NETWORK"), ("kerberos", "AUTH"), ("stats", "SYSTEM")])
def test_what_a_log_is_about(path: str, category: str) -> None:
    assert ZeekJson().parse({"ts": 1.0, "_path": path}).category == EventCategory(category)


def test_unescape_leaves_plain_text_alone() -> None:
    assert unescape("plain") == "plain"
