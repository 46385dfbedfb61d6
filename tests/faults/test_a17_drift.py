"""A17: producers of an older and of a newer version: every event is a row, and every unknown field is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.faults import checker
from tests.faults.report import Row, Tier
from tests.faults.rig import Rig

_AGE = ("older", "newer", "odd")


def _drifted(rig: Rig, n: int) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return the kind, the document, and its fields that this version does not know."""
    kind = _AGE[n % len(_AGE)]
    document: dict[str, Any] = {
        "event_id": f"drift-{n}",
        "ts": 1_700_000_000.0 + n,
        "source_device": 16,
        "source_layer": 3,
        "category": "NETWORK",
        "severity": "LOW",
        "payload": {"copy": n, "decision": f"drift {n}"},
    }
    if kind == "older":
        for name in rig.chance.sample(["source_layer", "category", "severity", "ts"], rig.chance.randint(1, 4)):
            del document[name]
        return kind, document, {}
    new: dict[str, Any] = {
        f"new_{rig.chance.randrange(50)}": rig.chance.choice(
            [1, 2.5, "x", [1, {"a": None}], {"deep": {"er": [True]}}, None]
        )
        for _ in range(rig.chance.randint(1, 5))
    } | {"schema_version": rig.chance.randint(2, 99)}
    if kind == "odd":
        document |= {"severity": rig.chance.choice(["CATASTROPHIC", 7, None]), "category": "QUANTUM"}
    return kind, document | new, new


@pytest.mark.scenario("A17 drift")
def test_drift(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    with make_rig() as rig:
        rig.router()
        rig.store()
        wanted: dict[str, tuple[str, dict[str, Any]]] = {}
        pipeline = rig.client.pipeline(transaction=False)
        for n in range(1, tier.pick(3000, 100_000) + 1):
            kind, document, new = _drifted(rig, n)
            wanted[document["event_id"]] = kind, new
            pipeline.xadd("L3_OUT", {"event": json.dumps(document)})
            if n % 500 == 0:
                pipeline.execute()
        pipeline.execute()
        row.injected = len(wanted)
        row.judge(rig.finish(drain_s=tier.pick(30, 300)))
        rows = checker.rows(rig.settings, "SELECT event_id, severity, category, context FROM soc_events_cache")
        assert {event_id for event_id, *_ in rows} == wanted.keys()
        for event_id, severity, category, context in rows:
            kind, new = wanted[event_id]
            assert json.loads(context).get("extra", {}) == new, event_id
            if kind == "odd":
                assert (severity, category) == ("HIGH", "SECURITY")
                flags = json.loads(context)["flags"]
                assert "unknown_category:QUANTUM" in flags
                assert any("severity" in flag for flag in flags)
