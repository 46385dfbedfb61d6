"""Following files whose lines need each other: stopped and rotated at any line, nothing lost or doubled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dsmil.config import Settings
from dsmil.errors import EventInvalid
from dsmil.events.streams import StreamName
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.follow import FollowedFile
from dsmil.services.ingest import Ingest
from dsmil.services.letters import Letter, append_letters, read_letters, source_letter
from dsmil.services.redrive import redrive
from dsmil.sources._feed import RawRecord, Source
from dsmil.sources.alertmanager import Alertmanager
from dsmil.sources.zeek_tsv import ZeekTsv
from dsmil.testing.running import Running
from dsmil.testing.waiting import until

HEAD = "#separator \\x09\n#path\t{path}\n#fields\tts\tuid\n#types\ttime\tstring\n"
ALERT = {"status": "firing", "labels": {"alertname": "A"}, "startsAt": "2026-01-31T08:00:00Z"}
DOCUMENT = json.dumps({"version": "4", "alerts": [ALERT, ALERT | {"fingerprint": "2"}]}, indent=1) + "\n"


def payloads(bus: RedisStreamsClient) -> list[dict[str, Any]]:
    return [event.payload for _, event in bus.read(StreamName.L3_IN, count=1_000_000)]


def ids(bus: RedisStreamsClient) -> list[str]:
    return [event.event_id for _, event in bus.read(StreamName.L3_IN, count=1_000_000)]


def add(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


def follow_until(source: Source, log: Path, settings: Settings, bus: RedisStreamsClient, count: int) -> None:
    with Running(FollowedFile(source, log, settings)):
        until(lambda: len(ids(bus)) == count)


def test_a_header_read_before_a_stop_counts_after_it(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "conn.log"
    add(log, HEAD.format(path="conn") + "1.0\tC1\n")
    follow_until(ZeekTsv(), log, settings, bus, 1)
    add(log, "2.0\tC2\n")
    follow_until(ZeekTsv(), log, settings, bus, 2)
    log.rename(tmp_path / "conn.log.1")
    add(log, HEAD.format(path="next") + "3.0\tC3\n")
    follow_until(ZeekTsv(), log, settings, bus, 3)
    assert [(p["_path"], p["ts"], p["uid"]) for p in payloads(bus)] == [
        ("conn", 1.0, "C1"),
        ("conn", 2.0, "C2"),
        ("next", 3.0, "C3"),
    ]
    assert read_letters(settings, 10)[1] == 0


@pytest.mark.parametrize("lines", [1, 4, 12, len(DOCUMENT.splitlines()) - 1])
def test_a_document_read_in_two_halves_is_one(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: int
) -> None:
    monkeypatch.setattr("dsmil.services.follow._WHOLE_AFTER_S", 3600)
    whole = tmp_path / "whole.json"
    whole.write_text(DOCUMENT * 2)
    Ingest(Alertmanager(), settings).run([str(whole)])
    expected = ids(bus)
    bus.client.delete(StreamName.L3_IN)
    log = tmp_path / "alerts.json"
    parts = DOCUMENT.splitlines(keepends=True)
    add(log, DOCUMENT + "".join(parts[:lines]))
    follow_until(Alertmanager(), log, settings, bus, 2)
    add(log, "".join(parts[lines:]))
    follow_until(Alertmanager(), log, settings, bus, 4)
    assert ids(bus) == expected
    assert len(set(expected)) == 4


def test_what_waits_for_more_lines_is_given_out_when_none_come(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsmil.services.follow._WHOLE_AFTER_S", 0.3)
    log = tmp_path / "alerts.json"
    add(log, '{\n"version": "4",\n')
    with Running(FollowedFile(Alertmanager(), log, settings)):
        until(lambda: read_letters(settings, 10)[1] == 1)
        add(log, DOCUMENT)
        until(lambda: len(ids(bus)) == 2)
    (letter,) = read_letters(settings, 10)[0]
    assert (letter.cause, letter.source) == ("malformed_json", f"{log}:1")


def test_what_waits_for_more_lines_is_given_out_when_the_file_is_rotated(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsmil.services.follow._WHOLE_AFTER_S", 3600)
    log = tmp_path / "alerts.json"
    add(log, DOCUMENT + '{\n"version": "4",\n')
    with Running(FollowedFile(Alertmanager(), log, settings)):
        until(lambda: len(ids(bus)) == 2)
        log.rename(tmp_path / "alerts.json.1")
        add(log, DOCUMENT)
        until(lambda: len(ids(bus)) == 4 and read_letters(settings, 10)[1] == 1)


def test_a_letter_keeps_what_its_line_needs(bus: RedisStreamsClient, settings: Settings) -> None:
    head = b"#fields\tts\tuid\n#types\ttime\tstring"
    record = RawRecord(b"5.0\tC5", "conn.log:9", head=head)
    append_letters(bus, [source_letter(record, EventInvalid("not_zeek", "then"), "zeek-tsv", 6.0)])
    (letter,) = read_letters(settings, 10)[0]
    assert isinstance(letter, Letter)
    assert letter.head == head
    assert redrive(letter, bus).problem == ""
    assert payloads(bus) == [{"ts": 5.0, "uid": "C5", "_raw": "5.0\tC5"}]
