"""Every metric of ``/metrics``, described once: the page and the table in docs/operate.md are made from this."""

from __future__ import annotations

from typing import Final

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily

from dsmil.infrastructure.hotpath_db import SHRINK_COLUMNS


class MetricName(msgspec.Struct, frozen=True, kw_only=True):
    """One metric."""

    #: Name without the suffixes that its type adds.
    name: str
    #: ``counter``, ``gauge`` or ``summary``.
    kind: str
    #: What one sample says, in one line.
    meaning: str
    unit: str
    labels: tuple[str, ...] = ()

    @property
    def samples(self) -> tuple[str, ...]:
        """Names of its samples, as queries use them."""
        if self.kind == "counter":
            return (f"{self.name}_total",)
        return (f"{self.name}_count", f"{self.name}_sum") if self.kind == "summary" else (self.name,)

    def counter(self) -> CounterMetricFamily:
        """Return an empty family for a page; the metric must be a counter."""
        return CounterMetricFamily(self.name, self.meaning, labels=self.labels)

    def gauge(self) -> GaugeMetricFamily:
        """Return an empty family for a page; the metric must be a gauge."""
        return GaugeMetricFamily(self.name, self.meaning, labels=self.labels)

    def summary(self) -> SummaryMetricFamily:
        """Return an empty family for a page; the metric must be a summary."""
        return SummaryMetricFamily(self.name, self.meaning, labels=self.labels)


