"""Public Suricata logs through a fresh fabric, end to end; every figure is counted again here from the files."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.acceptance.fabric_process import ROOT, Fabric, assert_balanced, groups_of

#: The published map; CRITICAL is left to correlation and operator state.
SEVERITY = {1: "HIGH", 2: "MEDIUM", 3: "LOW"}
LARGE = "eve_large.json.gz"
#: SOC rows that come from alerts; Sigma rules find more in the same records.
ALERTS = "source_device = 16"
DEMO = ROOT / "samples" / "eve-demo.json"
#: Where EVE keeps names, and what they are.
NAMES = (
    ("http", "hostname", "host"),
    ("tls", "sni", "host"),
    ("dns", "rrname", "domain"),
    ("smtp", "helo", "host"),
    ("fileinfo", "filename", "file"),
)


class Read(NamedTuple):
    """One file as the standard library reads it."""

    path: Path
    #: Line of the file -> record; for an array the line on which the record begins.
    records: dict[int, dict[str, Any]]

    @property
    def alerts(self) -> dict[int, dict[str, Any]]:
        return {n: r for n, r in self.records.items() if r["event_type"] == "alert"}


def read(path: Path) -> Read:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    if not text.lstrip().startswith("["):
        lines = enumerate(text.split("\n"), start=1)
        return Read(path, {number: json.loads(line) for number, line in lines if line.strip()})
    decoder, at, found = json.JSONDecoder(), text.index("[") + 1, {}
    while (at := at + len(text[at:]) - len(text[at:].lstrip(" \t\r\n,"))) < len(text) and text[at] != "]":
        record, end = decoder.raw_decode(text, at)
        found[text.count("\n", 0, at) + 1] = record
        at = end
    assert list(found.values()) == json.loads(text)
    return Read(path, found)


class Feed(NamedTuple):
    """A fabric that has read all files, each once."""

    fabric: Fabric
    files: list[Read]
    #: File -> what ``dsmil ingest --json`` said of it.
    tallies: dict[Path, dict[str, Any]]
    #: File -> SOC rows that name it as their origin.
    new_rows: dict[Path, int]
    #: After the large file and nothing else.
    after_large: dict[str, Any]


def _soc_count(fabric: Fabric) -> int:
    return int(fabric.rows("SELECT count(*) FROM soc_events_cache WHERE source_layer = 3")[0][0])


@pytest.fixture(scope="module")
def feed(fixtures: Path, runtime: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Feed]:
    paths = [
        *sorted((fixtures / "suricata_josevnz" / "test").iterdir(), key=lambda p: p.name != LARGE),
        *sorted((fixtures / "suricata_frankhassanabad" / "samples").glob("*/alerts-only.json.gz")),
        DEMO,
    ]
    files = [read(path) for path in paths]
    with Fabric(tmp_path_factory.mktemp("feed") / "state", **runtime) as fabric:
        tallies = {paths[0]: fabric.json("ingest", "suricata-eve", paths[0])}
        after_large = fabric.settled()
        tallies |= {path: fabric.json("ingest", "suricata-eve", path) for path in paths[1:]}
        fabric.settled()
        origins = fabric.rows(f"SELECT json_extract(context, '$.origin') FROM soc_events_cache WHERE {ALERTS}")  # noqa: S608
        found = Counter(Path(origin.rpartition(":")[0]) for (origin,) in origins)
        new_rows = {path: found.pop(path, 0) for path in paths}
        assert not found, "rows of no file"
        yield Feed(fabric, files, tallies, new_rows, after_large)


def test_the_large_file_as_published(feed: Feed) -> None:
    large = feed.files[0]
    assert large.path.name == LARGE
    assert (len(large.records), len(large.alerts)) == (12_245, 1_012)
    assert feed.new_rows[large.path] == 1_012
    tally = feed.tallies[large.path]
    assert (tally["records"], tally["published"], tally["dead"], tally["partial"]) == (12_245, 12_245, 0, 0)
    assert tally["problems"] == []

    status = feed.after_large
    detector = groups_of(status)["L3_IN", "l3-suricata-alert"]
    assert detector["ledger"] == {"published": 1_012, "outputs": 1_012, "dropped:no_alert": 12_245 - 1_012}
    assert groups_of(status)["L3_OUT", "soc-router"]["ledger"] == {"published": 1_012, "outputs": 1_012}
    assert status["store"]["row_counts"]["soc_events_cache"] == 1_012
    assert status["store"]["row_counts"]["raw_events_fast"] == 12_245 + 1_012, "records and findings"
    assert status["broker"]["dead_letters"] == 0
    assert_balanced(status)
    ids = feed.fabric.rows(
        "SELECT count(*), count(DISTINCT event_id) FROM soc_events_cache WHERE context LIKE ?",
        f"%{LARGE}:%",
    )
    assert ids == [(1_012, 1_012)]


def test_each_file_gives_one_row_per_alert(feed: Feed) -> None:
    assert {p.path.name: len(p.alerts) for p in feed.files if "josevnz" in str(p.path)} == {
        LARGE: 1_012,
        "eve-2.json.gz": 118,
        "eve_payload.json.gz": 131,
        "eve_no_events.json.gz": 0,
        "eve_udp_flow.json": 0,
    }
    assert feed.new_rows == {file.path: len(file.alerts) for file in feed.files}
    for file in feed.files:
        tally = feed.tallies[file.path]
        assert tally["records"] == tally["published"] == len(file.records), file.path
        assert (tally["files"], tally["dead"], tally["partial"]) == (1, 0, 0), file.path


def test_rows_say_what_the_records_say(feed: Feed) -> None:
    """One row per alert, found by its file and line: the record itself, severity, entities, ATT&CK ids."""
    columns = "event_id, ts, severity, original_severity, source_device, source_layer, payload, context, signals"
    rows = feed.fabric.rows(f"SELECT {columns} FROM soc_events_cache WHERE {ALERTS}")  # noqa: S608
    by_place: dict[str, tuple[Any, ...]] = {}
    for row in rows:
        place = json.loads(row[7])["origin"]
        assert place not in by_place, f"{place} has two rows"
        by_place[place] = row
    with_techniques = 0
    for file in feed.files:
        for number, record in file.alerts.items():
            row = by_place.pop(f"{file.path}:{number}")
            payload, context, signals = (json.loads(text) for text in row[6:9])
            alert = record["alert"]
            assert payload["raw"] == record
            assert row[2] == row[3] == SEVERITY[alert["severity"]]
            assert row[4:6] == (16, 3)
            assert payload["rule"] == {
                "id": f"{alert['gid']}:{alert['signature_id']}",
                "name": alert["signature"],
                "revision": str(alert["rev"]),
            }
            assert signals["l3"] == {"decision": alert["signature"], "score": None, "device_id": 16}
            _check_entities(record, context["entities"])
            metadata = alert.get("metadata") or {}
            assert context.get("techniques", []) == list(dict.fromkeys(metadata.get("mitre_technique_id", [])))
            assert payload.get("tactics", []) == list(dict.fromkeys(metadata.get("mitre_tactic_id", [])))
            with_techniques += "mitre_technique_id" in metadata
    assert by_place == {}, "a row for something that is no alert"
    assert with_techniques >= 30, "the sample log must carry ATT&CK ids, or this checks nothing"


def _check_entities(record: dict[str, Any], entities: list[dict[str, str]]) -> None:
    found = {(e["type"], e["value"], e.get("role", "")) for e in entities}
    assert len(found) == len(entities), "an entity twice"
    for side in ("src", "dest"):
        assert ("ip", record[f"{side}_ip"], side) in found
        if f"{side}_port" in record:
            assert ("port", str(record[f"{side}_port"]), side) in found
    for part, key, kind in NAMES:
        value = (record.get(part) or {}).get(key) if isinstance(record.get(part), dict) else None
        if value:
            assert any(e[:2] == (kind, value) for e in found), f"{part}.{key}={value!r} is missing"
    said = Counter(_leaves(record))
    for _, value, _ in found:
        assert said[value], f"{value!r} is nowhere in the record"


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield str(value)


def test_raw_records_are_kept_as_they_were(feed: Feed) -> None:
    rows = feed.fabric.rows(
        "SELECT context, payload, ts, device_id, layer FROM raw_events_fast WHERE source = 'suricata'"
        " AND device_id = 5"
    )
    kept = {json.loads(context)["origin"]: json.loads(payload) for context, payload, *_ in rows}
    assert len(kept) == len(rows) == sum(len(file.records) for file in feed.files)
    for file in feed.files:
        for number, record in file.records.items():
            assert kept[f"{file.path}:{number}"] == record
    assert {row[3:] for row in rows} == {(5, 3)}, "network sensors speak as device 5, layer 3"


def test_evidence_leads_from_the_row_to_the_record(feed: Feed) -> None:
    loose = feed.fabric.rows(
        "SELECT count(*) FROM soc_events_cache AS s WHERE s.source_layer = 3 AND NOT EXISTS"
        " (SELECT 1 FROM raw_events_fast AS r WHERE r.event_id = json_extract(s.context, '$.evidence[0]')"
        "  AND json_extract(r.context, '$.origin') = json_extract(s.context, '$.origin'))"
    )
    assert loose == [(0,)]


@pytest.mark.parametrize("restart", [False, True], ids=["running", "killed"])
def test_reading_again_adds_nothing(feed: Feed, restart: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    """Also when the detector has forgotten what it saw: after a kill, ids alone must carry it."""
    counted = "SELECT (SELECT count(*) FROM raw_events_fast), (SELECT count(*) FROM soc_events_cache)"
    before = feed.fabric.rows(counted)
    files = feed.files if restart else feed.files[1:]
    total = sum(len(file.records) for file in files)
    added = _added(feed.fabric, "L3_IN")
    if restart:
        _restart_after_a_kill(feed.fabric)
    tally = feed.fabric.json("ingest", "suricata-eve", *(file.path for file in files))
    assert (tally["files"], tally["records"], tally["dead"]) == (len(files), total, 0)
    status = feed.fabric.settled()
    assert feed.fabric.rows(counted) == before
    assert _added(feed.fabric, "L3_IN") == added + total
    assert_balanced(status)
    assert status["broker"]["dead_letters"] == 0


def _added(fabric: Fabric, stream: str) -> int:
    status = fabric.json("status")
    return next(int(s["entries_added"]) for s in status["broker"]["streams"] if s["name"] == stream)


def _restart_after_a_kill(fabric: Fabric) -> None:
    fabric.close()
    fabric.start()


def test_identical_records_of_two_files_count_once(feed: Feed, tmp_path: Path) -> None:
    """The same bytes in another file are the same record; twice in one file they are two."""
    line = json.dumps(next(iter(feed.files[0].alerts.values())) | {"flow_id": 42})
    first, second, third = tmp_path / "a.json", tmp_path / "b.json", tmp_path / "c.json.gz"
    first.write_text(line + "\n")
    second.write_text(f"{line}\n{line}\n")
    third.write_bytes(gzip.compress(f"[{line},\n {line}\n]".encode()))
    before = _soc_count(feed.fabric)
    for path, rows in ((first, 1), (second, 2), (third, 2)):
        assert feed.fabric.json("ingest", "suricata-eve", path)["problems"] == []
        feed.fabric.settled()
        assert _soc_count(feed.fabric) == before + rows, path


def test_a_line_still_being_written_is_left_for_the_next_reading(feed: Feed, tmp_path: Path) -> None:
    whole = json.dumps(next(iter(feed.files[0].alerts.values())) | {"flow_id": 43})
    other = json.dumps(next(iter(feed.files[0].alerts.values())) | {"flow_id": 44})
    path = tmp_path / "eve.json"
    before = _soc_count(feed.fabric)
    path.write_text(f"{whole}\n{other[:200]}")
    tally = feed.fabric.json("ingest", "suricata-eve", path)
    assert (tally["records"], tally["published"], tally["partial"], tally["dead"]) == (2, 1, 1, 0)
    path.write_text(f"{whole}\n{other}\n")
    assert feed.fabric.json("ingest", "suricata-eve", path)["published"] == 2
    feed.fabric.settled()
    assert _soc_count(feed.fabric) == before + 2
