"""Feeds of hosts: syslog, Windows, audit, journal; public files counted, own lines mapped, bad ones refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dsmil.detections.sensor_alert import SensorAlert
from dsmil.detections.sigma import Sigma
from dsmil.events.handling import Delivery, Drop, Publish
from dsmil.events.model import Entity, Event, EventCategory, Severity
from dsmil.events.streams import StreamName
from dsmil.sources._arrivals import Arrivals
from dsmil.sources._audit_lines import AuditLines
from dsmil.sources._feed import RawRecord, Reader, Source
from dsmil.sources.auditd import Auditd
from dsmil.sources.journald import Journald
from dsmil.sources.syslog import Syslog
from dsmil.sources.windows import Windows
from dsmil.testing.feeds import Reading, read_file

YEAR = 365 * 86400.0
SSH = "Mar  1 18:46:11 web1 sshd[7]: Failed password for root from 198.51.100.4 port 4 ssh2"
NODE = 'type=SYSCALL msg=audit(1700000000.123:{}): syscall=59 exe="/bin/sh" key="T1059_shell"'


def read_text(source: Source, tmp_path: Path, *lines: str) -> Reading:
    path = tmp_path / "log"
    path.write_text("".join(line + "\n" for line in lines))
    return read_file(source, path)


def judged(detector: Any, event: Event) -> Event | str:
    (outcome,) = detector.handle([Delivery(stream=StreamName.L3_IN, entry_id="1-0", event=event)])
    if isinstance(outcome, Publish):
        return outcome.outputs[0][1]
    assert isinstance(outcome, Drop)
    return outcome.reason


# Syslog


def test_a_time_without_a_year_never_enters_the_id_of_a_file() -> None:
    record = RawRecord(SSH.encode(), "auth.log:1")
    now, later = (Reader(Syslog()).event(record, 1_772_500_000.0 + more) for more in (0, YEAR))
    assert now.event_id == later.event_id
    assert later.ts - now.ts == YEAR
    assert (now.ts, now.category, now.flags) == (1772390771.0, EventCategory.AUTH, ())


def test_a_listener_tells_two_years_apart() -> None:
    arrivals = Arrivals(Syslog())
    arrivals.turn_to("192.0.2.1", 1)
    first = arrivals.event(RawRecord(SSH.encode(), "udp#1"), 1_772_500_000.0)
    arrivals.turn_to("192.0.2.1", 2)
    again = arrivals.event(RawRecord(SSH.encode(), "udp#2"), 1_772_500_060.0)
    arrivals.turn_to("192.0.2.1", 3)
    next_year = arrivals.event(RawRecord(SSH.encode(), "udp#3"), 1_772_500_000.0 + YEAR)
    assert first.event_id == again.event_id != next_year.event_id


def test_cef_and_leef_are_findings_by_their_own_severity(tmp_path: Path) -> None:
    cef = (
        "<134>Feb 29 10:00:00 fw CEF:0|Acme|Shield|1|100|malware seen|{}|src=192.0.2.1 spt=5 suser=bob"
        " rt=Feb 21 2024 05:33:33 UTC cs1=T1059.001 cs1Label=MITRE Technique"
    )
    leef = "<13>LEEF:2.0|Acme|EDR|2|block|^|src=192.0.2.5^sev=8^devTime=1769847302000"
    quiet = "<13>LEEF:1.0|Acme|EDR|2|seen|src=192.0.2.5"
    reading = read_text(Syslog(), tmp_path, cef.format(9), leef, cef.format(3), quiet, "<3>kernel: oops")
    assert reading.dead == {}
    assert [event.severity for event in reading.events] == ["CRITICAL", "HIGH", "LOW", "LOW", "MEDIUM"]
    first = reading.events[0]
    assert (first.ts, first.techniques, first.category) == (1708493613.0, ("T1059.001",), "SECURITY")
    assert {Entity("ip", "192.0.2.1", "src"), Entity("user", "bob", "src"), Entity("host", "fw")} <= set(
        first.entities
    )
    assert first.payload["_raw"] == cef.format(9)
    answers = [judged(SensorAlert(), event) for event in reading.events]
    assert answers[2:] == ["low_severity", "no_alert", "no_alert"]
    found = [(a.payload["rule"]["id"], a.severity) for a in answers[:2] if isinstance(a, Event)]
    assert found == [("100", Severity.CRITICAL), ("block", Severity.HIGH)]


def test_what_is_no_syslog_is_a_dead_letter_with_its_line(tmp_path: Path) -> None:
    reading = read_text(
        Syslog(), tmp_path, SSH, "just text", "CEF:0|cut|off", "<34>1 2026-13-45T00:00:00Z h a - - -"
    )
    assert reading.dead == {"not_syslog": 1, "bad_cef": 1}
    assert [place.rpartition(":")[2] for place in reading.dead_places] == ["2", "3"]
    assert reading.events[1].flags == ("bad_time", "missing_time")


# Windows

WINDOWS_FILES = 14


def test_every_public_windows_event_is_read(fixtures: Path) -> None:
    folder = fixtures / "otrf_security_datasets"
    truth = {one["file"]: one["events"] for one in json.loads((folder / "GROUND_TRUTH.json").read_text())}
    files = sorted((folder / "datasets/atomic/windows").glob("*/host/*.gz"))
    assert len(files) == WINDOWS_FILES
    readings = {path.name.removesuffix(".gz"): read_file(Windows(), path) for path in files}
    assert {name: reading.dead for name, reading in readings.items() if reading.dead} == {}
    assert {name: len(reading.events) for name, reading in readings.items()} == {
        name: truth[name] for name in readings
    }
    events = [event for reading in readings.values() for event in reading.events]
    assert [event.origin for event in events if event.flags] == []
    assert [event.origin for event in events if not event.entities] == []


def test_documents_one_after_another_are_read(fixtures: Path) -> None:
    files = sorted((fixtures / "sigma/regression_data").rglob("*.json"))
    readings = [read_file(Windows(), path) for path in files]
    assert len(readings) == 151
    assert [reading.dead for reading in readings if reading.dead] == []
    assert sum(len(reading.events) > 1 for reading in readings) == 13


SYSTEM = {
    "Channel": "Microsoft-Windows-Sysmon/Operational",
    "EventID": 1,
    "Computer": "ws1",
    "TimeCreated": {"#attributes": {"SystemTime": "2026-01-02T03:04:05.5Z"}},
}
DATA = {
    "Image": "C:\\Windows\\System32\\vssadmin.exe",
    "CommandLine": "vssadmin.exe delete shadows /all",
    "RuleName": "technique_id=T1490,technique_name=x",
    "Hashes": "MD5=" + "A" * 32,
}
SHAPES: list[dict[str, Any]] = [
    {"Event": {"System": SYSTEM, "EventData": DATA}},
    {
        "Event": {
            "System": {key: value for key, value in SYSTEM.items() if key != "TimeCreated"}
            | {"TimeCreated_attributes": {"SystemTime": "2026-01-02T03:04:05.5Z"}},
            "EventData": {"Data": [{"@Name": name, "#text": value} for name, value in DATA.items()]},
        }
    },
    {
        "@timestamp": "2026-01-02T03:04:05.5Z",
        "winlog": {
            "channel": SYSTEM["Channel"],
            "event_id": "1",
            "computer_name": "ws1",
            "event_data": DATA,
        },
    },
    {
        "Channel": SYSTEM["Channel"],
        "EventID": 1,
        "Hostname": "ws1",
        "TimeCreated": "2026-01-02 03:04:05.5",
        **DATA,
    },
    {
        "Channel": SYSTEM["Channel"],
        "EventID": 1,
        "Hostname": "ws1",
        "EventTime": "2026-01-01 23:04:05.5",
        "EventReceivedTime": "2026-01-01 23:04:09",
        "@timestamp": "2026-01-02T03:04:09.900Z",
        **DATA,
    },
]


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_each_shape_of_a_windows_event_fires_the_rule(shape: int, tmp_path: Path) -> None:
    (event,) = read_text(Windows(), tmp_path, json.dumps(SHAPES[shape] | {"new": 1})).events
    assert (event.ts, event.techniques, event.payload["new"]) == (1767323045.5, ("T1490",), 1)
    assert set(event.entities) == {
        Entity("host", "ws1"),
        Entity("process", DATA["Image"]),
        Entity("file", "a" * 32),
    }
    finding = judged(Sigma(), event)
    assert isinstance(finding, Event)
    assert finding.payload["rule"]["name"] == "Shadow copies deleted"


def test_bad_windows_lines_are_dead_letters(tmp_path: Path) -> None:
    pretty = json.dumps(SHAPES[0], indent=2)
    reading = read_text(Windows(), tmp_path, "Record 1", pretty, "Record 2", '{"EventID": 4', '{"a": 1}', "[]")
    assert len(reading.events) == 1
    assert reading.dead == {"malformed_json": 1, "not_windows": 1, "not_an_object": 1}


# Audit


def test_public_audit_lines_agree_with_the_documents_of_wazuh_s_engine(fixtures: Path) -> None:
    folder = fixtures / "wazuh_engine_normalisation/integrations/auditd/_test"
    reading = read_file(Auditd(), folder / "input.txt")
    documents = json.loads((folder / "expected.json").read_text())
    assert reading.dead == {}
    found = [(e.payload["types"][0].lower(), e.payload["serial"], e.payload["time"]) for e in reading.events]
    assert found == [(d["event"]["action"], d["auditd"]["log"]["sequence"], d["timestamp"]) for d in documents]


def test_records_of_a_public_event_are_one(fixtures: Path) -> None:
    folder = fixtures / "otrf_security_datasets/datasets/atomic/linux"
    readings = [read_file(Auditd(), path) for path in sorted(folder.glob("*/host/*.gz"))]
    said = [[event.payload["command_line"] for event in reading.events] for reading in readings]
    assert said == [["dd if=/dev/zero bs=1 count=1"], ["arp -a", "grep -v ^?"]]


def test_interleaved_records_are_joined_and_bad_ones_are_letters(tmp_path: Path) -> None:
    title = "type=PROCTITLE msg=audit(1700000000.123:{}): proctitle=7368002D63"
    end = "type=EOE msg=audit(1700000000.123:1):"
    lines = [
        "----",
        NODE.format(1),
        NODE.format(2),
        "nonsense",
        title.format(2),
        title.format(1),
        end,
        NODE.format(3),
    ]
    reading = read_text(Auditd(), tmp_path, *lines)
    assert reading.dead == {"not_auditd": 1}
    assert reading.dead_places == [f"{tmp_path / 'log'}:4"]
    assert [(e.payload["serial"], e.payload["types"]) for e in reading.events] == [
        (2, ["SYSCALL", "PROCTITLE"]),
        (1, ["SYSCALL", "PROCTITLE"]),
        (3, ["SYSCALL"]),
    ]
    assert {event.techniques for event in reading.events} == {("T1059",)}


def test_a_fresh_joiner_goes_on_from_the_lines_held() -> None:
    joiner, other = AuditLines(), AuditLines()
    lines = [RawRecord(NODE.format(serial).encode(), f"a:{serial}") for serial in (1, 2)]
    assert [list(joiner.add(line)) for line in lines] == [[], []]
    assert [list(other.add(line)) for line in joiner.held()] == [[], []]
    assert list(other.rest()) == lines


# Journal


def test_the_journal(tmp_path: Path) -> None:
    entry = {
        "__REALTIME_TIMESTAMP": "1767225600500000",
        "PRIORITY": "3",
        "_HOSTNAME": "web1",
        "MESSAGE": [104, 255],
    }
    login = entry | {"SYSLOG_IDENTIFIER": "sshd", "PRIORITY": "9", "MESSAGE": "x"}
    reading = read_text(
        Journald(), tmp_path, json.dumps(entry), json.dumps(login, indent=1), '{"MESSAGE": "x"}', "{"
    )
    assert reading.dead == {"not_journald": 1, "malformed_json": 1}
    first, second = reading.events
    assert (first.ts, first.severity, first.entities) == (1767225600.5, "MEDIUM", (Entity("host", "web1"),))
    assert (first.payload["MESSAGE"], first.payload["_bytes"]) == ("h\\xff", {"MESSAGE": "aP8="})
    assert (second.severity, second.category, second.flags) == ("HIGH", "AUTH", ("unknown_severity:9",))
