"""Syslog, CEF, LEEF, audit records and journal entries, by their formats' own rules."""

from __future__ import annotations

from typing import Any

import pytest

from dsmil.errors import EventInvalid
from dsmil.events.model import Severity
from dsmil.sources import _auditd, _cef, _journald, _leef, _stamps, _syslog

JAN_1 = 1_767_225_600.0  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            '<165>1 2026-01-02T03:04:05.006Z web-1 app 77 ID9 [a@1 k="v\\"w" k="x"][b@2] \ufeffhello',
            {"format": "rfc5424", "facility": "local4", "severity": "notice", "time": "2026-01-02T03:04:05.006Z"}
            | {"host": "web-1", "app": "app", "pid": "77", "msgid": "ID9", "message": "hello"}
            | {"structured_data": {"a@1": {"k": ['v"w', "x"]}, "b@2": {}}},
        ),
        ("<34>1 - - - - - -", {"format": "rfc5424", "facility": "auth", "severity": "crit"}),
        (
            "<34>Oct 11 22:14:15 gate su[7]: failed",
            {"format": "rfc3164", "facility": "auth", "severity": "crit", "time": "Oct 11 22:14:15"}
            | {"host": "gate", "app": "su", "pid": "7", "message": "failed"},
        ),
        (
            "<13>Feb  5 17:32:18 su: no host",
            {"format": "rfc3164", "facility": "user", "severity": "notice", "time": "Feb  5 17:32:18"}
            | {"app": "su", "message": "no host"},
        ),
        ("<0>anything", {"format": "bare", "facility": "kern", "severity": "emerg", "message": "anything"}),
        (
            "<189>42: gw: *Mar  1 18:46:11.123 UTC: %SYS-5-CONFIG_I: done",
            {"format": "rfc3164", "facility": "local7", "severity": "notice", "sequence": 42, "host": "gw"}
            | {"time": "Mar  1 18:46:11.123 UTC", "message": "%SYS-5-CONFIG_I: done"}
            | {"cisco": {"facility": "SYS", "severity": 5, "mnemonic": "CONFIG_I"}},
        ),
        (
            "2026-01-02T03:04:05+02:00 fe80::1 cron[3]: x",
            {"format": "rfc3164", "time": "2026-01-02T03:04:05+02:00", "host": "fe80::1", "app": "cron"}
            | {"pid": "3", "message": "x"},
        ),
    ],
)
def test_lines_of_syslog(line: str, expected: dict[str, Any]) -> None:
    assert _syslog.decode(line.encode()) == expected


@pytest.mark.parametrize("line", [b"no time here", b"<192>x", b'{"a":1}'])
def test_what_begins_with_neither_priority_nor_time_is_no_syslog(line: bytes) -> None:
    with pytest.raises(EventInvalid) as caught:
        _syslog.decode(line)
    assert caught.value.cause == "not_syslog"


def test_broken_parts_are_told_and_kept() -> None:
    assert _syslog.decode(b"<1>1 - h a - - [broken m")["problem"] == "bad_structured_data"
    assert _syslog.decode(b"<1>1 - h a - - [broken m")["message"] == "[broken m"
    assert _syslog.decode(b"<1>Feb 30 00:00:00 h a: m")["problem"] == "bad_time"
    assert _syslog.decode(b"<1>Feb 28 00:00:00 h CEF:0|a|b")["problem"] == "bad_cef"
    with pytest.raises(EventInvalid, match="bad_cef"):
        _syslog.decode(b"CEF:0|a|b")


@pytest.mark.parametrize(
    ("text", "arrival", "expected"),
    [
        ("Dec 31 23:59:50", JAN_1, JAN_1 - 10),
        ("Jan  1 00:00:10", JAN_1 - 60, JAN_1 + 10),
        ("Apr  4 00:00:00", JAN_1, 1_743_724_800.0),
        ("Feb 29 00:00:00", JAN_1, 1_709_164_800.0),
        ("Jan  1 01:00:00 +02:00", JAN_1 - 1800, JAN_1 - 3600),
    ],
)
def test_a_time_without_a_year_is_of_the_last_year_it_fits(text: str, arrival: float, expected: float) -> None:
    when = _syslog.when(text)
    assert when is not None
    assert when.yearless
    assert _stamps.with_year(when.seconds, arrival) == expected


def test_cef_with_equals_signs_blanks_labels_and_keys_sent_twice() -> None:
    found = _cef.decode(
        r"CEF:0|A\|B|P|1|9|n\\m|Very-High|request=http://x/?a=1&b=2 msg=two words\=\n"
        r" cs1=r cs1Label=Rule act=a act=b"
    )
    assert (found["vendor"], found["name"], found["severity"]) == ("A|B", "n\\m", "Very-High")
    assert found["extension"]["request"] == "http://x/?a=1&b=2"
    assert found["extension"]["msg"] == "two words=\n"
    assert found["extension"]["act"] == ["a", "b"]
    assert found["custom"] == {"Rule": "r"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", "LOW"),
        ("3", "LOW"),
        ("4", "MEDIUM"),
        ("7", "HIGH"),
        ("9", "CRITICAL"),
        ("Very-High", "CRITICAL"),
        ("low", "LOW"),
        ("", "HIGH"),
        ("11", "HIGH"),
        ("Unknown", "HIGH"),
    ],
)
def test_severity_of_cef_and_leef(value: str, expected: str) -> None:
    severity, flags = _cef.severity(value)
    assert severity == Severity(expected)
    assert bool(flags) == (value in {"", "11", "Unknown"})


