"""Figures of a process for Prometheus, and its health, read from the parts when somebody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dsmil.errors import DsmilError, NotAllowed
from dsmil.events import devices
from dsmil.events.streams import StreamName
from dsmil.infrastructure.hotpath_db import HotPathDB
from dsmil.services import metric_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client import Metric

    from dsmil.infrastructure.redis_streams import RedisStreamsClient
    from dsmil.services.part import Part, Vitals

#: Checks whose failure means that the process does no work at all; others degrade it.
_VITAL: Final = {"broker"}


class PartsCollector:
    """Collects what the parts of this process count, and the streams' lengths and lags."""

    def __init__(self, parts: Sequence[Part], bus: RedisStreamsClient, db: HotPathDB) -> None:
        """Take where the figures come from; nothing is read before somebody asks."""
        self._parts = parts
        self._bus = bus
        self._db = db

    def collect(self) -> Iterable[Metric]:
        """Yield the documented families."""
        vitals = [part.vitals() for part in self._parts]
        yield from _events(vitals)
        yield from _figures(vitals)
        yield from self._streams()
        yield from self._store()

    def _streams(self) -> Iterable[Metric]:
        length, lag = metric_names.STREAM_LENGTH.gauge(), metric_names.STREAM_LAG.gauge()
        for stream in StreamName:
            try:
                info = self._bus.get_stream_info(stream)
            except NotAllowed:
                continue  # a service's user sees its own streams only
            length.add_metric([stream.value], info["length"])
            for group in info["groups"]:
                if group["lag"] is not None:
                    lag.add_metric([stream.value, group["name"]], group["lag"])
        yield length
        yield lag

    def _store(self) -> Iterable[Metric]:
        size = metric_names.DB_SIZE.gauge()
        size.add_metric(["hotpath"], self._db.size_bytes())
        yield size
        try:
            newest = self._db.get_shrink_metrics(limit=1)
            counts = self._db.get_event_counts()
        except DsmilError:
            return  # the store is away; /health says so
        events = metric_names.DB_EVENTS.gauge()
        for row in counts:
            events.add_metric([row["events_of"], str(row["layer"]), row["severity"]], row["events"])
        yield events
        for row in newest:
            for column, described in metric_names.SHRINK.items():
                if row[column] is not None:
                    reading = described.gauge()
                    reading.add_metric([], row[column])
                    yield reading


def _events(vitals: Sequence[Vitals]) -> Iterable[Metric]:
    events, layers = metric_names.EVENTS.counter(), metric_names.LAYER_EVENTS.counter()
    durations, status = metric_names.QUERY_DURATION.summary(), metric_names.DEVICE_STATUS.gauge()
    for part in vitals:
        for (stream, outcome), count in sorted(part.outcomes.items()):
            events.add_metric([part.name, stream, outcome], count)
        for (layer, severity), count in sorted(part.layers.items()):
            layers.add_metric([str(layer), severity], count)
        status.add_metric([str(part.device_id)], float(part.healthy))
        for (operation, table), (count, seconds) in sorted(part.durations.items()):
            durations.add_metric([operation, table], count_value=count, sum_value=seconds)
    yield events
    yield layers
    yield durations
    yield status


def _figures(vitals: Sequence[Vitals]) -> Iterable[Metric]:
    """Yield what parts have measured themselves; two parts of a process never measure the same."""
    described = {metric.name: metric for metric in metric_names.ALL}
    for part in vitals:
        for name, values in part.figures.items():
            metric = described[name]
            family = metric.counter() if metric.kind == "counter" else metric.gauge()
            for labels, value in sorted(values.items()):
                family.add_metric(labels, value)
            yield family


def health(vitals: Sequence[Vitals], fsync: str = "") -> dict[str, Any]:
    """Return {status, device_id, layer, checks}: unhealthy when no work can be done, degraded when some can.

    ``fsync`` is how durable the broker is: everysec, always, no, or none; it is part of its check's name.
    """
    checks = {f"{part.name}.{check}": problem or "ok" for part in vitals for check, problem in part.checks.items()}
    if fsync:
        lost = "" if fsync in {"everysec", "always"} else "the broker loses what it accepted when it stops"
        checks[f"broker.fsync={fsync}"] = lost or "ok"
    broken = {check for part in vitals for check, problem in part.checks.items() if problem}
    status = "unhealthy" if broken & _VITAL else "degraded" if broken else "healthy"
    first = vitals[0].device_id
    return {
        "status": status,
        "device_id": first,
        "layer": devices.device(first).layer,
        "checks": checks,
    }
