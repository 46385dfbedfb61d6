"""Feeds on public captures of hosts and a cloud account: every record is counted, none is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from dsmil.sources._feed import Source
from dsmil.sources.auditd import SOURCE as AUDITD
from dsmil.sources.aws_cloudtrail import SOURCE as CLOUDTRAIL
from dsmil.sources.windows import SOURCE as WINDOWS
from dsmil.testing.feeds import Reading, read_file

#: Logs of products for which there is no feed, and syslog in JSON.
OTHERS = {"AADAuditEvents", "Microsoft365DefenderEvents", "OfficeActivityEvents"}


def captures(folder: Path, part: str) -> list[Path]:
    found = sorted((folder / "otrf_security_datasets" / "datasets").rglob(f"*{part}*/**/*.gz"))
    return [path for path in found if path.name.partition(".")[0] not in OTHERS]


def read(feed: type[Source], path: Path) -> Reading:
    reading = read_file(feed(), path)
    assert (dict(reading.dead), reading.partial, reading.problem) == ({}, 0, ""), path.name
    return reading


def stated(folder: Path) -> dict[str, int]:
    truth = json.loads((folder / "otrf_security_datasets" / "GROUND_TRUTH.json").read_text("utf-8"))
    return {capture["file"]: capture["events"] for capture in truth}


def test_each_windows_event_is_read_and_names_its_host(fixtures: Path) -> None:
    paths = [*captures(fixtures, "windows"), *captures(fixtures, "GoldenSAML")]
    counts = stated(fixtures)
    assert len(paths) >= 14
    for path in paths:
        events = read(WINDOWS, path).events
        assert len(events) == counts[path.name.removesuffix(".gz")], path.name
        assert all(any(found.type == "host" for found in event.entities) for event in events), path.name
        assert all(event.ts < event.ingest_ts for event in events), path.name


def test_each_cloud_call_is_read(fixtures: Path) -> None:
    (path,) = captures(fixtures, "aws")
    events = read(CLOUDTRAIL, path).events
    assert len(events) == stated(fixtures)[path.name.removesuffix(".gz")]
    assert all(event.entities for event in events)


def test_audit_lines_of_one_serial_are_one_event_and_no_line_is_left_out(fixtures: Path) -> None:
    paths = captures(fixtures, "linux")
    assert len(paths) == 2
    for path in paths:
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        serials = {line.partition("msg=audit(")[2].partition(")")[0] for line in lines if line}
        events = read(AUDITD, path).events
        assert len(events) == len(serials) < len(lines), path.name
        text = json.dumps([event.payload for event in events])
        assert all(serial.rpartition(":")[2] in text for serial in serials), path.name