@pytest.mark.parametrize(
    "text",
    [
        "LEEF:1.0|V|P|1|e|src=10.0.0.1\tpath=C:\\dir\\x y",
        "LEEF:2.0|V|P|1|e|^|src=10.0.0.1^path=C:\\dir\\x y",
        "LEEF:2.0|V|P|1|e|x5E|src=10.0.0.1^path=C:\\dir\\x y",
        "LEEF:2.0|V|P|1|e|0x5e|src=10.0.0.1^path=C:\\dir\\x y",
        "LEEF:2.0|V|P|1|e||src=10.0.0.1\tpath=C:\\dir\\x y",
        "LEEF:1.0|V|P|1|e|src=10.0.0.1#011path=C:\\dir\\x y",
    ],
)
def test_delimiters_of_leef(text: str) -> None:
    assert _leef.decode(text)["extension"] == {"src": "10.0.0.1", "path": "C:\\dir\\x y"}


@pytest.mark.parametrize(
    ("value", "pattern", "seconds"),
    [
        ("2026-01-01 00:00:01.25", "yyyy-MM-dd HH:mm:ss.SSS", JAN_1 + 1.25),
        ("01/01/26 01:00:00 AM +0100", "MM/dd/yy hh:mm:ss a Z", JAN_1),
        ("Thu Jan 01 00:00:00 UTC 2026", "EEE MMM dd HH:mm:ss z yyyy", JAN_1),
        ("2026-01-01T00:00:00", "yyyy-MM-dd'T'HH:mm:ss", JAN_1),
        ("Jan 01 2026 00:00:00", None, JAN_1),
        ("1767225600000", None, JAN_1),
    ],
)
def test_times_of_leef(value: str, pattern: str | None, seconds: float) -> None:
    fields = {"devTime": value} | ({"devTimeFormat": pattern} if pattern else {})
    when = _leef.event_time(fields)
    assert when is not None
    assert when.seconds == seconds


def test_audit_values_are_decoded_and_what_is_unset_is_left_out() -> None:
    record = _auditd.decode_line(
        "node=n1 type=SYSCALL msg=audit(1700000000.123:42): auid=4294967295 uid=0 tty=(none) comm=6120 62"
        ' key=(null) exe="/bin/a"\x1dUID="root"'
    )
    assert record["node"] == "n1"
    assert record["fields"] == {"uid": "0", "comm": "a ", "exe": "/bin/a", "words": ["62"]}
    assert record["enriched"] == {"UID": "root"}


def test_split_arguments_are_put_together() -> None:
    event = _auditd.decode(
        [
            'type=EXECVE msg=audit(1.5:7): argc=2 a0="sh" a1_len=6 a1[0]=6120 a1[1]="bc"',
            "type=PROCTITLE msg=audit(1.5:7): proctitle=7368002D63",
        ]
    )
    assert event["records"][0]["fields"]["argv"] == ["sh", "a bc"]
    assert event["command_line"] == "sh a bc"
    assert event["records"][1]["fields"]["proctitle"] == "sh -c"


def test_journal_fields_of_bytes_lists_and_nothing() -> None:
    fields = _journald.plain({"MESSAGE": [104, 255], "A": ["x", [105]], "BIG": None, "PRIORITY": "3"})
    assert fields == {"MESSAGE": "h\\xff", "A": ["x", "i"], "BIG": None, "PRIORITY": "3"}
    assert _journald.seconds("1767225600500000") == JAN_1 + 0.5
    with pytest.raises(EventInvalid, match="bad_time"):
        _journald.seconds("soon")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", ["a", "a={ ", "a='", 'a="', "[a", ' k="', "\\", "a=", "|", " ", "a[1]: ", "\x1d"])
def test_long_hostile_lines_take_no_long_time(unit: str) -> None:
    """Each of these made some pattern look at the rest of the line again and again."""
    text = unit * (250_000 // len(unit))
    assert _auditd.decode_line(f"type=X msg=audit(1.5:7): {text}")["serial"] == 7
    assert _syslog.decode(f"<1>Feb 28 00:00:00 {text}".encode())["severity"] == "alert"
    assert _syslog.decode(f"<1>1 - - - - - {text}".encode())["format"] == "rfc5424"
    assert _cef.decode(f"CEF:0|a|b|c|d|e|5|{text}")["severity"] == "5"
    assert _leef.decode(f"LEEF:1.0|a|b|c|d|{text}")["vendor"] == "a"


@pytest.mark.timeout(20)
def test_a_hostile_time_format_takes_no_long_time() -> None:
    fields = {"devTime": "a" * 200_000, "devTimeFormat": "Eu" * 45 + "MMdd"}
    assert _leef.event_time(fields) is None