EVENTS: Final = MetricName(
    name="dsmil_events",
    kind="counter",
    meaning="Entries of a stream that a service (stage) has handled, by what became of them (outcome).",
    unit="entries since the process started",
    labels=("stage", "stream", "outcome"),
)
LAYER_EVENTS: Final = MetricName(
    name="dsmil_layer_events",
    kind="counter",
    meaning="Events that services of this process have published, by layer and severity.",
    unit="events since the process started",
    labels=("layer", "severity"),
)
QUERY_DURATION: Final = MetricName(
    name="dsmil_db_query_duration_seconds",
    kind="summary",
    meaning="Time of the store writer's transactions on the hot store: insert, or delete by retention.",
    unit="seconds; transactions",
    labels=("operation", "table"),
)
DEVICE_STATUS: Final = MetricName(
    name="dsmil_device_status",
    kind="gauge",
    meaning="Whether the service that speaks as this device does its work: 1, or 0 when one of its checks fails.",
    unit="1 or 0",
    labels=("device_id",),
)
STREAM_LENGTH: Final = MetricName(
    name="dsmil_redis_stream_length",
    kind="gauge",
    meaning="Entries that lie in a stream now.",
    unit="entries",
    labels=("stream_name",),
)
STREAM_LAG: Final = MetricName(
    name="dsmil_redis_stream_lag",
    kind="gauge",
    meaning="Entries of a stream that a group has not read yet.",
    unit="entries",
    labels=("stream_name", "consumer_group"),
)
DB_SIZE: Final = MetricName(
    name="dsmil_db_size_bytes",
    kind="gauge",
    meaning="Size of the hot store on its file system: file, write-ahead log and index.",
    unit="bytes",
    labels=("database",),
)
DB_EVENTS: Final = MetricName(
    name="dsmil_db_events",
    kind="gauge",
    meaning="Rows of an event table of the hot store, by layer and severity, from counts kept with the rows.",
    unit="rows",
    labels=("table", "layer", "severity"),
)
LEDGER: Final = MetricName(
    name="dsmil_ledger_entries",
    kind="counter",
    meaning="Entries of a stream that a group has settled, by what became of them, as the broker counts them.",
    unit="entries since the group was made",
    labels=("stream_name", "consumer_group", "outcome"),
)
IMBALANCE: Final = MetricName(
    name="dsmil_ledger_imbalance",
    kind="gauge",
    meaning="Entries of a stream that are, for a group, neither settled nor in work nor unread: zero, or trouble.",
    unit="entries",
    labels=("stream_name", "consumer_group"),
)
PENDING: Final = MetricName(
    name="dsmil_redis_stream_pending",
    kind="gauge",
    meaning="Entries of a stream that a group has in work.",
    unit="entries",
    labels=("stream_name", "consumer_group"),
)
MEMORY_SHARE: Final = MetricName(
    name="dsmil_memory_share",
    kind="gauge",
    meaning="How full the broker's memory, and the tmpfs of the hot store, is: new events are refused from 0.85.",
    unit="0-1",
    labels=("memory",),
)
SNAPSHOT_TIME: Final = MetricName(
    name="dsmil_snapshot_timestamp_seconds",
    kind="gauge",
    meaning="When the newest snapshot of the hot store was taken.",
    unit="Unix seconds",
    labels=("database",),
)
SILENT: Final = MetricName(
    name="dsmil_producers_silent",
    kind="gauge",
    meaning="Producers that used to speak and have fallen silent.",
    unit="producers",
)
LISTEN_RECORDS: Final = MetricName(
    name="dsmil_listen_records",
    kind="counter",
    meaning="Records that a listener has received at an endpoint, good and bad ones.",
    unit="records since the process started",
    labels=("endpoint",),
)
LISTEN_BYTES: Final = MetricName(
    name="dsmil_listen_bytes",
    kind="counter",
    meaning="Bytes that a listener has received at an endpoint.",
    unit="bytes since the process started",
    labels=("endpoint",),
)
LISTEN_CONNECTIONS: Final = MetricName(
    name="dsmil_listen_connections",
    kind="gauge",
    meaning="Connections that are open at an endpoint.",
    unit="connections",
    labels=("endpoint",),
)
LISTEN_REFUSED: Final = MetricName(
    name="dsmil_listen_refused",
    kind="counter",
    meaning="Connections and requests that an endpoint has turned away or closed, by reason.",
    unit="connections or requests since the process started",
    labels=("endpoint", "reason"),
)
LISTEN_DROPPED: Final = MetricName(
    name="dsmil_listen_dropped",
    kind="counter",
    meaning="Records lost on their way: dropped by the kernel (`kernel`), or still waiting at a stop (`stopped`).",
    unit="records since the process started",
    labels=("endpoint", "reason"),
)
LISTEN_WAITING: Final = MetricName(
    name="dsmil_listen_waiting_bytes",
    kind="gauge",
    meaning="Memory of what a listener has received and the broker does not have yet.",
    unit="bytes",
)
#: Operator readings, by column of the hot store.
SHRINK: Final = {
    column: MetricName(
        name=column if column.startswith("shrink_") else f"shrink_{column}",
        kind="gauge",
        meaning=f"Newest operator reading that the hot store has: {column}.",
        unit="0-1",
    )
    for column in SHRINK_COLUMNS
}
ALL: Final = (
    *(EVENTS, LAYER_EVENTS, QUERY_DURATION, DEVICE_STATUS, STREAM_LENGTH, STREAM_LAG, DB_SIZE, DB_EVENTS),
    *(LEDGER, IMBALANCE, PENDING, MEMORY_SHARE, SNAPSHOT_TIME, SILENT),
    *(LISTEN_RECORDS, LISTEN_BYTES, LISTEN_CONNECTIONS, LISTEN_REFUSED, LISTEN_DROPPED, LISTEN_WAITING),
    *SHRINK.values(),
)


def table() -> str:
    """Return the table of all metrics in Markdown."""
    rows = [
        f"| {', '.join(f'`{name}`' for name in metric.samples)} | {metric.kind}"
        f" | {', '.join(f'`{label}`' for label in metric.labels) or '-'} | {metric.meaning} | {metric.unit} |"
        for metric in ALL
    ]
    return "\n".join(["| Name | Type | Labels | Meaning | Unit |", "|---|---|---|---|---|", *rows])
