"""Detector l3-sigma: one finding for each match, with everything that explains it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dsmil.detections._rules import RuleKeeper
from dsmil.detections.sigma import MAX_RAW_BYTES, Sigma
from dsmil.events.handling import Delivery, Drop, Outcome, Publish, Telling
from dsmil.events.model import Entity, Event
from dsmil.events.streams import StreamName
from dsmil.testing.factories import make_event

SYSMON = {"Channel": "Microsoft-Windows-Sysmon/Operational", "EventID": 1}
VSSADMIN = SYSMON | {
    "Image": "C:\\Windows\\System32\\vssadmin.exe",
    "CommandLine": "vssadmin.exe delete shadows /all",
}


def record(payload: dict[str, Any], **fields: Any) -> Event:
    given = {"source": "windows", "source_device": 5, "category": "SYSTEM", "ts": 1_700_000_000.0}
    return make_event(payload, **(given | fields))


def deliver(*events: Event) -> list[Delivery]:
    return [Delivery(stream=StreamName.L3_IN, entry_id=f"{n}-0", event=one) for n, one in enumerate(events, 1)]


def findings(outcome: Outcome) -> list[Event]:
    assert isinstance(outcome, Publish)
    assert {stream for stream, _ in outcome.outputs} == {StreamName.L3_OUT}
    return [event for _, event in outcome.outputs]


def test_a_finding_says_what_matched_and_why() -> None:
    event = record(VSSADMIN, entities=[Entity("host", "ws1")], origin="sysmon.json:7")
    (outcome,) = Sigma().handle(deliver(event))
    (finding,) = findings(outcome)
    payload = finding.payload
    assert payload["rule"]["name"] == "Shadow copies deleted"
    assert payload["rule"]["revision"].startswith("2026-")
    assert payload["matched"] == {key: VSSADMIN[key] for key in ("Image", "CommandLine")}
    assert (payload["detector"], payload["level"], payload["tactics"]) == ("l3-sigma", "critical", ["TA0040"])
    assert payload["raw"] == VSSADMIN
    assert (finding.severity, finding.techniques) == ("CRITICAL", ("T1490",))
    assert (finding.source_device, finding.source_layer, finding.source) == (20, 3, "windows")
    assert (finding.evidence, finding.entities, finding.origin) == (
        (event.event_id,),
        event.entities,
        "sysmon.json:7",
    )
    assert finding.ts == event.ts


def test_the_same_record_gives_the_same_finding() -> None:
    event = record(VSSADMIN)
    assert Sigma().handle(deliver(event)) == Sigma().handle(deliver(event))


def test_what_is_not_published_has_its_reason() -> None:
    events = [record(SYSMON), record({"x": 1}, source="a feed of one's own")]
    assert Sigma().handle(deliver(*events)) == [Drop("no_match"), Drop("no_rules_for_feed")]


def test_a_large_record_is_referred_to() -> None:
    event = record(VSSADMIN | {"Description": "x" * MAX_RAW_BYTES})
    (finding,) = findings(Sigma().handle(deliver(event))[0])
    assert "raw" not in finding.payload
    assert finding.payload["reference"]["event_id"] == event.event_id


def _failed(number: int, ts: float) -> Event:
    payload = {"Channel": "Security", "EventID": 4625, "IpAddress": "192.0.2.9", "LogonType": 3}
    return record(payload | {"TargetUserName": "kim", "n": number}, ts=ts)


def test_correlations_fire_over_batches_and_base_rules_stay_silent() -> None:
    detector = Sigma()
    events = [_failed(n, 1_700_000_000.0 + n) for n in range(10)]
    outcomes = [*detector.handle(deliver(*events[:6])), *detector.handle(deliver(*events[6:]))]
    assert outcomes[:9] == [Drop("no_match")] * 9
    (finding,) = findings(outcomes[9])
    assert finding.payload["rule"]["name"] == "Passwords guessed over the network"
    assert finding.payload["matched"] == {"IpAddress": "192.0.2.9"}
    assert finding.payload["correlation"]["measure"] == 10
    assert finding.evidence == tuple(event.event_id for event in events)


def test_a_record_from_a_clock_that_is_ahead_hides_nothing() -> None:
    """It would close the window of its group, so that all others came too late for it."""
    detector = Sigma()
    arrived = 1_700_000_100.0
    ahead = _failed(99, 4_000_000_000.0).replace(ingest_ts=arrived)
    events = [_failed(n, 1_700_000_000.0 + n).replace(ingest_ts=arrived) for n in range(10)]
    outcomes = detector.handle(deliver(ahead, *events))
    assert [isinstance(one, Publish) for one in outcomes] == [False] * 9 + [True, False]


def test_an_event_that_is_handled_again_gives_the_same_findings() -> None:
    detector = Sigma()
    events = [_failed(n, 1_700_000_000.0 + n) for n in range(10)]
    assert detector.handle(deliver(*events)) == detector.handle(deliver(*events))


def test_same_input_same_findings_however_it_is_cut_into_batches() -> None:
    events = [_failed(n, 1_700_000_000.0 + 7 * n % 90) for n in range(200)]
    whole = Sigma().handle(deliver(*events))
    pieces = Sigma()
    one_by_one = [outcome for event in events for outcome in pieces.handle(deliver(event))]
    assert [isinstance(one, Publish) for one in whole].count(True) > 1
    assert whole == one_by_one


def test_without_the_extra_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsmil.detections._rules.available", lambda: "rules need the extra `sigma`")
    detector = Sigma(RuleKeeper([tmp_path]))
    assert detector.handle(deliver(record(VSSADMIN))) == [Drop("no_rules")]
    assert detector.notes()["rules_lacking"] == "rules need the extra `sigma`"


def test_the_product_starts_where_the_extra_is_not_installed() -> None:
    """Nothing but reading rules may need its packages."""
    script = """
import sys
for name in ("ahocorasick", "re2", "sigma", "yaml"):
    sys.modules[name] = None
import dsmil.detections
from dsmil.registry import discover
detector = discover(dsmil.detections, "DETECTOR")["l3-sigma"]()
from dsmil.events.handling import Delivery
from dsmil.events.streams import StreamName
from dsmil.testing.factories import make_event
print(detector.handle([Delivery(stream=StreamName.L3_IN, entry_id="1-0", event=make_event({}))]))
print(detector.notes()["rules_lacking"])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "no_rules" in done.stdout
    assert "pip install 'dsmil[sigma]'" in done.stdout


def test_its_heartbeat_tells_about_the_rules(tmp_path: Path) -> None:
    (tmp_path / "bad.yml").write_text("title: nothing else\n")
    keeper = RuleKeeper([tmp_path])
    detector = Sigma(keeper)
    assert isinstance(detector, Telling)
    detector.handle(deliver(record(SYSMON)))
    assert detector.notes()["rules"] >= 20
    assert detector.notes()["rules_not_usable"] == 1
    assert detector.checks() == {"rules": ""}
    (tmp_path / "worse.yml").write_text("title: nothing either\n")
    keeper.look()
    assert "worse.yml" in detector.checks()["rules"]
