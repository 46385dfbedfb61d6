"""A1: SIGKILL at every step of ``dsmil ingest FILE --follow``: each line becomes one event."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.faults import checker
from tests.faults.crew import Life
from tests.faults.points import INGEST
from tests.faults.report import Row, Tier
from tests.faults.rig import Rig

from dsmil.testing.waiting import until


def write(log: Path, first: int, count: int) -> int:
    """Append records with flow ids from ``first`` on; return the next free one."""
    record = {"timestamp": "2026-01-01T00:00:00+0000", "event_type": "flow"}
    with log.open("a") as file:
        file.writelines(json.dumps(record | {"flow_id": n}) + "\n" for n in range(first, first + count))
    return first + count


def events(rig: Rig) -> dict[int, set[str]]:
    """Return the event ids of each line that is in the stream."""
    found: dict[int, set[str]] = {}
    reply: Any = rig.client.xrange("L3_IN")
    for _, fields in reply:
        event = json.loads(fields[b"event"])
        found.setdefault(event["payload"]["flow_id"], set()).add(event["event_id"])
    return found


@pytest.mark.scenario("A1 kills: ingest --follow")
def test_ingest(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    times = tier.pick(4, 20)
    with make_rig() as rig:
        plan = [Life(point=p, nth=rig.chance.randint(1, 4)) for p in INGEST for _ in range(times)]
        rig.chance.shuffle(plan)
        log = rig.folder / "eve.json"
        written = write(log, 1, 100)
        rig.store()
        slot = rig.crew.add("ingest", "ingest", "suricata-eve", str(log), "--follow", lives=plan)
        while slot.planned:
            written = write(log, written, rig.chance.randint(1, 300))
            goal = written - 1
            lives = len(slot.deaths)
            until(lambda goal=goal, lives=lives: len(slot.deaths) > lives or _length(rig) >= goal, 60)  # type: ignore[misc]
        hits: Counter[str] = rig.crew.hits()
        assert {point: hits[point] for point in INGEST} == dict.fromkeys(INGEST, times)
        row.injected = sum(hits.values())
        until(lambda: len(events(rig)) >= written - 1, 30, "every line")
        until(lambda: rig.at_rest(hops=()), 30, "the store")
        rig.crew.stop()
        found = events(rig)
        row.lost = len(set(range(1, written)) - found.keys())
        row.duplicated = sum(len(ids) - 1 for ids in found.values())
        row.note = f"{written - 1} lines, {_length(rig)} entries"
        assert (row.lost, row.duplicated, rig.crew.exits()) == (0, 0, [])
        stored = {ids[0] for ids in checker.rows(rig.settings, "SELECT event_id FROM raw_events_fast")}
        assert stored == set().union(*found.values())
        assert checker.rows(rig.settings, "PRAGMA integrity_check") == [("ok",)]


def _length(rig: Rig) -> int:
    return int(rig.client.xlen("L3_IN"))
