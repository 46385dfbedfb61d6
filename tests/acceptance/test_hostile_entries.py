"""Entries that no honest producer writes: each becomes a row with its flag or a dead letter with its cause."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.acceptance.fabric_process import GROUPS, Fabric, assert_balanced, groups_of

from dsmil.testing.waiting import until

Fields = dict[str | bytes, str | bytes]


def document(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "event_id": f"hostile-{name}",
        "ts": 1_700_000_000.5,
        "source_device": 16,
        "source_layer": 3,
        "category": "NETWORK",
        "severity": "LOW",
        "payload": {"decision": name},
    } | changes


def event(name: str, **changes: Any) -> Fields:
    return {"event": json.dumps(document(name, **changes))}


def spliced(name: str, text: str) -> Fields:
    """Return a document whose payload holds ``text`` as it stands, which a JSON writer would not write."""
    return {"event": json.dumps(document(name, payload={"x": "HERE"})).replace('"HERE"', text)}


#: What is no event: its fields and the cause its letter must name.
REFUSED: dict[str, tuple[Fields, str]] = {
    "malformed": ({"event": '{"event_id": "hostile-malformed", "source_device": 16,'}, "malformed_json"),
    "empty text": ({"event": ""}, "malformed_json"),
    "not json at all": ({"event": "<xml/>"}, "malformed_json"),
    "device is text": (event("types-1", source_device="sixteen"), "bad_field"),
    "device is a list": (event("types-2", source_device=[16]), "bad_field"),
    "device is true": (event("types-8", source_device=True), "bad_field"),
    "device out of range": (event("types-3", source_device=104), "bad_field"),
    "layer is an object": (event("types-4", source_layer={}), "bad_field"),
    "time is text": (event("types-5", ts="yesterday"), "bad_field"),
    "payload is a list": (event("types-6", payload=["a"]), "bad_field"),
    "id is a number": (event("types-7", event_id=7), "bad_field"),
    "300 KB": (event("big", payload={"x": "a" * 300_000}), "too_large"),
    "nested 100,000 deep": (spliced("deep", "[" * 100_000 + "]" * 100_000), "too_deep"),
    "nested deep in objects": (spliced("deep-objects", '{"a":' * 33_000 + "1" + "}" * 33_000), "too_deep"),
    "nested 33 deep": (spliced("deep-33", "[" * 31 + "]" * 31), "too_deep"),
    "key twice": (
        {"event": json.dumps(document("twice"))[:-1] + ', "severity": "CRITICAL"}'},
        "duplicate_key",
    ),
    "key twice inside": (spliced("twice-inside", '{"a": 1, "a": 2}'), "duplicate_key"),
    "NaN": (spliced("nan", "NaN"), "not_finite"),
    "-Infinity": (spliced("infinity", "-Infinity"), "not_finite"),
    "1e999": (spliced("1e999", "1e999"), "not_finite"),
    "5,000 digits": (spliced("digits", "9" * 5000), "bad_number"),
    "lone surrogate": (spliced("surrogate", r'"\ud800"'), "lone_surrogate"),
    "lone surrogate in a key": (spliced("surrogate-key", r'{"\udfff": 1}'), "lone_surrogate"),
    "bad UTF-8": ({"event": b'{"source_device": 16, "payload": {"x": "\xff\xfe"}}'}, "bad_utf8"),
    "flat with bad UTF-8": ({"source_device": "16", "note": b"\xc3\x28"}, "bad_utf8"),
    "flat with a bad number": ({"source_device": "sixteen", "severity": "LOW"}, "bad_field"),
    "said twice": (event("said-twice") | {"severity": "CRITICAL"}, "duplicate_key"),
    "empty object": ({"event": "{}"}, "bad_field"),
    "array": ({"event": "[1, 2, 3]"}, "not_an_object"),
    "text": ({"event": '"an event, honestly"'}, "not_an_object"),
    "null": ({"event": "null"}, "not_an_object"),
    "token 10**30": (event("token", token_id=10**30), "bad_field"),
    "negative token": (event("token-negative", token_id=-1), "bad_field"),
    "no field of ours": ({"hello": "world"}, "bad_field"),
}


class Mended(NamedTuple):
    """What is an event all the same, and what its row must say."""

    fields: Fields
    severity: str = "LOW"
    flags: tuple[str, ...] = ()
    check: Callable[[dict[str, Any]], bool] = lambda _: True


ACCEPTED: dict[str, Mended] = {
    "unknown severity": Mended(
        event("severity", severity="WEIRD"), severity="HIGH", flags=("unknown_severity:WEIRD",)
    ),
    "severity is a number": Mended(
        event("severity-number", severity=3), severity="HIGH", flags=("unknown_severity:3",)
    ),
    "severity missing": Mended(
        {"event": json.dumps({k: v for k, v in document("no-severity").items() if k != "severity"})},
        severity="HIGH",
        flags=("missing_severity",),
    ),
    "INFO": Mended(event("info", severity="INFO")),
    "MODERATE": Mended(event("moderate", severity="moderate"), severity="MEDIUM"),
    "unknown category": Mended(
        event("category", category="GOSSIP"),
        flags=("unknown_category:GOSSIP",),
        check=lambda row: row["category"] == "SECURITY",
    ),
    "flat fields": Mended(
        {
            "event_id": "hostile-flat",
            "source_device": "16",
            "source_layer": "3",
            "category": "NETWORK",
            "severity": "LOW",
            "ts": "1700000000.5",
            "payload": '{"decision": "flat"}',
            "token_id": "0x8030",
        },
        check=lambda row: row["payload"] == {"decision": "flat"} and row["ts"] == 1_700_000_000.5,
    ),
    "flat with text as payload": Mended(
        {"event_id": "hostile-flat-text", "source_device": "16", "severity": "LOW", "payload": "something odd"},
        flags=("missing_category",),
        check=lambda row: row["payload"] == {"text": "something odd"},
    ),
    "event and a flat field": Mended(
        event("beside") | {"rack": "B7"},
        check=lambda row: row["context"]["extra"] == {"rack": "B7"},
    ),
    "unknown fields": Mended(
        event("extra", colour={"deep": [1, 2]}),
        check=lambda row: row["context"]["extra"] == {"colour": {"deep": [1, 2]}},
    ),
    "integer beyond 64 bits in the payload": Mended(spliced("huge-integer", str(10**30))),
    "control characters": Mended(
        event("controls", payload={"decision": "a\x00b\x1b[31m\r\n\u202e"}),
        check=lambda row: row["payload"]["decision"] == "a\x00b\x1b[31m\r\n\u202e",
    ),
    "claims of the router": Mended(
        event("claims", original_severity="CRITICAL", escalation=[{"rule": "mine"}]),
        check=lambda row: row["original_severity"] == "LOW" and row["escalation"] == [],
    ),
    "nested 32 deep": Mended(spliced("deep-32", "[" * 30 + "]" * 30)),
}


class Flood(NamedTuple):
    """A fabric after all of it: which entry was which, and what became of them."""

    fabric: Fabric
    entries: dict[str, str]
    letters: dict[str, dict[str, Any]]
    pids_before: dict[str, int]


@pytest.fixture(scope="module")
def flood(fabric: Fabric) -> Flood:
    until(lambda: len(fabric.children()) == 4, 10, "broker and three services")
    pids = fabric.children()
    entries = {}
    with fabric.redis() as client:
        for name, fields in (
            *((name, fields) for name, (fields, _) in REFUSED.items()),
            *((name, mended.fields) for name, mended in ACCEPTED.items()),
        ):
            entries[name] = client.xadd("L3_OUT", fields).decode()  # type: ignore[arg-type,union-attr]
    fabric.settled()
    letters = {
        letter["entry_id"]: letter
        for letter in fabric.json("dlq", "list", "-n", "1000")
        if letter.get("stream") == "L3_OUT" and letter["service"] == "soc-router"  # correlators write letters too
    }
    return Flood(fabric, entries, letters, pids)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_event_is_a_letter_with_its_cause(flood: Flood, name: str) -> None:
    fields, cause = REFUSED[name]
    letter = flood.letters[flood.entries[name]]
    assert letter["cause"] == cause, letter["detail"]
    assert letter["detail"]
    assert letter["stream"] == "L3_OUT"
    assert letter["attempts"] == 1
    raw = letter["raw"].encode() if "raw" in letter else base64.b64decode(letter["raw_base64"])
    if letter["form"] == "event":
        sent = fields["event"]
        assert raw == (sent.encode() if isinstance(sent, str) else sent), "the bytes as they lay in the stream"
    else:
        assert letter["form"] == "fields"
        kept = {
            key.encode(errors="surrogateescape"): value.encode(errors="surrogateescape")
            for key, value in json.loads(raw).items()
        }
        assert kept == {_bytes(key): _bytes(value) for key, value in fields.items()}
    assert not flood.fabric.rows(
        "SELECT 1 FROM soc_events_cache WHERE stream_id = ? OR context LIKE ?",
        flood.entries[name],
        f"%{flood.entries[name]}%",
    )


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


@pytest.mark.parametrize("name", ["malformed", "bad UTF-8", "300 KB", "flat with bad UTF-8"])
def test_show_tells_the_same_letter(flood: Flood, name: str) -> None:
    listed = flood.letters[flood.entries[name]]
    assert flood.fabric.json("dlq", "show", listed["id"]) == listed


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_can_be_understood_is_a_row_with_its_flag(flood: Flood, name: str) -> None:
    assert flood.entries[name] not in flood.letters, flood.letters[flood.entries[name]]
    mended = ACCEPTED[name]
    event_id = mended.fields.get("event_id")
    if event_id is None:
        event_id = json.loads(mended.fields["event"])["event_id"]
    row = flood.fabric.row(str(event_id))
    assert row is not None
    assert row["severity"] == row["original_severity"] == mended.severity
    assert tuple((row["context"] or {}).get("flags", ())) == mended.flags
    assert mended.check(row), row


def test_nothing_fell_over(flood: Flood) -> None:
    assert flood.fabric.children() == flood.pids_before, "same processes: nothing was restarted"
    status = flood.fabric.settled()
    assert_balanced(status)
    ledger = groups_of(status)["L3_OUT", "soc-router"]["ledger"]
    assert ledger["dead"] >= len(REFUSED)
    assert ledger["published"] >= len(ACCEPTED)
    assert set(ledger) <= {"published", "outputs", "dead", "duplicate"}
    port = flood.fabric.record["ports"]["metrics"]
    assert port
    flood.fabric.send("after-the-flood")
    flood.fabric.wait_row("after-the-flood")


def test_bad_entry_at_the_bottom_is_named_by_every_reader(fabric: Fabric) -> None:
    """L3_IN is read by the detectors and copied into the store: each says that it could not."""
    before = fabric.settled()
    with fabric.redis() as client:
        entry = client.xadd("L3_IN", {"event": "{broken"}).decode()  # type: ignore[union-attr]
    status = fabric.settled()
    letters = [x for x in fabric.json("dlq", "list", "-n", "1000") if x.get("entry_id") == entry]
    readers = {group for stream, group in GROUPS if stream == "L3_IN"}
    assert {x["service"] for x in letters} == {*readers, "store-writer"}
    assert {x["cause"] for x in letters} == {"malformed_json"}
    assert {x["raw"] for x in letters} == {"{broken"}
    assert _rejected(status) == _rejected(before) + 1
    assert_balanced(status)


def _rejected(status: dict[str, Any]) -> int:
    return sum(int(p["rejected"]) for p in status["store"]["positions"] if p["stream"] == "L3_IN")


def test_forged_soc_event_does_not_become_a_row(fabric: Fabric) -> None:
    """Only the router writes SOC_EVENTS; a plain event there is a letter of the store writer."""
    with fabric.redis() as client:
        entry = client.xadd("SOC_EVENTS", {"event": json.dumps(document("forged"))}).decode()  # type: ignore[union-attr]
    status = fabric.settled()
    letters = [x for x in fabric.json("dlq", "list", "-n", "1000") if x.get("entry_id") == entry]
    assert [x["service"] for x in letters] == ["store-writer"]
    assert fabric.row("hostile-forged") is None
    assert_balanced(status)


def test_bad_lines_of_a_file_are_letters_with_their_place(fabric: Fabric, tmp_path: Path) -> None:
    good = {
        "timestamp": "2026-02-03T04:05:06.700000+0000",
        "event_type": "alert",
        "src_ip": "203.0.113.77",
        "dest_ip": "192.0.2.77",
        "alert": {"gid": 1, "signature_id": 9000077, "rev": 3, "signature": "TEST good line", "severity": 1},
    }
    lines: list[bytes] = [
        json.dumps(good).encode(),
        b'{"event_type": "alert", "broken":',
        b"",
        b'{"no_event_type": 1}',
        json.dumps(good | {"timestamp": "yesterday"}).encode(),
        b'{"event_type": "dns", "x": "\xff"}',
        b'{"event_type": "dns", "x": "' + b"a" * 300_000 + b'"}',
        json.dumps(good | {"src_port": 1}).encode(),
    ]
    path = tmp_path / "eve bad.json"
    path.write_bytes(b"\n".join(lines) + b"\n")
    done = fabric.cli("ingest", "suricata-eve", path, "--json")
    assert done.code == 65
    tally = done.json
    assert (tally["records"], tally["published"], tally["dead"]) == (7, 2, 5)
    assert len(tally["problems"]) == 5
    assert all(str(path) in problem for problem in tally["problems"])

    letters = {
        x["source"]: x
        for x in fabric.json("dlq", "list", "-n", "1000")
        if x.get("source", "").startswith(str(path))
    }
    assert {place: x["cause"] for place, x in letters.items()} == {
        f"{path}:2": "malformed_json",
        f"{path}:4": "not_eve",
        f"{path}:5": "bad_time",
        f"{path}:6": "bad_utf8",
        f"{path}:7": "too_large",
    }
    assert letters[f"{path}:2"]["raw"].encode() == lines[1]
    assert base64.b64decode(letters[f"{path}:6"]["raw_base64"]) == lines[5]
    assert all(x["service"] == "ingest suricata-eve" and x["form"] == "record" for x in letters.values())
    assert_balanced(fabric.settled())
    found = "SELECT count(*) FROM soc_events_cache WHERE source_layer = 3 AND payload LIKE '%TEST good line%'"
    assert fabric.rows(found) == [(2,)], "good lines around the bad ones arrive"

    plain = fabric.cli("ingest", "suricata-eve", path)
    assert plain.code == 65
    assert f"{path}:2" in plain.err
    assert "5 dead-lettered" in plain.out


def test_file_that_is_not_there(fabric: Fabric, tmp_path: Path) -> None:
    done = fabric.cli("ingest", "suricata-eve", tmp_path / "none.json", "--json")
    assert done.code == 66
    assert "none.json" in done.complaint
    assert fabric.cli("ingest", "suricata-eve", tmp_path / "none.json").complaint == done.complaint
    unknown = fabric.cli("ingest", "no-such-feed", tmp_path / "none.json")
    assert unknown.code == 2
    assert "suricata-eve" in unknown.complaint
