"""What a newer version left behind: a store is refused with the remedy, events go through whole."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.fabric_process import Done, Fabric, assert_balanced, dsmil, environment

from dsmil.infrastructure.broker import Broker
from dsmil.infrastructure.sql import schema_steps
from dsmil.infrastructure.store import Store

KNOWN = schema_steps()[-1][0]


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """Return a state directory whose hot store has one schema step more than this version knows."""
    state = tmp_path / "state"
    store = Store(state / "hotpath.db")
    store.migrate()
    store.close()
    with contextlib.closing(sqlite3.connect(state / "hotpath.db")) as connection, connection:
        connection.execute("INSERT INTO schema_steps VALUES (?, '9999_later.sql', 0)", (KNOWN + 1,))
        connection.execute("CREATE TABLE later (x)")
    return state


def refusal(state: Path) -> str:
    path = state / "hotpath.db"
    return (
        f"dsmil: {path} has schema step {KNOWN + 1}, this version knows {KNOWN}; use the version that wrote it,"
        f" or stop everything and `rm {path}*`: it is filled again from snapshot and streams"
    )


@pytest.fixture
def env(newer: Path, runtime: dict[str, str], broker: Broker) -> dict[str, str]:
    return environment(DSMIL_STATE_DIR=newer, REDIS_URL=broker.url, **runtime)


def test_up_starts_nothing(newer: Path, env: dict[str, str]) -> None:
    done = dsmil("up", env={name: value for name, value in env.items() if name != "REDIS_URL"})
    assert (done.code, done.out, done.complaint) == (69, "", refusal(newer))
    assert not (newer / "broker").exists()
    assert not (newer / "instance.json").exists()


@pytest.mark.parametrize("command", [("events",), ("why", "some-id")], ids=lambda command: command[0])
def test_a_command_that_reads_rows_refuses(newer: Path, env: dict[str, str], command: tuple[str, ...]) -> None:
    done = dsmil(*command, env=env)
    assert (done.code, done.out, done.complaint) == (69, "", refusal(newer))


def test_status_says_it_in_place_of_the_store(newer: Path, env: dict[str, str]) -> None:
    done = dsmil("status", env=env)
    assert done.code == 1
    assert refusal(newer).removeprefix("dsmil: ") in done.out
    assert dsmil("status", "--json", env=env).json["store"]["error"] == refusal(newer).removeprefix("dsmil: ")


def test_sql_still_reads_it(env: dict[str, str]) -> None:
    """Looking does no harm, and it is how one sees what is in such a file."""
    done: Done = dsmil("sql", "--json", "SELECT max(step) FROM schema_steps", env=env)
    assert (done.code, done.json["rows"]) == (0, [[KNOWN + 1]])


def test_doctor_says_it(newer: Path, env: dict[str, str]) -> None:
    found = dsmil("doctor", "--json", env=env).json
    assert [one["severity"] for one in found if one["check"] == "store.schema"] == ["error"], newer


def test_the_store_writer_ends_and_says_why(newer: Path, env: dict[str, str]) -> None:
    done = dsmil("run", "store-writer", "--metrics-port", "0", env=env)
    assert done.code == 69
    said = [json.loads(line) for line in done.err.splitlines()]
    (error,) = [line for line in said if line["event"] == "host.store_too_new"]
    assert (error["level"], error["part"]) == ("error", "store-writer")
    assert error["cause"] == refusal(newer).removeprefix("dsmil: ")
    assert "Traceback" not in done.err
    with contextlib.closing(sqlite3.connect(newer / "hotpath.db")) as connection:
        assert connection.execute("SELECT max(step) FROM schema_steps").fetchone() == (KNOWN + 1,)


def test_removing_it_is_the_remedy(newer: Path, runtime: dict[str, str]) -> None:
    for file in newer.glob("hotpath.db*"):
        file.unlink()
    with Fabric(newer, **runtime) as running:
        running.send("after-the-removal")
        assert running.wait_row("after-the-removal")["severity"] == "MEDIUM"


# Events of a newer version

LATER: dict[str, Any] = {
    "version": 7,
    "tlp": "amber",
    "confidence": {"value": 0.9, "by": ["model", None]},
    "categories": ["NETWORK", "CLOUD"],
}
PEOPLE = [{"type": "user", "value": "alice", "role": "src", "realm": "example", "weight": 2}]


def test_events_with_unknown_fields_all_go_through_whole(fabric: Fabric) -> None:
    names = [f"later-{number}" for number in range(200)]
    for number, name in enumerate(names):
        fabric.send(name, stream=("L3_OUT", "L4_OUT")[number % 2], entities=PEOPLE, number=number, **LATER)
    for number, name in enumerate(names):
        row = fabric.wait_row(name)
        assert row["context"]["extra"] == {**LATER, "number": number, "entities": PEOPLE}
        assert row["context"]["entities"] == [{"type": "user", "value": "alice", "role": "src"}]
        raw = fabric.row(name, "raw_events_fast")
        assert raw is not None
        assert raw["context"]["extra"] == row["context"]["extra"]
    with fabric.redis() as client:
        entries: Any = client.xrange("SOC_EVENTS")
    fused = [json.loads(fields[b"event"]) for _, fields in entries]
    assert {e["event_id"] for e in fused if LATER.items() <= e.items() and e["entities"] == PEOPLE} >= set(names)
    assert_balanced(fabric.settled())


def test_a_raw_record_of_a_newer_version_is_kept_whole(fabric: Fabric) -> None:
    fabric.send("later-raw", stream="L3_IN", **LATER)
    fabric.settled()
    row = fabric.row("later-raw", "raw_events_fast")
    assert row is not None
    assert row["context"]["extra"] == LATER


def test_a_soc_event_of_a_newer_router_is_stored_whole(fabric: Fabric) -> None:
    fabric.send("later-soc-model")
    fabric.wait_row("later-soc-model")
    with fabric.redis() as client:
        newest: Any = client.xrevrange("SOC_EVENTS", count=50)
        events = (json.loads(fields[b"event"]) for _, fields in newest)
        document = next(event for event in events if event["event_id"] == "later-soc-model")
        document |= {"event_id": "later-soc", **LATER}
        document["l8_enrichment"]["a_later_list"] = ["x"]
        document["signals"]["l5"] = {"label": "drift"}
        client.xadd("SOC_EVENTS", {"event": json.dumps(document)})
    row = fabric.wait_row("later-soc")
    assert row["context"]["extra"] == LATER
    assert json.loads(row["l8_enrichment"])["a_later_list"] == ["x"]
    assert row["signals"]["l5"] == {"label": "drift"}
    why = fabric.cli("why", "later-soc")
    assert why.code == 0, why


def test_words_of_a_newer_version_are_flagged_never_lost(fabric: Fabric) -> None:
    fabric.send("later-words", severity="SEVERE", category="CLOUD", event_version="2.1", **LATER)
    row = fabric.wait_row("later-words")
    assert (row["severity"], row["category"]) == ("HIGH", "SECURITY")
    assert row["context"]["flags"] == ["unknown_severity:SEVERE", "unknown_category:CLOUD"]
    assert row["context"]["extra"] == LATER | {"event_version": "2.1"}
