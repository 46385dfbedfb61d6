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


def test_sql(read: Fabric) -> None:
    finding, _, _ = _ids(read)
    mine = f"FROM soc_events_cache WHERE event_id = '{finding}'"
    done = read.cli("sql", "--json", f"SELECT event_id, severity, 1 AS one {mine}")
    assert done.code == 0
    assert done.json == {"columns": ["event_id", "severity", "one"], "rows": [[finding, "MEDIUM", 1]]}
    assert read.cli("sql", "--json", "SELECT event_id FROM soc_events_cache WHERE 0").json["rows"] == []
    blob = read.cli("sql", "--json", "SELECT payload, NULL, 1.5 FROM raw_events_fast LIMIT 1").json
    assert isinstance(json.loads(blob["rows"][0][0]), dict)
    assert blob["rows"][0][1:] == [None, 1.5]
    shown = read.cli("sql", f"SELECT severity {mine}")
    assert "MEDIUM" in shown.out
    assert shown.err.startswith("1 rows in ")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM soc_events_cache",
        "INSERT INTO layer_state VALUES (1, '[]', 0, 0, 0, 0, 0)",
        "UPDATE layer_state SET layer = layer + 100",
        "DROP TABLE raw_events_fast",
        "CREATE TABLE mine (x)",
        "CREATE TEMP TABLE mine (x)",
        "ATTACH '{folder}/other.db' AS other",
        "VACUUM INTO '{folder}/copy.db'",
        "PRAGMA query_only = 0; DELETE FROM soc_events_cache",
        "SELECT 1; DELETE FROM soc_events_cache",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA user_version = 7",
        "PRAGMA writable_schema = 1",
        "WITH gone AS (SELECT 1) DELETE FROM device_status",
        "BEGIN IMMEDIATE",
        "SELECT load_extension('/tmp/x')",
        "SELECT writefile('{folder}/file', 'x')",
        "no sql at all",
        "",
    ],
)
def test_sql_refuses_what_is_not_reading(read: Fabric, tmp_path: Path, statement: str) -> None:
    counted = (
        "SELECT (SELECT count(*) FROM sqlite_master), (SELECT max(layer) FROM layer_state),"
        " (SELECT count(*) FROM device_status),"
        " (SELECT count(*) > 0 FROM soc_events_cache), (SELECT count(*) > 0 FROM raw_events_fast)"
    )
    before = read.rows(counted)
    done = read.cli("sql", statement.format(folder=tmp_path))
    if statement:
        assert done.code == 65, done
        assert done.complaint.startswith("dsmil: ")
    assert read.rows(counted) == before
    assert list(tmp_path.iterdir()) == []


def test_sql_limits_rows_and_time(read: Fabric) -> None:
    counting = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c {limit}) SELECT {what} FROM c"
    done = read.cli("sql", "--json", "--max-rows", "3", counting.format(limit="LIMIT 10", what="x"))
    assert done.json == {"columns": ["x"], "rows": [[1], [2], [3]], "truncated": True}
    exact = read.cli("sql", "--json", "--max-rows", "3", counting.format(limit="LIMIT 3", what="x"))
    assert exact.json == {"columns": ["x"], "rows": [[1], [2], [3]]}
    usual = read.cli("sql", "--json", counting.format(limit="LIMIT 5000", what="x"))
    assert len(usual.json["rows"]) == 1000
    started = time.monotonic()
    endless = read.cli("sql", "--max-seconds", "0.3", counting.format(limit="", what="count(*)"))
    assert endless.code == 69
    assert "0.3 s" in endless.complaint
    assert time.monotonic() - started < 5
    heavy = read.cli("sql", "SELECT length(zeroblob(1000000000))")
    assert heavy.code == 65, "one value must not take all memory"


def test_sql_names_the_columns_of_an_empty_answer(read: Fabric) -> None:
    done = read.cli("sql", "--json", "SELECT event_id, severity FROM soc_events_cache WHERE 0")
    assert done.json == {"columns": ["event_id", "severity"], "rows": []}


@pytest.mark.parametrize("statement", ["SELECT 1 AS a; SELECT 2 AS b, 3 AS c", "SELECT 1 WHERE 0; SELECT 2"])
def test_sql_takes_one_statement(read: Fabric, statement: str) -> None:
    """Rows of a second one would stand under the columns of the first."""
    done = read.cli("sql", "--json", statement)
    assert done.code == 65
    assert "one statement" in done.complaint
    assert done.out == ""


@pytest.mark.xfail(strict=True, reason="an internal error: the driver decodes text strictly")
def test_sql_of_text_that_is_not_utf8(read: Fabric) -> None:
    """As when a query cuts a payload inside a character."""
    done = read.cli("sql", "--json", "SELECT CAST(substr(CAST('é' AS BLOB), 1, 1) AS TEXT) AS cut")
    assert done.code == 0, done
    assert done.json["columns"] == ["cut"]


@pytest.mark.xfail(strict=True, reason="a leading comment is taken for an option")
def test_sql_may_begin_with_a_comment(read: Fabric) -> None:
    """The documented queries are printed under comments, and are pasted with them."""
    done = read.cli("sql", "--json", "-- Event counts\nSELECT 1 AS one;")
    assert done.code == 0, done
    assert done.json == {"columns": ["one"], "rows": [[1]]}


