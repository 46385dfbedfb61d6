"""What a service is: a name, the streams it reads, and an answer for each event of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import msgspec

from dsmil.events.model import Event, Severity
from dsmil.events.streams import StreamName

if TYPE_CHECKING:
    from collections.abc import Sequence


class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event as it was read from a stream."""

    stream: StreamName
    #: Entry id in that stream; a place, never an identity.
    entry_id: str
    event: Event
    #: The very bytes that encoding ``event`` gives, where the entry held them; else empty.
    wire: bytes = b""


class Publish(msgspec.Struct, frozen=True, gc=False):
    """Publish these events to these streams, then acknowledge."""

    outputs: tuple[tuple[StreamName, Event], ...]


class PublishWire(msgspec.Struct, frozen=True, gc=False):
    """Publish one event that is there in its wire form already, then acknowledge."""

    stream: StreamName
    #: What ``codec.encode`` gives for the event.
    wire: bytes
    #: Its layer and severity, which are counted.
    source_layer: int
    severity: Severity


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


Outcome = Publish | PublishWire | Drop | Retry | Dead


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


@runtime_checkable
class Telling(Protocol):
    """A handler that has something to say about itself; its heartbeat and health carry it."""

    def notes(self) -> dict[str, Any]:
        """Return facts for the heartbeat."""
        ...

    def checks(self) -> dict[str, str]:
        """Return check -> empty when it is fine, else what is wrong."""
        ...


@runtime_checkable
class Remembering(Protocol):
    """A handler whose answers depend on what came before; the runner keeps its memory across restarts.

    Its answers follow from the order of events and their own times alone, so that memory and the entries since
    then give the same state again.
    """

    def memory(self) -> bytes:
        """Return its state; equal states give equal bytes."""
        ...

    def recall(self, memory: bytes) -> None:
        """Take up a state that ``memory`` gave; ValueError when it is none, and nothing is taken up."""
        ...
