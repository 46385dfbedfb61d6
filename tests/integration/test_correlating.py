"""Layer 4 on a real broker: findings in, groups out beside them, the same after kills, and explained."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.property.correlating import feed, finding

from dsmil.config import Settings
from dsmil.correlation import fusion, risk, tactics
from dsmil.errors import ConfigError
from dsmil.events import codec
from dsmil.events.model import Event
from dsmil.events.streams import StreamName
from dsmil.infrastructure.groups import ledger_key
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.catalogue import correlator_classes, make_parts
from dsmil.services.soc_router import SERVICE as ROUTER
from dsmil.services.store_writer import SERVICE as STORE_WRITER
from dsmil.services.supervisor import Supervisor
from dsmil.services.why import find_steps
from dsmil.testing.running import Running
from dsmil.testing.waiting import until

NAMES = sorted(correlator_classes())


def attack(number: int = 120) -> list[Event]:
    """Return findings about a few hosts and users: repeats, worse ones, an attack in its order."""
    techniques = ["T1190", "T1059", "T1078", "T1046", "T1048", "T1486"]
    severities = ["LOW", "MEDIUM", "HIGH", "MEDIUM", "LOW", "CRITICAL"]
    return [
        finding(
            n,
            f"host:web{n % 7 % 3}",
            *((f"user:u{n % 5}",) if n % 4 == 0 else ()),
            ts=n * 37 % 2000,
            rule=f"r{n % 6}",
            severity=severities[n * n % 6],
            techniques=[techniques[n // 20 % 6]],
            score=None if n % 3 else 0.4,
        )
        for n in range(number)
    ]


def lately(number: int) -> list[Event]:
    """Return such findings of the last hour: the store does not keep old ones."""
    ahead = time.time() - 3600 - attack(1)[0].ts
    return [event.replace(ts=event.ts + ahead, ingest_ts=event.ingest_ts + ahead) for event in attack(number)]


def wanted(events: list[Event]) -> dict[str, bytes]:
    made = [*feed(fusion.Fusion(), events), *feed(tactics.Tactics(), events), *feed(risk.Threat(), events)]
    return {event.event_id: codec.encode(event) for event in made}


def published(bus: RedisStreamsClient) -> dict[str, bytes]:
    return {event.event_id: codec.encode(event) for _, event in bus.read(StreamName.L4_OUT, count=100_000)}


def hashed(outputs: dict[str, bytes]) -> str:
    return hashlib.sha256(b"\n".join(outputs[one] for one in sorted(outputs))).hexdigest()


def settled(bus: RedisStreamsClient, number: int) -> bool:
    counts = [bus.client.hgetall(ledger_key("L3_OUT", name)) for name in NAMES]
    return all(sum(int(n) for field, n in one.items() if field != b"outputs") >= number for one in counts)


def test_killed_again_and_again_the_outputs_are_those_of_an_uninterrupted_run(
    bus: RedisStreamsClient, settings: Settings
) -> None:
    events = attack()
    environment = os.environ | {
        "REDIS_URL": str(settings.redis_url),
        "DSMIL_STATE_DIR": str(settings.state_dir),
        "HOTPATH_DB": settings.hotpath_db,
    }
    command = [sys.executable, "-m", "dsmil", "run", *NAMES, "--metrics-port", "0"]
    for part in range(4):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        try:
            mine = events[part * 30 : part * 30 + 30]
            bus.publish_many(StreamName.L3_OUT, mine[:15])
            # Killed somewhere in the work; the last one goes on to the end.
            until(lambda n=part * 30 + 5: settled(bus, n))  # type: ignore[misc]
            bus.publish_many(StreamName.L3_OUT, mine[15:])
            if part == 3:
                until(lambda: settled(bus, len(events)))
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait(20)
    expected = wanted(events)
    assert len(expected) > 30
    assert hashed(published(bus)) == hashed(expected)


def run_all(settings: Settings, bus: RedisStreamsClient, events: list[Event]) -> list[dict[str, Any]]:
    bus.publish_many(StreamName.L3_OUT, events)
    parts = [Running(part) for part in make_parts([*NAMES], settings)]
    number = len(events) + len(wanted(events))
    services = (Running(ROUTER(settings=settings)), Running(STORE_WRITER(settings)))
    with parts[0], parts[1], parts[2], services[0], services[1], HotPathDB(settings=settings) as db:
        until(lambda: len(db.get_recent_soc_events(limit=10_000)) == number)
        return db.get_recent_soc_events(limit=10_000)


def test_groups_come_beside_the_findings_and_are_explained(bus: RedisStreamsClient, settings: Settings) -> None:
    events = lately(120)
    rows = run_all(settings, bus, events)
    assert {event.event_id for event in events} <= {row["event_id"] for row in rows}, "findings go on as before"
    of_layer_4 = [row for row in rows if row["source_layer"] == 4]
    assert {row["source_device"] for row in of_layer_4} == {25, 27, 29}
    assert all(row["correlation_id"] and row["signals"]["l4"]["label"] for row in of_layer_4)
    with HotPathDB(settings=settings) as db:
        for row in of_layer_4:
            steps = find_steps(row["event_id"], db)
            assert steps is not None
            assert [step.stage for step in steps][-5:] == [
                *("correlation", "detection", "fusion", "escalation", "publication")
            ]
            members = [step for step in steps if step.stage == "member" and step.detail]
            assert members
            assert all(db.get_event(step.detail["event_id"])["soc"] for step in members), "each can be asked for"
    raw = bus.client.xinfo_groups("L4_OUT")
    assert not {row["name"].decode() for row in raw} & set(NAMES), "they do not read what they write"


RULES = """
[[dedupe]]
name = "hosts"
key = ["rule", "host"]
window = "1d"

