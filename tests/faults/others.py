"""What scenarios A7-A17 share beside the rig: more services, a fast producer, figures of processes."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.faults import checker
from tests.faults.crew import Slot
from tests.faults.load import Load
from tests.faults.rig import Rig

from dsmil.events.streams import StreamName
from dsmil.services.catalogue import correlator_classes

_COPIES_APART: Final = 10_000_000


def janitor(rig: Rig) -> Slot:
    """Run the janitor, and the correlators where no detector runs them: it keeps what any service has not read."""
    if "detect-0" not in rig.crew.slots:
        rig.crew.add("correlate", "run", *correlator_classes(), "--metrics-port", "0")
    return rig.crew.add("janitor", "run", "janitor", "--metrics-port", "0")


def auditor(rig: Rig) -> Slot:
    return rig.crew.add("auditor", "run", "auditor", "--metrics-port", "0")


def producer(
    rig: Rig, *, rate: float, most: int, stream: StreamName = StreamName.L3_OUT, seed: random.Random | None = None
) -> Load:
    """Start a producer of large batches; its copies have numbers of their own."""
    load = Load(rig.settings, seed or rig.chance, rate=rate, most=most, stream=stream)
    load._copies = _COPIES_APART * (1 + len(rig._loads))
    rig._loads.append(load)
    load.start()
    return load


def put_in(rig: Rig, number: int, stream: StreamName = StreamName.L3_OUT, timeout_s: float = 600.0) -> Load:
    """Publish ``number`` events, or a few more, as fast as the broker takes them."""
    load = producer(rig, rate=1e6, most=500, stream=stream)
    rig.accept(load, number, timeout_s)
    load.finish()
    return load


def rss(pid: int) -> int:
    """Return the resident memory of a process, bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


def latencies(rig: Rig, copies: Mapping[int, str] | None = None) -> dict[int, float]:
    """Return, by copy number, the seconds from L3_OUT to SOC_EVENTS by the broker's own clock."""
    came = _times(rig, "L3_OUT")
    left = _times(rig, "SOC_EVENTS")
    wanted = came.keys() if copies is None else copies.keys()
    return {n: (left[n] - came[n]) / 1000 for n in wanted if n in came and n in left}


def _times(rig: Rig, stream: str) -> dict[int, int]:
    import json

    found: dict[int, int] = {}
    after = "-"
    while True:
        rows: Any = rig.client.xrange(stream, min=after, count=5000)
        for entry_id, fields in rows:
            copy = checker._copy(json.loads(fields[b"event"]))
            found.setdefault(copy.number, int(entry_id.split(b"-")[0]))
        if len(rows) < 5000:
            return found
        after = f"({rows[-1][0].decode()}"


def percentile(values: Mapping[int, float], share: float) -> float:
    ordered = sorted(values.values())
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def log_of(slot: Slot) -> str:
    return slot.log.read_text("utf-8", "replace")
