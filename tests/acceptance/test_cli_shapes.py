"""The command line from outside: shapes of ``--json``, exit codes, limits, and what a start costs."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.fabric_process import Fabric, dsmil, environment, run

from dsmil.testing.waiting import until

FLOW = {
    "timestamp": "2026-02-03T04:05:06.700000+0000",
    "event_type": "flow",
    "src_ip": "203.0.113.201",
    "dest_ip": "192.0.2.201",
}
ALERT = FLOW | {
    "event_type": "alert",
    "src_port": 50123,
    "dest_port": 445,
    "proto": "TCP",
    "alert": {
        "gid": 1,
        "signature_id": 9000201,
        "rev": 7,
        "signature": "TEST command line",
        "severity": 2,
        "metadata": {"mitre_technique_id": ["T1021.002"], "mitre_tactic_id": ["TA0008"]},
    },
}
STREAMS = (
    "L3_IN L3_OUT L4_IN L4_OUT L5_IN L5_OUT L6_IN L6_OUT L7_IN L7_OUT SOC_EVENTS L8_ALERTS L9_COMMANDS".split()
)
TABLES = {
    "raw_events_fast",
    "model_outputs_fast",
    "layer_state",
    "device_status",
    "soc_events_cache",
    "shrink_metrics",
}


@pytest.fixture(scope="module")
def read(fabric: Fabric) -> Fabric:
    """Return the fabric after it has read one alert and one other record."""
    given = "".join(json.dumps(record) + "\n" for record in (ALERT, FLOW))
    done = fabric.cli("ingest", "suricata-eve", "-", "--json", given=given)
    assert done.code == 0, done
    assert set(done.json) == {"files", "records", "published", "dead", "partial", "seconds", "problems"}
    assert (done.json["files"], done.json["records"], done.json["published"]) == (1, 2, 2)
    fabric.settled()
    return fabric


def _ids(fabric: Fabric) -> tuple[str, str, str]:
    """Return the ids of the finding, of its record, and of the record without a finding."""
    (finding,) = fabric.rows("SELECT event_id FROM soc_events_cache WHERE payload LIKE '%TEST command line%'")
    records = fabric.rows(
        "SELECT event_id, json_extract(payload, '$.event_type') FROM raw_events_fast"
        " WHERE device_id = 5 AND json_extract(payload, '$.src_ip') = '203.0.113.201'"
    )
    by_type = {kind: event_id for event_id, kind in records}
    return finding[0], by_type["alert"], by_type["flow"]


# Shapes


def test_status(read: Fabric) -> None:
    status = until(lambda: _with_heartbeats(read.json("status")), 10, "heartbeats")
    assert status["running"] is True
    assert status["state_dir"] == str(read.state)
    instance = status["instance"]
    assert instance["pid"] == read.record["pid"]
    assert instance["ports"] == read.record["ports"]
    broker = status["broker"]
    assert broker["address"] == read.record["broker_url"]
    assert (broker["durability"], broker["maxmemory_policy"]) == ("everysec", "noeviction")
    assert isinstance(broker["dead_letters"], int)
    assert [stream["name"] for stream in broker["streams"]] == STREAMS
    for stream in broker["streams"]:
        assert {"name", "exists", "length", "entries_added", "groups"} <= set(stream)
        assert "dsmil" in [group["name"] for group in stream["groups"]], "the documented group is on every stream"
        for group in stream["groups"]:
            assert {"name", "pending", "unread", "ledger"} <= set(group)
            if group["name"] != "dsmil":
                assert group["imbalance"] == 0
    store = status["store"]
    assert store["path"] == read.record["hotpath_db"]
    assert set(store["row_counts"]) == TABLES
    assert store["row_counts"]["layer_state"] == 8
    assert store["db_size_bytes"] > 0
    router = next(device for device in store["devices"] if device["device_id"] == 52)
    assert (router["layer"], router["name"], router["tops_allocated"]) == (8, "Security Analytics", 10)
    assert router["memory_mb"] > 0
    assert store["shrink"] is None
    shown = read.cli("status")
    assert shown.code == 0
    for word in ("running", "L3_OUT", "soc-router", "soc_events_cache", "Security Analytics"):
        assert word in shown.out


def _with_heartbeats(status: dict[str, Any]) -> dict[str, Any]:
    online = {d["device_id"] for d in status["store"]["devices"] if d["alive"] and d["status"] == "ONLINE"}
    return status if online >= {52, 16, 6} else {}


def test_status_of_nothing(tmp_path: Path) -> None:
    env = environment(DSMIL_STATE_DIR=tmp_path / "nothing")
    done = dsmil("status", "--json", env=env)
    assert done.code == 1
    assert done.json["running"] is False
    assert done.json["instance"] is None
    shown = dsmil("status", env=env)
    assert shown.code == 1
    assert "not running" in shown.out
    assert not (tmp_path / "nothing").exists(), "looking must not make anything"


def test_state_dir_as_option_before_and_after_the_command(read: Fabric) -> None:
    env = environment()
    assert dsmil("--state-dir", read.state, "status", env=env).code == 0
    assert dsmil("status", "--state-dir", read.state, env=env).code == 0


def test_events(read: Fabric) -> None:
    finding, record, _ = _ids(read)
    found = read.json("events", "-n", "500")
    assert isinstance(found, list)
    assert [e["ts"] for e in found] == sorted((e["ts"] for e in found), reverse=True), "newest first"
    event = next(e for e in found if e["event_id"] == finding)
    assert (event["severity"], event["original_severity"], event["category"]) == ("MEDIUM", "MEDIUM", "NETWORK")
    assert (event["source_device"], event["source_layer"]) == (16, 3)
    assert event["escalation"] == []
    assert event["shrink_metrics"] is None
    assert event["signals"] == {"l3": {"decision": "TEST command line", "score": None, "device_id": 16}}
    assert event["payload"]["rule"] == {"id": "1:9000201", "name": "TEST command line", "revision": "7"}
    assert event["payload"]["raw"] == ALERT
    assert event["context"]["evidence"] == [record]
    assert event["context"]["techniques"] == ["T1021.002"]
    assert set(event["l8_enrichment"]) == {
        *("processed_by", "advml_flags", "analytics_flags", "crypto_flags", "threat_flags", "biometric_flags"),
        *("enclave_flags", "network_flags", "soar_proposals", "final_severity", "timestamp"),
    }
    assert {e["severity"] for e in read.json("events", "--severity", "medium", "-n", "500")} == {"MEDIUM"}
    assert len(read.json("events", "-n", "1")) == 1
    shown = read.cli("events", "-n", "500").out
    line = next(line for line in shown.splitlines() if finding in line)
    for word in ("04:05:06", "MEDIUM", "TEST command line", "203.0.113.201:50123", "192.0.2.201:445", "T1021.002"):
        assert word in line


def test_events_as_ocsf(read: Fabric) -> None:
    finding, record, _ = _ids(read)
    lines = read.cli("events", "--ocsf", "-n", "500").out.splitlines()
    found = [json.loads(line) for line in lines]
    assert [one["unmapped"] for one in reversed(found)] == read.json("events", "-n", "500")
    one = next(one for one in found if one["metadata"]["uid"] == finding)
    assert (one["class_uid"], one["type_uid"], one["severity"]) == (2004, 200401, "Medium")
    assert one["finding_info"]["analytic"]["uid"] == "1:9000201"
    assert one["finding_info"]["attacks"][0]["sub_technique"] == {"uid": "T1021.002"}
    assert one["finding_info"]["related_events"] == [{"uid": record}]
    few = read.cli("events", "--ocsf", "-n", "1", "--severity", "medium").out.splitlines()
    assert [json.loads(line)["severity_id"] for line in few] == [3]


def test_tail_without_following(read: Fabric) -> None:
    finding, _, _ = _ids(read)
    lines = read.cli("tail", "-n", "1000", "--no-follow", "--json").out.splitlines()
    events = [json.loads(line) for line in lines]
    event = next(e for e in events if e["event_id"] == finding)
    assert {"token_id", "clearance", "ingest_ts", "signals", "escalation", "original_severity"} <= set(event)
    assert (event["token_id"], event["clearance"]) == (0x8000 + 3 * 16, 0x03030303)
    assert finding in read.cli("tail", "-n", "1000", "--no-follow").out
    assert len(read.cli("tail", "L3_IN", "-n", "2", "--no-follow", "--json").out.splitlines()) == 2
    assert read.cli("tail", "NO_SUCH", "--no-follow").code == 2


def test_why_tells_the_steps_in_order(read: Fabric) -> None:
    finding, record, _ = _ids(read)
    told = read.json("why", finding)
    assert set(told) == {"event_id", "steps"}
    assert told["event_id"] == finding
    steps = told["steps"]
    assert [step["stage"] for step in steps] == ["source", "detection", "fusion", "escalation", "publication"]
    assert all(set(step) == {"stage", "at", "text", "detail"} for step in steps)
    source, detection, fusion, escalation, publication = steps
    assert source["detail"]["event_id"] == record
    assert source["detail"]["event_time"] == 1770091506.7
    assert detection["detail"]["rule"] == {"id": "1:9000201", "name": "TEST command line", "revision": "7"}
    assert detection["detail"]["techniques"] == ["T1021.002"]
    assert detection["detail"]["tactics"] == ["TA0008"]
    assert detection["detail"]["matched"]["src_ip"] == "203.0.113.201"
    assert "no operator reading" in fusion["text"]
    assert "none" in escalation["text"]
    assert publication["detail"]["stream_id"]
    assert source["at"] <= publication["at"] <= time.time()
    shown = read.cli("why", finding).out
    places = [shown.index(f"{number}. {step['stage']}") for number, step in enumerate(steps, start=1)]
    assert places == sorted(places)


def test_why_of_a_record_without_a_finding(read: Fabric) -> None:
    _, _, flow = _ids(read)
    steps = read.json("why", flow)["steps"]
    assert [step["stage"] for step in steps] == ["source", "detection", "detection"]
    said = sorted(step["text"] for step in steps[1:])
    assert said == [
        "l3-sigma makes no finding of it: no_match",
        "l3-suricata-alert makes no finding of it: no_alert",
    ]
    shown = read.cli("why", flow)
    assert shown.code == 0
    assert "no finding of it: no_alert" in shown.out


def test_why_of_a_record_with_a_finding_leads_to_it(read: Fabric) -> None:
    finding, record, _ = _ids(read)
    steps = read.json("why", record)["steps"]
    assert steps[-1]["detail"] == {"event_id": finding}
    assert "published" in steps[-1]["text"]


@pytest.mark.parametrize("unknown", ["00000000-0000-7000-8000-000000000000", "", "' OR 1=1 --\x1b[31m"])
def test_unknown_ids_are_not_found(read: Fabric, unknown: str) -> None:
    for command in (("why",), ("dlq", "show")):
        done = read.cli(*command, "--", unknown)
        assert done.code == 1, done
        assert "\x1b" not in done.complaint
        assert done.out == ""


def test_dead_letters(read: Fabric) -> None:
    with read.redis() as client:
        entry = client.xadd("L3_OUT", {"event": b'{"shape of letters": \xff'}).decode()  # type: ignore[union-attr]

    def mine() -> list[dict[str, Any]]:
        # Each correlator reads the entry, too, and has a letter of its own.
        letters = [x for x in read.json("dlq", "list") if x.get("entry_id") == entry]
        return [x for x in letters if x["service"] == "soc-router"]

    (letter,) = until(mine, 20, "the letter")
    assert letter["service"] == "soc-router"
    assert letter["stream"] == "L3_OUT"
    assert letter["cause"] == "bad_utf8"
    assert letter["form"] == "event"
    assert letter["attempts"] == 1
    assert {"id", "detail", "first_seen", "last_seen", "raw_base64"} <= set(letter)
    assert letter["first_seen"] <= letter["last_seen"] <= time.time()
    assert read.json("dlq", "show", letter["id"]) == letter
    shown = read.cli("dlq", "show", letter["id"]).out
    assert "bad_utf8" in shown
    assert letter["raw_base64"] in shown
    listed = read.cli("dlq", "list")
    assert listed.code == 0
    assert letter["id"] in listed.out
    assert "dead letters" in listed.err
    assert len(read.json("dlq", "list", "-n", "1")) == 1


def test_publish_takes_good_lines_and_names_bad_ones(read: Fabric) -> None:
    lines = [
        '{"event_id": "published-1", "source_device": 15, "severity": "HIGH", "payload": {"alert": "odd"}}',
        "{broken",
        "",
        '{"event_id": "published-2", "source_device": 200}',
        '{"source_device": 23, "source_layer": 4, "payload": {"alert": "without an id"}}',
        '{"event_id": "published-3", "source_device": 15, "severity": "LOW", "severity": "HIGH"}',
        '{"event_id": "published-4", "source_device": 15, "category": "AUTH", "severity": "LOW"}',
    ]
    done = read.cli("publish", "L3_OUT", "-", "--json", given="\n".join(lines))
    assert done.code == 65
    answer = done.json
    assert set(answer) == {"stream", "published", "refused"}
    assert answer["stream"] == "L3_OUT"
    assert len(answer["published"]) == 3
    assert [text.split(": ", 1)[0] for text in answer["refused"]] == ["<stdin>:2", "<stdin>:4", "<stdin>:6"]
    assert ["malformed_json" in answer["refused"][0], "bad_field" in answer["refused"][1]] == [True, True]
    assert "duplicate_key" in answer["refused"][2]
    row = read.wait_row("published-1")
    assert (row["severity"], row["category"], row["source_device"]) == ("HIGH", "SECURITY", 15)
    assert row["signals"]["l3"]["decision"] == "odd"
    assert read.wait_row("published-4")["category"] == "AUTH"
    read.settled()
    assert read.row("published-2") is None
    assert read.row("published-3") is None
    assert read.rows("SELECT count(*) FROM soc_events_cache WHERE payload LIKE '%without an id%'") == [(1,)]

    shown = read.cli("publish", "L3_OUT", "-", given=lines[0] + "\n" + lines[1])
    assert shown.code == 65
    assert "1 published" in shown.out
    assert "<stdin>:2" in shown.complaint
    assert read.cli("publish", "L3_OUT", "-", given=lines[0]).code == 0


def test_publish_from_a_file(read: Fabric, tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    event = {"event_id": "from-a-file", "source_device": 25, "payload": {"label": "chain"}, "score": 0.8}
    path.write_text(json.dumps(event) + "\n")
    assert read.cli("publish", "L4_OUT", path).code == 0
    row = read.wait_row("from-a-file")
    assert row["signals"] == {"l4": {"label": "chain", "confidence": 0.8, "device_id": 25}}
    assert row["source_layer"] == 4
    missing = read.cli("publish", "L4_OUT", tmp_path / "none.ndjson")
    assert missing.code not in {0, 70}


@pytest.mark.parametrize(
    ("stream", "code"), [("SOC_EVENTS", 78), ("DEAD_LETTERS", 2), ("NO_SUCH", 2), ("l3_out", 2)]
)
def test_publish_refuses_what_is_not_for_producers(read: Fabric, stream: str, code: int) -> None:
    with read.redis() as client:
        before = client.xlen("SOC_EVENTS")
        done = read.cli("publish", stream, "-", given='{"source_device": 15}\n')
        assert done.code == code
        assert stream in done.complaint
        assert client.xlen("SOC_EVENTS") == before


def test_same_event_published_twice_is_one_row(read: Fabric) -> None:
    for _ in range(2):
        read.send("twice-the-same", severity="LOW")
    read.send("twice-the-same", severity="CRITICAL")
    read.wait_row("twice-the-same")
    read.settled()
    rows = read.rows("SELECT severity FROM soc_events_cache WHERE event_id = 'twice-the-same'")
    assert rows == [("LOW",)], "the first body wins and is immutable"


@pytest.mark.parametrize("form", ["--json", ""], ids=["json", "text"])
def test_reader_of_a_pipe_may_leave(read: Fabric, form: str) -> None:
    """``dsmil tail ... | head -1`` ends quietly, and is no failure."""
    given = "".join(json.dumps(FLOW | {"flow_id": number, "filler": "x" * 100}) + "\n" for number in range(1000))
    assert read.cli("ingest", "suricata-eve", "-", given=given).code == 0
    tail = f'"$0" -m dsmil tail L3_IN -n 1000 --no-follow {form} | head -c 10; exit ${{PIPESTATUS[0]}}'
    shell = run("bash", "-c", tail, sys.executable, env=read.env)
    assert len(shell.out) == 10
    assert (shell.code, shell.err) == (0, "")