@pytest.mark.parametrize(
    "arguments",
    [["events", "-n", str(2**70)], ["dlq", "list", "-n", "0"], ["events", "-n", "-1"], ["tail", "-n", "-1"]],
    ids=" ".join,
)
@pytest.mark.xfail(strict=True, reason="no range is set for the number")
def test_number_out_of_range_is_wrong_usage(read: Fabric, arguments: list[str]) -> None:
    following = ["--no-follow"] if arguments[0] == "tail" else []
    assert read.cli(*arguments, *following).code == 2


def test_unexpected_error_exits_70(read: Fabric) -> None:
    script = (
        "import sys\n"
        "from dsmil.infrastructure import status\n"
        "def broken(*_): raise RuntimeError('as never expected')\n"
        "status.collect = broken\n"
        "from dsmil.cli import main\n"
        "sys.argv = ['dsmil', 'status']\n"
        "main()\n"
    )
    done = run(sys.executable, "-c", script, env=read.env)
    assert done.code == 70
    assert "as never expected" in done.complaint
    shown = run(sys.executable, "-c", script, env=read.env | {"LOG_LEVEL": "DEBUG"})
    assert "Traceback" in shown.err


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
    assert [step["stage"] for step in steps] == ["source", "detection"]
    assert "no finding" in steps[1]["text"]
    assert "no_alert" in steps[1]["text"]
    shown = read.cli("why", flow)
    assert shown.code == 0
    assert "no finding of it: no_alert" in shown.out


def test_why_of_a_record_with_a_finding_leads_to_it(read: Fabric) -> None:
    finding, record, _ = _ids(read)
    steps = read.json("why", record)["steps"]
    assert steps[-1]["detail"] == {"event_id": finding}
    assert "published" in steps[-1]["text"]


@pytest.mark.parametrize("unknown", ["00000000-0000-7000-8000-000000000000", "", "' OR 1=1 --", "1-0", "\x1b[31m"])
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
        return [x for x in read.json("dlq", "list") if x.get("entry_id") == entry]

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


# Starting


def test_both_ways_to_call_it() -> None:
    env = environment()
    script = run(Path(sys.executable).with_name("dsmil"), "--version", env=env)
    module = dsmil("--version", env=env)
    assert script == module
    assert script.code == 0
    assert script.out.startswith("dsmil, version ")


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_starting_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from dsmil.cli import main\n"
        "sys.argv = ['dsmil', *sys.argv[1:]]\n"
        "try:\n    main()\n"
        "except SystemExit as exc:\n    assert not exc.code, exc.code\n"
        "heavy = {'redis', 'rich', 'apsw', 'structlog', 'httpx2', 'prometheus_client', 'asyncio', 'sqlite3'}\n"
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)\n"
    )
    done = run(sys.executable, "-c", script, *arguments, env=environment())
    assert done.code == 0, done
    assert done.complaint == "[]"


def test_every_command_has_help() -> None:
    env = environment()
    listing = dsmil("--help", env=env)
    assert listing.code == 0
    commands = {"up", "down", "status", "events", "tail", "why", "sql", "publish", "ingest", "dlq", "run"}
    assert commands <= set(listing.out.split())
    for code in (65, 66, 69, 70, 75, 78, 130):
        assert str(code) in listing.out, "exit codes are documented"
    for command in sorted(commands):
        done = dsmil(command, "--help", env=env)
        assert done.code == 0
        assert "Usage: " in done.out


@pytest.mark.parametrize("arguments", [["no-such-command"], ["events", "--no-such-option"], ["why"], ["ingest"]])
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    assert dsmil(*arguments, env=environment()).code == 2


@pytest.mark.parametrize(
    "setting",
    [{"REDIS_PORT": "many"}, {"SHRINK_URL": "ftp://x"}, {"REDIS_URL": "http://x"}, {"LOG_LEVEL": "LOUD"}],
    ids=lambda setting: next(iter(setting)),
)
def test_wrong_setting_exits_78_and_names_it(tmp_path: Path, setting: dict[str, str]) -> None:
    done = dsmil("status", env=environment(DSMIL_STATE_DIR=tmp_path, **setting))
    assert done.code == 78
    assert next(iter(setting)) in done.complaint


@pytest.mark.parametrize(
    "arguments", [["tail", "--no-follow"], ["dlq", "list"], ["dlq", "show", "1-0"], ["publish", "L3_OUT", "-"]]
)
def test_without_a_broker_commands_exit_69(tmp_path: Path, closed_port: int, arguments: list[str]) -> None:
    env = environment(DSMIL_STATE_DIR=tmp_path, REDIS_URL=f"redis://127.0.0.1:{closed_port}/0")
    done = dsmil(*arguments, env=env, given='{"source_device": 15}\n')
    assert done.code == 69
    assert str(closed_port) in done.complaint


def test_reader_of_a_pipe_may_leave(read: Fabric) -> None:
    """``dsmil tail ... | head -1`` ends quietly."""
    shell = run(
        *("bash", "-c", 'set -o pipefail; "$0" -m dsmil tail L3_IN -n 1000 --no-follow --json | head -c 10'),
        sys.executable,
        env=read.env,
    )
    assert shell.err == ""
    assert len(shell.out) == 10
