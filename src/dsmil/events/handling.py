"""What a service is: a name, the streams it reads, and an answer for each event of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

import msgspec

from dsmil.events.model import Event
from dsmil.events.streams import StreamName

if TYPE_CHECKING:
    from collections.abc import Sequence


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event as it was read from a stream."""

    stream: StreamName
    #: Entry id in that stream; a place, never an identity.
    entry_id: str
    event: Event


class Publish(msgspec.Struct, frozen=True):
    """Publish these events to these streams, then acknowledge."""

    outputs: tuple[tuple[StreamName, Event], ...]


class Drop(msgspec.Struct, frozen=True):
    """Acknowledge without output; ``reason`` is a short stable word that is counted."""

    reason: str


class Retry(msgspec.Struct, frozen=True):
    """Cannot be answered now, through no fault of the event: keep it pending and try again later."""

    reason: str


class Dead(msgspec.Struct, frozen=True):
    """Can never be handled: to the dead letters with its cause."""

    cause: str
    detail: str = ""


Outcome = Publish | Drop | Retry | Dead


class Handler(Protocol):
    """A service as the runner sees it. ``handle`` is pure where it can be; the runner does all I/O."""

    #: Unique; also the consumer group, e.g. ``l3-suricata``.
    name: ClassVar[str]
    #: Device it speaks as, 0-103.
    device_id: ClassVar[int]
    #: Streams it reads.
    reads: ClassVar[tuple[StreamName, ...]]
    #: Streams it may publish to; an output to another one makes a dead letter of its event.
    writes: ClassVar[tuple[StreamName, ...]]

    def handle(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Answer for each delivery, in order. An exception sends the batch through entry by entry."""
        ...
