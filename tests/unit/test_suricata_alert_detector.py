"""Device 16: Suricata's alerts as findings, everything else dropped with its reason."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dsmil.detections._sensed import MAX_RAW_BYTES
from dsmil.detections.suricata_alert import SuricataAlert, map_severity
from dsmil.events import codec
from dsmil.events.handling import Delivery, Drop, Outcome, Publish
from dsmil.events.model import Entity, Event, EventCategory, Severity
from dsmil.events.streams import StreamName
from dsmil.sources._feed import RawRecord, Reader
from dsmil.sources._files import RecordFile
from dsmil.sources.suricata_eve import SuricataEve

ALERT: dict[str, Any] = {
    "timestamp": "2023-09-04T12:00:00.5+0300",
    "event_type": "alert",
    "src_ip": "10.0.0.1",
    "src_port": 4444,
    "dest_ip": "10.0.0.2",
    "proto": "TCP",
    "flow_id": 77,
    "alert": {
        "action": "allowed",
        "gid": 1,
        "signature_id": 2001219,
        "rev": 20,
        "signature": "ET SCAN Potential SSH Scan",
        "category": "Attempted Information Leak",
        "severity": 2,
        "metadata": {"mitre_technique_id": ["T1046"], "mitre_tactic_id": ["TA0007"]},
    },
}


def event_of(record: dict[str, Any]) -> Event:
    return Reader(SuricataEve()).event(RawRecord(json.dumps(record).encode(), "eve.json:1"), 2e9)


def answer(*events: Event) -> list[Outcome]:
    batch = [Delivery(stream=StreamName.L3_IN, entry_id=f"1-{n}", event=event) for n, event in enumerate(events)]
    return list(SuricataAlert().handle(batch))


def finding(record: dict[str, Any]) -> Event:
    (outcome,) = answer(event_of(record))
    assert isinstance(outcome, Publish)
    ((stream, event),) = outcome.outputs
    assert stream is StreamName.L3_OUT
    return event


def with_alert(**changes: Any) -> dict[str, Any]:
    return ALERT | {"alert": ALERT["alert"] | changes}


def test_an_alert_becomes_one_finding_of_device_16() -> None:
    record = event_of(ALERT)
    found = finding(ALERT)
    assert (found.source_device, found.source_layer, found.source) == (16, 3, "suricata")
    assert (found.category, found.severity) == (EventCategory.NETWORK, Severity.MEDIUM)
    assert (found.ts, found.ingest_ts, found.origin) == (record.ts, record.ingest_ts, "eve.json:1")
    assert found.evidence == (record.event_id,)
    assert (
        found.entities
        == record.entities
        == (
            Entity("ip", "10.0.0.1", "src"),
            Entity("port", "4444", "src"),
            Entity("ip", "10.0.0.2", "dest"),
        )
    )
    assert found.techniques == ("T1046",)
    assert found.payload == {
        "detector": "l3-suricata-alert",
        "rule": {"id": "1:2001219", "name": "ET SCAN Potential SSH Scan", "revision": "20"},
        "category": "Attempted Information Leak",
        "action": "allowed",
        "sensor_severity": 2,
        "matched": {
            "src_ip": "10.0.0.1",
            "src_port": 4444,
            "dest_ip": "10.0.0.2",
            "proto": "TCP",
            "flow_id": 77,
        },
        "tactics": ["TA0007"],
        "raw": ALERT,
    }
    assert codec.decode(codec.encode_checked(found)) == found


def test_the_id_of_a_finding_is_its_own_and_always_the_same() -> None:
    found = finding(ALERT)
    assert uuid.UUID(found.event_id).version == 8
    assert found.event_id != event_of(ALERT).event_id
    assert found == finding(ALERT)
    assert finding(with_alert(rev=21)).event_id != found.event_id
    assert finding(with_alert(signature_id=1)).event_id != found.event_id


@pytest.mark.parametrize(
    ("priority", "severity"),
    [(1, Severity.HIGH), (2, Severity.MEDIUM), (3, Severity.LOW), (4, Severity.LOW), (255, Severity.LOW)],
)
def test_a_priority_has_its_severity_and_no_flag(priority: int, severity: Severity) -> None:
    assert map_severity(priority) == (severity, ())
    assert finding(with_alert(severity=priority)).severity is severity


@pytest.mark.parametrize("odd", [None, 0, -1, True, "1", 1.0, 2.5, [], {}, "x" * 500])
def test_what_is_no_priority_is_high_with_a_flag(odd: object) -> None:
    severity, (flag,) = map_severity(odd)
    assert severity is Severity.HIGH
    assert flag.startswith("unknown_severity:")
    assert len(flag) <= len("unknown_severity:") + 40
    assert finding(with_alert(severity=odd)).flags == (flag,)


def test_flags_of_the_record_stay() -> None:
    record = {key: value for key, value in with_alert(severity=0).items() if key != "timestamp"}
    assert finding(record).flags == ("missing_time", "unknown_severity:0")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["T1059", "T1059.001", "T1059"], ("T1059", "T1059.001")),
        (["T1059.1", "T105", "T10599", "t1059", " T1059", "T1059\n", "TA0001", "", None, 5, ["T1059"]], ()),
        (["bad", "T1003", {"id": "T1004"}], ("T1003",)),
        ("T1059", ()),
        (None, ()),
        ({"a": "T1059"}, ()),
        ([], ()),
    ],
)
def test_only_well_formed_attack_ids_are_kept_once_and_in_order(given: Any, kept: tuple[str, ...]) -> None:
    assert finding(with_alert(metadata={"mitre_technique_id": given})).techniques == kept


@pytest.mark.parametrize("metadata", [None, [], "x", 5, {}])
def test_odd_metadata_is_no_hindrance(metadata: Any) -> None:
    found = finding(with_alert(metadata=metadata))
    assert found.techniques == ()
    assert "tactics" not in found.payload


def test_an_alert_without_a_signature_is_still_a_finding() -> None:
    found = finding(ALERT | {"alert": {}})
    assert found.payload["rule"] == {"id": "1:0", "name": "unnamed signature", "revision": "0"}
    assert found.severity is Severity.HIGH


def padded(size: int) -> dict[str, Any]:
    frame = len(codec.encode_object(ALERT | {"pad": ""}))
    return ALERT | {"pad": "x" * (size - frame)}


def test_a_record_as_large_as_allowed_is_carried() -> None:
    record = padded(MAX_RAW_BYTES)
    found = finding(record)
    assert found.payload["raw"] == record
    assert "reference" not in found.payload


def test_an_oversized_record_is_referred_to() -> None:
    record = padded(MAX_RAW_BYTES + 1)
    found = finding(record)
    assert "raw" not in found.payload
    assert found.payload["reference"] == {"event_id": event_of(record).event_id, "bytes": MAX_RAW_BYTES + 1}
    assert found.payload["matched"]["src_ip"] == "10.0.0.1"


@pytest.mark.parametrize("source", ["", "zeek", "Suricata", "suricata-eve"])
def test_a_foreign_source_is_dropped_with_its_reason(source: str) -> None:
    assert answer(event_of(ALERT).replace(source=source)) == [Drop("not_suricata")]


@pytest.mark.parametrize(
    "record", [{"event_type": "flow"}, {"event_type": "stats", "alert": {}}, ALERT | {"alert": "x"}]
)
def test_a_record_that_is_no_alert_is_dropped_with_its_reason(record: dict[str, Any]) -> None:
    assert answer(event_of(record)) == [Drop("no_alert")]


def test_a_batch_is_answered_one_by_one_and_in_order() -> None:
    outcomes = answer(event_of(ALERT), event_of({"event_type": "flow"}), event_of(ALERT).replace(source="x"))
    assert [type(outcome) for outcome in outcomes] == [Publish, Drop, Drop]
    assert answer() == []


def test_the_alerts_of_a_public_log_are_found_and_nothing_else(fixtures: Path) -> None:
    reader = Reader(SuricataEve())
    path = fixtures / "suricata_josevnz/test/eve-2.json.gz"
    events = [reader.event(record, 2e9) for record in RecordFile(str(path))]
    outcomes = answer(*events)
    found = [outcome.outputs[0][1] for outcome in outcomes if isinstance(outcome, Publish)]
    assert len(found) == len({event.event_id for event in found}) == 118
    assert Counter(o for o in outcomes if isinstance(o, Drop)) == {Drop("no_alert"): 2401 - 118}
    for event in found:
        assert codec.decode(codec.encode_checked(event)) == event
        assert event.flags == ()