[[dedupe]]
name = "by a field that is not there"
key = ["payload.nothing"]

[[dedupe]]
name = "of a detector that is not there"
detector = ["l3-nobody"]
key = ["rule"]
"""


def dsmil(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"DSMIL_STATE_DIR": str(settings.state_dir), "HOTPATH_DB": settings.hotpath_db}
    command = [sys.executable, "-m", "dsmil", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_preview_counts_what_each_rule_would_make_of_the_findings(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path
) -> None:
    events = lately(40)
    run_all(settings, bus, events)
    path = tmp_path / "dedupe.toml"
    path.write_text(RULES)
    done = dsmil(settings, "dedupe", "preview", "--file", str(path), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["findings"] == 40
    hosts, absent, nobody, default = told["rules"]
    things = {(event.payload["rule"]["id"], next(e.value for e in event.entities)) for event in events}
    assert (hosts["findings"], hosts["things"], hosts["problem"]) == (40, len(things), "")
    assert sum(sample["count"] for sample in hosts["samples"]) > 3
    assert absent["problem"] == "never used: each finding it is about lacks a field of its key"
    assert nobody["problem"] == "never used: no finding is of its detector, source or rule"
    assert default["findings"] == 0
    plain = dsmil(settings, "dedupe", "preview", "--file", str(path))
    assert f"hosts: {len(things)} of 40 findings" in plain.stdout
    assert "never used" in plain.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[dedupe]]\nname = 'x'\nkey = []", "rule 'x': key is empty"),
        ("[[dedupe]]\nname = 'x'\nkey = ['rule']\nwindow = 'soon'", "window='soon' is not a time"),
        ("[[dedupe]]\nname = 'x'\nkey = ['colour']", "key='colour' is not known; use rule, detector"),
        ("[[dedupe]]\nname = 'x'\nkey = ['rule']\nkeys = 1", "unknown field `keys`"),
        ("[[dedupe]]\nname = 'x'\nkey = ['rule']\n" * 2, "a name of its own"),
        ("[[dedupe", "dedupe.toml"),
    ],
)
def test_rules_that_cannot_be_used_are_told_before_anything_starts(
    settings: Settings, tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "dedupe.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Supervisor(settings.replace(dedupe=str(path))).start()
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
