"""Feeds of sensors and platforms: public records counted, own samples mapped, and what is no record refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsmil.detections.sensor_alert import SensorAlert
from dsmil.detections.suricata_alert import SuricataAlert
from dsmil.events.handling import Delivery, Drop, Publish
from dsmil.events.model import Entity, Event, EventCategory, Severity
from dsmil.events.streams import StreamName
from dsmil.sources.alertmanager import Alertmanager
from dsmil.sources.aws_cloudtrail import AwsCloudTrail
from dsmil.sources.falco import Falco
from dsmil.sources.k8s_audit import K8sAudit
from dsmil.sources.ocsf import Ocsf
from dsmil.sources.wazuh import Wazuh
from dsmil.testing.feeds import read_file

SAMPLES = Path(__file__).parents[1] / "data" / "feeds"


def judged(detector: Any, event: Event) -> Event | str:
    """Return the finding of a detector, or the reason for none."""
    (outcome,) = detector.handle([Delivery(stream=StreamName.L3_IN, entry_id="1-0", event=event)])
    if isinstance(outcome, Publish):
        ((stream, finding),) = outcome.outputs
        assert stream is StreamName.L3_OUT
        assert finding.evidence == (event.event_id,)
        return finding
    assert isinstance(outcome, Drop)
    return outcome.reason


# Public files

K8S_BAD = "fal_01_003.json"


def test_every_public_kubernetes_event_is_read(fixtures: Path) -> None:
    files = sorted((fixtures / "falco/test/trace_files/k8s_audit").glob("*.json"))
    assert len(files) == 36
    readings = {path.name: read_file(K8sAudit(), path) for path in files}
    bad = readings.pop(K8S_BAD)
    assert (len(bad.events), bad.partial) == (0, 1), "an object without the fields of an event, and without an end"
    assert {name: (reading.dead, reading.partial) for name, reading in readings.items() if reading.dead} == {}
    counts = {path.name: path.read_bytes().count(b"\n") for path in files if path.name != K8S_BAD}
    lines = {name: len(reading.events) for name, reading in readings.items()}
    assert {name: count for name, count in lines.items() if not 1 <= count <= counts[name]} == {}
    assert all(Entity("user", "minikube-user", "src") in e.entities for e in readings["exec_pod.json"].events)


def test_the_public_falco_hits_are_findings(fixtures: Path) -> None:
    reading = read_file(Falco(), fixtures / "falco/test/output_files/single_rule_with_cat_write.json")
    assert (len(reading.events), reading.dead) == (8, {})
    findings = [judged(SensorAlert(), event) for event in reading.events]
    assert [(f.payload["rule"]["id"], f.severity) for f in findings if isinstance(f, Event)] == [
        ("open_from_cat", Severity.MEDIUM)
    ] * 8
    assert reading.events[0].ts == pytest.approx(1470327477.881781, abs=1e-6)


@pytest.mark.parametrize("name", ["alice_start_instances", "alice_start_instances_bigevent"])
def test_the_public_cloudtrail_files_are_read(fixtures: Path, name: str) -> None:
    reading = read_file(AwsCloudTrail(), fixtures / f"falco/test/trace_files/plugins/{name}.json")
    (event,) = reading.events
    assert (reading.dead, reading.problem, event.origin.rpartition(":")[2]) == ({}, "", "1")
    assert event.payload["eventName"] == "StartInstances"
    assert {Entity("user", "Alice", "src"), Entity("ip", "205.251.233.176", "src")} <= set(event.entities)


def test_the_public_ocsf_findings_agree_with_themselves(fixtures: Path) -> None:
    (path,) = (fixtures / "ocsf_prowler").glob("*.json")
    reading = read_file(Ocsf(), path)
    assert (len(reading.events), reading.dead, reading.problem) == (2, {}, "")
    for event in reading.events:
        record = event.payload
        assert record["type_uid"] == record["class_uid"] * 100 + record["activity_id"]
        assert event.severity == Severity(record["severity"].upper())
        assert event.category is EventCategory.SECURITY
        assert event.ts == 1739539658.0
    answers = [judged(SensorAlert(), event) for event in reading.events]
    assert isinstance(answers[0], Event)
    assert answers[0].payload["rule"]["id"] == "apiserver_always_pull_images_plugin"
    assert answers[1] == "passed"


# Own samples


def test_wazuh() -> None:
    path = SAMPLES / "wazuh-alerts.json"
    reading = read_file(Wazuh(), path)
    assert reading.dead == {"bad_time": 1, "not_wazuh": 1, "malformed_json": 1}
    assert reading.dead_places == [f"{path}:{line}" for line in (6, 7, 8)]
    rows = [(e.severity, e.category, e.techniques, e.flags) for e in reading.events]
    assert rows == [
        (Severity.MEDIUM, EventCategory.AUTH, ("T1110.001", "T1110"), ()),
        (Severity.CRITICAL, EventCategory.SECURITY, ("T1055",), ()),
        (Severity.MEDIUM, EventCategory.SECURITY, (), ()),
        (Severity.LOW, EventCategory.SECURITY, (), ()),
        (Severity.LOW, EventCategory.SYSTEM, (), ()),
    ]
    login = reading.events[0]
    assert login.ts == pytest.approx(1769847302.123)
    assert login.ingest_ts == 1_800_000_000.5
    assert login.payload["a_new_field"] == {"kept": [1, 2]}
    assert set(login.entities) == {
        Entity("host", "web-3"),
        Entity("ip", "192.0.2.17"),
        Entity("host", "soc-manager", "sensor"),
        Entity("ip", "198.51.100.4", "src"),
        Entity("port", "40110", "src"),
        Entity("user", "test", "src"),
    }
    assert Entity("process", "C:\\Windows\\System32\\rundll32.exe") in reading.events[1].entities
    assert Entity("file", "/etc/hosts") in reading.events[2].entities
    answers = [judged(SensorAlert(), event) for event in reading.events]
    assert answers[3:] == ["ignored_by_sensor", "no_alert"]
    finding = answers[0]
    assert isinstance(finding, Event)
    assert finding.payload["rule"] == {
        "id": "5712",
        "name": "Repeated failed logins from one address.",
        "revision": "0",
    }
    assert (finding.severity, finding.techniques) == (login.severity, login.techniques)
    assert (finding.payload["sensor_severity"], finding.payload["tactics"]) == (10, ["Credential Access"])
    assert finding.payload["raw"] == login.payload


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        *((0, "LOW"), (6, "LOW"), (7, "MEDIUM"), (11, "MEDIUM"), (12, "HIGH"), (14, "HIGH")),
        *((15, "CRITICAL"), (16, "CRITICAL"), ("12", "HIGH")),
    ],
)
def test_levels_of_wazuh(level: object, severity: str) -> None:
    parsed = Wazuh().parse({"timestamp": None, "rule": {"level": level}, "agent": {}, "manager": {}})
    assert (parsed.severity, parsed.flags) == (Severity(severity), ())


@pytest.mark.parametrize("level", [-1, "high", True, {}])
def test_a_level_that_is_none_is_high_and_flagged(level: object) -> None:
    parsed = Wazuh().parse({"rule": {"level": level}, "agent": {}})
    assert parsed.severity is Severity.HIGH
    assert parsed.flags == (f"unknown_severity:{level}",)


def test_falco() -> None:
    reading = read_file(Falco(), SAMPLES / "falco.json")
    assert reading.dead == {"not_falco": 1}
    shell, clock, odd = reading.events
    assert (shell.severity, shell.techniques, shell.ts) == (Severity.CRITICAL, ("T1059",), 1769853600.0)
    assert set(shell.entities) == {
        Entity("host", "node-2", "sensor"),
        Entity("user", "root"),
        Entity("process", "sh"),
        Entity("process", "runc", "parent"),
        Entity("container", "3ad7b26ded6d"),
        Entity("container", "web"),
        Entity("pod", "web-0"),
        Entity("namespace", "shop"),
    }
    assert (clock.ts, clock.severity) == (1769853600.0, Severity.LOW)
    assert (odd.severity, odd.flags) == (Severity.HIGH, ("unknown_severity:Purple",))
    assert isinstance(judged(SensorAlert(), shell), Event)
    assert judged(SuricataAlert(), shell) == "not_suricata"


def test_cloudtrail() -> None:
    path = SAMPLES / "cloudtrail.json"
    reading = read_file(AwsCloudTrail(), path)
    assert (reading.dead, reading.problem) == ({}, "")
    delete, assume = reading.events
    assert [event.origin for event in reading.events] == [f"{path}:3", f"{path}:16"]
    assert (delete.category, assume.category) == (EventCategory.SYSTEM, EventCategory.AUTH)
    assert Entity("resource", "invoices", "dest") in delete.entities
    assert Entity("user", "ops", "src") in delete.entities
    assert Entity("host", "autoscaling.amazonaws.com", "src") in assume.entities, "a service is no address"


@pytest.mark.parametrize(
    "form", ["{record}\n{record}\n", "[{record},{record}]", '{{"Records":[{record},{record}]}}']
)
def test_cloudtrail_in_any_form_has_the_same_ids(tmp_path: Path, form: str) -> None:
    record = '{"eventName":"A","eventSource":"ec2.amazonaws.com","eventTime":"2026-01-31T08:00:00Z"}'
    ids = []
    for text in (form, "{record}\n{record}"):
        (tmp_path / "trail.json").write_text(text.format(record=record))
        ids.append([event.event_id for event in read_file(AwsCloudTrail(), tmp_path / "trail.json").events])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2


def test_kubernetes_audit() -> None:
    path = SAMPLES / "k8s-audit.json"
    reading = read_file(K8sAudit(), path)
    assert (reading.dead, reading.dead_places) == ({"not_k8s_audit": 2}, [f"{path}:3", f"{path}:4"])
    secret, version, panic = reading.events
    assert secret.entities == (
        Entity("ip", "203.0.113.9", "src"),
        Entity("ip", "10.1.0.4", "src"),
        Entity("user", "system:serviceaccount:shop:web", "src"),
        Entity("user", "ann"),
        Entity("resource", "db", "dest"),
        Entity("namespace", "shop", "dest"),
        Entity("url", "/api/v1/namespaces/shop/secrets/db?timeout=10s"),
    )
    assert (version.ts, panic.flags) == (1769846402.0, ("missing_time",))


def test_alertmanager() -> None:
    path = SAMPLES / "alertmanager.json"
    reading = read_file(Alertmanager(), path)
    assert reading.dead == {"not_alertmanager": 1}
    assert [event.origin.rpartition(":")[2] for event in reading.events] == ["12", "21", "31"]
    down, up, full = reading.events
    assert (down.severity, down.techniques) == (Severity.CRITICAL, ("T1499", "T1498.001"))
    assert down.entities == (Entity("ip", "192.0.2.5"), Entity("host", "rack-4"))
    assert down.payload["group"]["receiver"] == "soc"
    assert down.payload["group"]["commonLabels"] == {"alertname": "HostDown", "team": "ops"}
    assert down.payload["fingerprint"] == "c0ffee0000000001"
    assert (up.severity, up.ts, up.entities) == (Severity.LOW, 1769846700.0, (Entity("host", "db-1.example"),))
    assert (full.severity, full.flags) == (Severity.HIGH, ("unknown_severity:purple",))
    finding = judged(SensorAlert(), down)
    assert isinstance(finding, Event)
    assert finding.payload["rule"]["name"] == "HostDown"
    assert finding.payload["summary"] == "rack-4 does not answer"
    assert judged(SensorAlert(), up) == "resolved"


def test_ocsf() -> None:
    reading = read_file(Ocsf(), SAMPLES / "ocsf.json")
    assert reading.dead == {"not_ocsf": 1}
    beacon, flow, login = reading.events
    assert (beacon.severity, beacon.techniques) == (Severity.CRITICAL, ("T1071", "T1071.001"))
    assert beacon.ts == pytest.approx(1769853600.123)
    assert beacon.payload["unmapped"] == {"kept": True}
    assert [e.category for e in reading.events] == [
        EventCategory.SECURITY,
        EventCategory.NETWORK,
        EventCategory.AUTH,
    ]
    assert Entity("port", "443", "dest") in flow.entities
    assert (login.severity, login.flags) == (Severity.HIGH, ("unknown_severity:99",))
    finding = judged(SensorAlert(), beacon)
    assert isinstance(finding, Event)
    assert finding.payload["rule"] == {"id": "an-9", "name": "Beacon", "revision": "3"}
    assert judged(SensorAlert(), flow) == "no_finding"
    closed = beacon.replace(payload=beacon.payload | {"activity_id": 3})
    assert judged(SensorAlert(), closed) == "closed"


FEEDS = [Wazuh(), Falco(), AwsCloudTrail(), K8sAudit(), Alertmanager(), Ocsf()]


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
@pytest.mark.parametrize("text", ["", "\n", "no json\n", "[1,2]\n", "{}\n", '{"a":\n', "null\n", "{\n{", "\xff\n"])
def test_what_is_no_record_is_no_event(tmp_path: Path, feed: Any, text: str) -> None:
    path = tmp_path / "log.json"
    path.write_text(text, encoding="latin-1")
    assert read_file(feed, path).events == []


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.name)
def test_no_sample_cut_off_anywhere_breaks_a_feed(tmp_path: Path, feed: Any) -> None:
    name = {"wazuh": "wazuh-alerts", "aws-cloudtrail": "cloudtrail"}.get(feed.name, feed.name)
    content = (SAMPLES / f"{name}.json").read_bytes()
    whole = {event.event_id for event in read_file(feed, SAMPLES / f"{name}.json").events}
    path = tmp_path / "log.json"
    for size in range(0, len(content), 97):
        path.write_bytes(content[:size])
        assert {event.event_id for event in read_file(feed, path).events} <= whole
