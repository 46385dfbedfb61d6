"""A9: ten poison entries among ten thousand: ten dead letters after five tries alone, and nobody else suffers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.faults.others import latencies, percentile
from tests.faults.report import Row, Tier
from tests.faults.rig import Rig
from tests.faults.witness import Lens

from dsmil.testing.waiting import until

POISON = 10


@pytest.mark.scenario("A9 poison")
@pytest.mark.parametrize("kind", ["raise", "die"])
def test_poison(make_rig: Callable[..., Rig], tier: Tier, row: Row, kind: str) -> None:
    with make_rig(mutant="fragile") as rig:
        load = rig.load(rate=1000)
        router = rig.router()
        rig.store()
        rig.accept(load, 2000)
        early = set(load.accepted)  # while it all starts
        rig.accept(load, 4000)
        calm = load.accepted.keys() - early
        for n in range(1, POISON + 1):
            rig.accept(load, 450)
            body = json.loads(load._body(-n, f"poison-{n}"))
            body["payload"]["poison"] = kind
            rig.client.xadd("L3_OUT", {"event": json.dumps(body)})
            row.injected += 1
            if kind == "die":
                until(lambda n=n: rig.client.xlen("DEAD_LETTERS") >= n, 60, "the dead letter")  # type: ignore[misc]
        rig.accept(load, 500)
        load.finish()
        until(lambda: rig.client.xlen("DEAD_LETTERS") >= POISON, 60, "the dead letters")
        until(rig.at_rest, 30, "rest")
        rows: Any = rig.client.xrange("DEAD_LETTERS")
        letters = {fields[b"event_id"].decode(): fields for _, fields in rows}
        assert letters.keys() == {f"poison-{n}" for n in range(1, POISON + 1)}
        assert {int(fields[b"attempts"]) for fields in letters.values()} == {5}
        assert len(rows) == POISON
        deaths = len(router.deaths)
        if kind == "die":  # once in a batch at most, then five times alone
            assert 5 * POISON <= deaths <= 6 * POISON
            router.expected_kills = deaths
        else:
            assert deaths == 0
        times = latencies(rig)
        before = percentile({n: s for n, s in times.items() if n in calm}, 0.99)
        after = percentile({n: s for n, s in times.items() if n not in calm | early and n > 0}, 0.99)
        row.note = (
            f"{len(load.accepted)} entries, {deaths} deaths, p99 {before * 1000:.0f} -> {after * 1000:.0f} ms"
        )
        ledger: Any = rig.client.hgetall("dsmil:ledger:L3_OUT:soc-router")
        assert int(ledger[b"dead"]) == POISON
        rig.client = Lens(rig.client, without=range(-POISON, 0), letters=POISON)  # type: ignore[assignment]
        row.judge(rig.finish(load))
        if kind == "raise":
            # The short tier shares its cores with whatever else runs, and its p99 are a few dozen entries.
            assert after <= 2 * max(before, tier.pick(0.1, 0.01))
