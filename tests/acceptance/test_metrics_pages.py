"""Metrics and health of a running instance, under their documented names."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

import pytest
from tests.acceptance.fabric_process import Fabric, http_get

from dsmil.services.metric_names import ALL, SHRINK, MetricName
from dsmil.testing.waiting import until

_SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
#: Name -> its labels.
DOCUMENTED = {
    "dsmil_events_total": {"stage", "stream", "outcome"},
    "dsmil_redis_stream_length": {"stream_name"},
    "dsmil_redis_stream_lag": {"stream_name", "consumer_group"},
    "dsmil_db_size_bytes": {"database"},
    "dsmil_db_query_duration_seconds_count": {"operation", "table"},
    "dsmil_db_query_duration_seconds_sum": {"operation", "table"},
    "dsmil_device_status": {"device_id"},
    "dsmil_layer_events_total": {"layer", "severity"},
}


class Sample(NamedTuple):
    name: str
    labels: dict[str, str]
    value: float


def _samples(page: str) -> list[Sample]:
    found = []
    for line in page.splitlines():
        if line and not line.startswith("#"):
            match = _SAMPLE.match(line)
            assert match, line
            found.append(Sample(match[1], dict(_LABEL.findall(match[2] or "")), float(match[3])))
    return found


def _all(fabric: Fabric) -> list[Sample]:
    ports = [port for name, port in fabric.record["ports"].items() if name.startswith("metrics")]
    found = []
    for port in ports:
        status, page = http_get(port, "/metrics")
        assert status == 200, page
        found += _samples(page)
    return found


def _always() -> list[MetricName]:
    """Return the metrics that each fabric has: readings need a SHRINK, and the listeners' a listener."""
    return [m for m in ALL if m not in SHRINK.values() and not m.name.startswith("dsmil_listen_")]


@pytest.fixture(scope="module")
def samples(fabric: Fabric) -> list[Sample]:
    fabric.send("for-the-metrics", severity="HIGH")
    fabric.wait_row("for-the-metrics")
    fabric.settled()
    # The name of a transaction's table is there once the writer has committed one, the books once they were read.
    wanted = {name for metric in _always() for name in metric.samples}
    until(lambda: {s.name for s in _all(fabric)} >= wanted | DOCUMENTED.keys(), 20, "all documented names")
    return _all(fabric)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_name_with_its_labels(samples: list[Sample], name: str) -> None:
    mine = [sample for sample in samples if sample.name == name]
    assert mine
    assert {frozenset(sample.labels) for sample in mine} == {frozenset(DOCUMENTED[name])}


def test_the_pages_have_what_is_described_and_nothing_else(fabric: Fabric, samples: list[Sample]) -> None:
    described = {name: metric for metric in ALL for name in metric.samples}
    found = {sample.name for sample in samples}
    others = {name for metric in ALL if metric not in _always() for name in metric.samples}
    assert found | others == described.keys()
    for sample in samples:
        assert set(sample.labels) == set(described[sample.name].labels), sample
    page = http_get(fabric.record["ports"]["metrics"], "/metrics")[1]
    helps = dict(line.split(" ", 3)[2:] for line in page.splitlines() if line.startswith("# HELP"))
    for metric in ALL:
        name = metric.samples[0] if metric.kind == "counter" else metric.name
        assert name not in helps or helps[name] == metric.meaning


def test_figures_agree_with_the_status(fabric: Fabric, samples: list[Sample]) -> None:
    status = fabric.json("status")
    lengths = {s.labels["stream_name"]: s.value for s in samples if s.name == "dsmil_redis_stream_length"}
    assert lengths == {stream["name"]: stream["length"] for stream in status["broker"]["streams"]}
    lags = {
        (s.labels["stream_name"], s.labels["consumer_group"]): s.value
        for s in samples
        if s.name == "dsmil_redis_stream_lag"
    }
    assert lags["L3_OUT", "soc-router"] == 0
    router = {
        s.labels["outcome"]: s.value
        for s in samples
        if s.name == "dsmil_events_total" and (s.labels["stage"], s.labels["stream"]) == ("soc-router", "L3_OUT")
    }
    assert router["published"] >= 1
    online = {s.labels["device_id"]: s.value for s in samples if s.name == "dsmil_device_status"}
    assert online == {"52": 1, "6": 1, "16": 1, "20": 1, "21": 1, "25": 1, "27": 1, "29": 1, "0": 1}
    by_layer = [s for s in samples if s.name == "dsmil_layer_events_total"]
    assert any(s.labels == {"layer": "3", "severity": "HIGH"} and s.value >= 1 for s in by_layer)
    assert all(s.value > 0 for s in samples if s.name == "dsmil_db_size_bytes")


@pytest.mark.parametrize(("port", "device", "layer"), [("metrics", 52, 8), ("metrics-detect", 16, 3)])
def test_health(fabric: Fabric, port: str, device: int, layer: int) -> None:
    status, body = until(
        lambda: (answer := http_get(fabric.record["ports"][port], "/health"))[0] == 200 and answer, 10, "health"
    ) or (0, "")
    answer = json.loads(body)
    assert status == 200
    assert set(answer) == {"status", "device_id", "layer", "checks"}
    assert (answer["status"], answer["device_id"], answer["layer"]) == ("healthy", device, layer)
    assert answer["checks"]
    assert set(answer["checks"].values()) == {"ok"}


def test_health_says_how_durable_the_broker_is(fabric: Fabric) -> None:
    assert "everysec" in http_get(fabric.record["ports"]["metrics"], "/health")[1]


def test_other_pages_are_not_there(fabric: Fabric) -> None:
    port = fabric.record["ports"]["metrics"]
    assert http_get(port, "/")[0] == 404
    assert http_get(port, "/metrics/../instance.json")[0] == 404
