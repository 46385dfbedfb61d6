"""The documented event-bus client.

Its methods keep their documented returns: ``connect`` and ``publish`` answer False and None instead of
raising, and log why. Services use :mod:`dsmil.infrastructure.groups`, which raises.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import redis

from dsmil import log
from dsmil.config import Settings
from dsmil.errors import DsmilError, EventInvalid
from dsmil.events import codec
from dsmil.events.model import Event, EventCategory, Severity, create_event
from dsmil.events.streams import DEAD_LETTERS, DEFAULT_GROUP, StreamName
from dsmil.infrastructure import groups
from dsmil.infrastructure.adding import Sent
from dsmil.infrastructure.address import broker_url, public_url
from dsmil.infrastructure.broker_picture import stream_shape
from dsmil.infrastructure.connection import connect, translated
from dsmil.infrastructure.entries import reading_client, streams_of
from dsmil.infrastructure.pressure import Admission

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: The documented name of the event class.
DSMILEvent = Event

__all__ = [
    "DEAD_LETTERS",
    "DEFAULT_GROUP",
    "DSMILEvent",
    "EventCategory",
    "RedisStreamsClient",
    "Severity",
    "StreamName",
    "create_event",
]


class RedisStreamsClient:
    """Publish to, read from and look at the streams of a running fabric."""

    def __init__(self, url: str | None = None, *, settings: Settings | None = None) -> None:
        """Take the broker from ``url``, else from the environment or the running fabric."""
        self._settings = settings or Settings.from_env()
        self._url = url
        self._client: redis.Redis | None = None
        self._admission = Admission()
        self._log = log.get("redis-streams")

    @property
    def client(self) -> Any:  # noqa: ANN401 - the driver's own types say bytes or str everywhere
        """The driver's client, connected on first use; replies are bytes."""
        if self._client is None:
            self._client = connect(self._url or broker_url(self._settings), self._settings)
        return self._client

    def connect(self) -> bool:
        """Return whether the broker answers; the reason is logged when it does not."""
        try:
            with translated("connecting"):
                self.client.ping()
        except DsmilError as exc:
            address = public_url(self._url or broker_url(self._settings))
            self._log.warning("bus.connect_failed", broker=address, cause=str(exc))
            return False
        return True

    def initialize_streams(self) -> dict[str, bool]:
        """Make the 13 streams with their group ``dsmil``, reading from the start; name -> exists now."""
        done: dict[str, bool] = {}
        for stream in StreamName:
            try:
                groups.ensure_group(self.client, stream, DEFAULT_GROUP)
                done[stream.value] = True
            except DsmilError as exc:
                self._log.warning("bus.initialize_failed", stream=stream.value, cause=str(exc))
                done[stream.value] = False
        return done

    def publish(self, stream: StreamName | str, event: Event | dict[str, Any]) -> str | None:
        """Append one event; return its entry id, or None when it was refused or the broker was away.

        None after a lost reply may still mean that the event arrived: publish the same event (same
        ``event_id``) again, the fabric keeps one.
        """
        try:
            return self.publish_many(stream, [event])[0]
        except DsmilError as exc:
            self._log.warning("bus.publish_failed", stream=str(stream), cause=str(exc))
            return None

    def publish_many(self, stream: StreamName | str, events: Sequence[Event | dict[str, Any]]) -> list[str]:
        """Append events in one round trip; return their entry ids. Raises EventInvalid or Unavailable."""
        name = StreamName(stream)
        bodies = [codec.encode_checked(e if isinstance(e, Event) else event_from_dict(e)) for e in events]
        return self.append(name, bodies)

    def append(self, stream: StreamName, bodies: Iterable[bytes]) -> list[str]:
        """Append documents that are already checked and encoded.

        Raises Unavailable; BusRefused when memory runs out: then the caller keeps them and tries again.
        """
        return self.begin_append(stream, bodies)()

    def begin_append(self, stream: StreamName, bodies: Iterable[bytes]) -> Callable[[], list[str]]:
        """Send documents as :meth:`append` does; the function that is returned waits for the broker.

        Call it once. Both raise as ``append`` does. What is sent before it was called comes after these documents.
        """
        self._admission.check(self.client)
        with translated(f"publishing to {stream}"):
            sent = Sent(self.client, stream.value, bodies)

        def ids() -> list[str]:
            with translated(f"publishing to {stream}"):
                return [entry_id.decode() for entry_id in sent.ids()]

        return ids

    def read(
        self, stream: StreamName | str, count: int = 100, last_id: str = "0-0", block_ms: int | None = None
    ) -> list[tuple[str, Event]]:
        """Return up to ``count`` events after ``last_id`` as (entry id, event); no group takes notice.

        Entries that are no events are left out and logged. ``block_ms`` waits for the next one.
        """
        name = StreamName(stream)
        with translated(f"reading {name}"):
            reply: Any = self._reading.xread({name.value: last_id}, count=count, block=block_ms)
        return self._events(reply)

    def newest(self, stream: StreamName | str, count: int) -> list[tuple[str, Event]]:
        """Return the newest ``count`` events, oldest of them first."""
        name = StreamName(stream)
        with translated(f"reading {name}"):
            rows: Any = self._reading.xrevrange(name.value, count=count) if count > 0 else []
        return self._events([[name.encode(), rows[::-1]]])

    def last_id(self, stream: StreamName | str) -> str:
        """Return the id after which the next entry will come; ``0-0`` for a stream that is not there."""
        return str(self.get_stream_info(stream).get("last_generated_id", "0-0"))

    def read_group(
        self,
        stream: StreamName | str,
        group: str = DEFAULT_GROUP,
        consumer: str = "consumer-1",
        count: int = 10,
        block_ms: int | None = None,
        last_id: str = ">",
    ) -> list[tuple[str, Event]]:
        """Return up to ``count`` events that no other consumer of ``group`` was given; each must be acked."""
        name = StreamName(stream)
        with translated(f"reading {name} as {group}"):
            reply: Any = self._reading.xreadgroup(
                group, consumer, {name.value: last_id}, count=count, block=block_ms
            )
        return self._events(reply)

    def ack(self, stream: StreamName | str, group: str, *entry_ids: str) -> int:
        """Acknowledge entries of a group; return how many were pending."""
        with translated(f"acknowledging on {stream}"):
            return int(self.client.xack(StreamName(stream).value, group, *entry_ids))

    def get_stream_info(self, stream: StreamName | str) -> dict[str, Any]:
        """Return length, ids and counts of a stream, and per group: consumers, pending, lag, last id."""
        name = StreamName(stream)
        with translated(f"looking at {name}"):
            if not self.client.exists(name.value):
                return stream_shape(name.value, None, ())
            info: Any = self.client.xinfo_stream(name.value)
            found: Any = self.client.xinfo_groups(name.value)
        return stream_shape(name.value, info, found)

    def get_stats(self) -> dict[str, dict[str, Any]]:
        """Return :meth:`get_stream_info` of every stream, by name."""
        return {stream.value: self.get_stream_info(stream) for stream in StreamName}

    def disconnect(self) -> None:
        """Close the connection; a later call opens a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def __enter__(self) -> RedisStreamsClient:
        """Return itself; the connection is made on first use."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Disconnect."""
        self.disconnect()

    @property
    def _reading(self) -> Any:  # noqa: ANN401 - as client
        return reading_client(self.client)

    def _events(self, reply: Any) -> list[tuple[str, Event]]:  # noqa: ANN401 - a plain reply
        events = []
        for _, entries in streams_of(reply):
            for entry in entries:
                try:
                    events.append((entry.entry_id, entry.event(codec.MAX_FUSED_BYTES)))
                except EventInvalid as exc:
                    self._log.warning("bus.entry_skipped", source=entry.place, cause=str(exc))
        return events


def event_from_dict(fields: dict[str, Any]) -> Event:
    """Return the event that a plain object describes; id and times are added when it has none."""
    document = codec.encode_object(fields)
    now = time.time()
    return codec.decode(document, fallback=codec.Fallback(f"local/{time.time_ns()}", now))
