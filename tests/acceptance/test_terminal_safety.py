"""Text from outside never acts on the reader's terminal: not in any command, not in any form."""

from __future__ import annotations

import json

import pytest
from tests.acceptance.fabric_process import Fabric

from dsmil.testing.waiting import until

#: Colours, a cursor back to the start of the line, text that runs backwards, and their like.
EVIL = "\x1b[31mred\rover\u202eback\u2066iso\x9b31mc1\x07bell\x7fdel\u2028line\u200bzero\ufeffmark\nforged line"
FORBIDDEN = {*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), *"\u2028\u2029\u200b\u200e\u200f\ufeff"} | {
    *map(chr, range(0x202A, 0x202F)),
    *map(chr, range(0x2066, 0x206A)),
}
ALLOWED = {"\n"}


@pytest.fixture(scope="module")
def letter(fabric: Fabric) -> str:
    """Put the text wherever a producer can put it; return the id of the dead letter that holds it."""
    fabric.send(
        "evil-event",
        payload={
            "decision": EVIL,
            EVIL: EVIL,
            "rule": {"id": EVIL, "name": EVIL, "revision": EVIL},
            "detector": EVIL,
            "matched": {EVIL: EVIL},
        },
        source=EVIL,
        compartment=EVIL,
        category=EVIL,
        origin=EVIL,
        correlation_id=EVIL,
        entities=[{"type": "ip", "value": EVIL, "role": "src"}, {"type": "host", "value": EVIL}],
        techniques=[EVIL],
        evidence=[EVIL],
        severity=EVIL,
        flags=[EVIL],
        **{EVIL: EVIL},
    )
    fabric.send(f"evil-id-{EVIL}")
    record = {
        "timestamp": "2026-02-03T04:05:06.700000+0000",
        "event_type": "dns",
        "src_ip": EVIL,
        "host": EVIL,
        "dns": {"rrname": EVIL},
    }
    with fabric.redis() as client:
        client.xadd(
            "L3_IN",
            {
                "event": json.dumps(
                    {"event_id": "evil-record", "source_device": 5, "source": "suricata", "payload": record}
                    | {"origin": EVIL, "severity": "LOW", "ts": 1_700_000_000}
                )
            },
        )
        entry = client.xadd("L3_OUT", {"event": f'{{"{EVIL}'.encode(), EVIL: EVIL}).decode()  # type: ignore[union-attr]
    fabric.wait_row("evil-event")
    fabric.wait_row(f"evil-id-{EVIL}")
    until(lambda: fabric.row("evil-record", "raw_events_fast"), 20, "the raw row")
    found = until(lambda: [x for x in fabric.json("dlq", "list") if x.get("entry_id") == entry], 20, "the letter")
    return str(found[0]["id"])


COMMANDS = {
    "events": ["events", "-n", "1000"],
    "tail": ["tail", "-n", "1000", "--no-follow"],
    "tail L3_OUT": ["tail", "L3_OUT", "-n", "1000", "--no-follow"],
    "tail L3_IN": ["tail", "L3_IN", "-n", "1000", "--no-follow"],
    "why": ["why", "evil-event"],
    "why of an id": ["why", f"evil-id-{EVIL}"],
    "why of a record": ["why", "evil-record"],
    "dlq show": ["dlq", "show", "LETTER"],
    "dlq list": ["dlq", "list", "-n", "1000"],
    "sql": ["sql", "SELECT * FROM soc_events_cache WHERE event_id LIKE 'evil%'"],
    "sql column": ["sql", f'SELECT 1 AS "{EVIL}"'],
    "status": ["status"],
    "complaint of why": ["why", f"no-such-{EVIL}"],
    "complaint of dlq": ["dlq", "show", f"no-such-{EVIL}"],
    "complaint of tail": ["tail", f"NO_SUCH_{EVIL}", "--no-follow"],
    "complaint of publish": ["publish", f"NO_SUCH_{EVIL}", "-"],
    "complaint of ingest": ["ingest", f"no-such-{EVIL}", "-"],
    "complaint of ingest, file": ["ingest", "suricata-eve", f"no-such-{EVIL}"],
    "complaint of run": ["run", f"no-such-{EVIL}"],
    "complaint of sql": ["sql", f'SELECT "{EVIL}"."x"'],
}


#: Where the text may be cut away, or is not shown at all.
CUT = {"sql", "sql column", "dlq list"}


@pytest.mark.parametrize(
    ("name", "as_json"),
    [
        (name, as_json)
        for name in COMMANDS
        for as_json in (False, True)
        if not (as_json and name.startswith("complaint"))
    ],
)
def test_nothing_raw_reaches_the_terminal(fabric: Fabric, letter: str, name: str, as_json: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    arguments = [letter if word == "LETTER" else word for word in COMMANDS[name]]
    done = fabric.cli(*arguments, *(["--json"] if as_json else []))
    for output in (done.out, done.err):
        bad = (FORBIDDEN - ALLOWED) & set(output)
        assert not bad, f"raw {sorted(map(ascii, bad))} in {output[:500]!a}"
        assert not any(line.startswith("forged line") for line in output.splitlines())
    if not name.startswith("complaint") and name != "status":
        assert done.code == 0, done
        if name not in CUT:
            assert "[31m" in done.out, "the text must be shown, harmless"
    if as_json and done.out:
        for line in done.out.splitlines():
            json.loads(line)


def test_json_gives_the_text_back_exactly(fabric: Fabric, letter: str) -> None:
    """Escaped is not altered: a script gets what the producer wrote."""
    event = next(e for e in fabric.json("events", "-n", "1000") if e["event_id"] == "evil-event")
    assert event["payload"]["decision"] == EVIL
    assert event["payload"][EVIL] == EVIL
    shown = fabric.json("dlq", "show", letter)
    assert EVIL in json.loads(shown["raw"])["event"]


def test_publish_names_bad_lines_without_their_controls(fabric: Fabric) -> None:
    done = fabric.cli(
        "publish", "L3_OUT", "-", given=json.dumps({EVIL: 1, "source_device": EVIL}).encode() + b"\n{\x1b\r"
    )
    assert done.code == 65
    assert not (FORBIDDEN - ALLOWED) & set(done.out + done.err)
    assert done.out == "0 published to L3_OUT\n"


def test_log_of_the_services_is_safe(fabric: Fabric, letter: str) -> None:
    assert letter
    said = fabric.output.read_bytes().decode()
    assert "dead_letter" in said
    assert not (FORBIDDEN - ALLOWED) & set(said)
