"""Suricata's log goes through a whole fabric: by its file, and by the Redis list it pushes to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.acceptance.fabric_process import Fabric, assert_balanced
from tests.integration.listening import Process, free_port
from tests.sensors.pcap import End
from tests.sensors.suricata import build, watch
from tests.sensors.traffic import BEGIN, CLIENT, conversations, lookup

from dsmil.config import Settings
from dsmil.events.model import Event
from dsmil.events.streams import StreamName
from dsmil.infrastructure.broker import bundled_binary
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.letters import read_letters
from dsmil.testing.servers import PrivateServer
from dsmil.testing.waiting import until

#: Enough for several batches of the listener.
LOOKUPS = 500
#: Two outputs, as docs/listen.md shows the second. Suricata lets only one of them write anomalies.
CONFIGURATION = """%YAML 1.1
---
include: {folder}/suricata.yaml
outputs:
  - eve-log:
      enabled: yes
      filetype: regular
      filename: eve.json
      types: [alert, http, dns, tls, files, flow, stats]
  - eve-log:
      enabled: yes
      filetype: redis
      redis:
        server: 127.0.0.1
        port: {port}
        mode: list
        key: suricata
      types: [alert, http, dns, tls, files, flow, stats]
"""


def test_its_alert_is_a_soc_event(tmp_path: Path) -> None:
    log = watch(tmp_path, conversations())
    written = len(log.read_bytes().splitlines())
    with Fabric(tmp_path / "state", SHRINK_URL="http://127.0.0.1:9") as fabric:
        tally = fabric.json("ingest", "suricata-eve", log)
        assert (tally["records"], tally["published"], tally["dead"], tally["partial"]) == (written, written, 0, 0)
        status = fabric.settled()
        assert status["broker"]["dead_letters"] == 0
        assert_balanced(status)
        (event,) = [row for row in fabric.json("events") if row["payload"]["detector"] == "l3-suricata-alert"]
        assert (event["ts"], event["severity"]) == (BEGIN + 3, "HIGH")
        assert event["payload"]["rule"]["name"] == "the word"
        assert event["context"]["techniques"] == ["T1041"]
        told = fabric.json("why", event["event_id"])["steps"]
        assert {"source", "detection", "publication"} <= {step["stage"] for step in told}
        assert f"suricata record from {log}:" in fabric.cli("why", event["event_id"]).out
        kept = fabric.rows("SELECT payload FROM raw_events_fast WHERE source = 'suricata' AND device_id = 5")
        records = [json.loads(line) for line in log.read_text().splitlines()]
        assert sorted(json.dumps(json.loads(payload)) for (payload,) in kept) == sorted(map(json.dumps, records))


def test_what_it_pushes_to_a_list_arrives_whole(
    bus: RedisStreamsClient, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list lies at a broker of its own, by TCP: its configuration knows hosts and ports only."""
    built = build()
    if built.get("hiredis support") != "yes":
        pytest.skip("this Suricata was built without Redis")
    port, folder = free_port(), built["Configuration directory"]
    packets = [*conversations()]
    for number in range(LOOKUPS):
        packets += lookup(BEGIN + 10 + number, End(CLIENT, 41000 + number), f"n{number}.example.net")
    (tmp_path / "suricata.yaml").write_text(CONFIGURATION.format(port=port, folder=folder))
    monkeypatch.setenv("DSMIL_LISTEN_FROM", f"redis://127.0.0.1:{port}/0")
    with (
        PrivateServer(bundled_binary(), ("--port", str(port), "--bind", "127.0.0.1")) as server,
        redis.Redis.from_url(server.url, protocol=2) as there,
        Process(settings, "redis-list", "suricata", "--consumer", "me"),
    ):
        log = watch(tmp_path, packets, "-c", tmp_path / "suricata.yaml")
        written = [json.loads(line) for line in log.read_text().splitlines()]
        assert len(written) > 3 * LOOKUPS
        until(lambda: bus.client.xlen(StreamName.L3_IN.value) >= len(written), what="as many events as records")
        until(lambda: not there.exists("suricata", "dsmil:list:suricata:me"))
    events = [event for _, event in bus.read(StreamName.L3_IN, count=2 * len(written))]
    assert len({event.event_id for event in events}) == len(events) == len(written)
    assert read_letters(settings, 10)[0] == []
    assert all(("host", event.payload["host"], "sensor") in _named(event) for event in events)
    assert _told(event.payload for event in events) == _told(written)


def _named(event: Event) -> set[tuple[str, str, str]]:
    return {(one.type, one.value, one.role) for one in event.entities}


def _told(records: Iterable[dict[str, Any]]) -> Counter[str]:
    """Return what records say, without the sensor's name, which Suricata adds to what it pushes.

    The two outputs count ``stats`` at moments of their own.
    """
    return Counter(
        "stats" if record["event_type"] == "stats" else json.dumps({**record, "host": ""}, sort_keys=True)
        for record in records
    )
