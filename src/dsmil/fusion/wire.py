"""Fusing in the wire form: the same bytes that encoding a fused event gives, without taking the event apart.

A document that came in its exact wire form has its fields in a known order, and the SOC event's own fields follow
them. So the SOC event is that document, its severity replaced, and an end of which all but the signals depends on
severity and reading alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from dsmil.events.handling import Delivery, Publish, PublishWire
from dsmil.events.model import Severity
from dsmil.events.streams import StreamName
from dsmil.fusion.fuse import EMPTY_ENRICHMENT, fuse, signals
from dsmil.fusion.severity import escalate

if TYPE_CHECKING:
    from dsmil.fusion.shrink import Reading

_OUT: Final = StreamName.SOC_EVENTS
_encode: Final = msgspec.json.Encoder().encode


class _Frame(msgspec.Struct, frozen=True, gc=False):
    """What severity and reading make of an event."""

    severity: Severity
    #: The field as it came, and as it goes; the same when nothing was raised.
    before: bytes
    after: bytes
    #: What stands between the document and the signals, and after these.
    middle: bytes
    end: bytes


class Fusion:
    """Fuses events with one reading."""

    def __init__(self, reading: Reading | None) -> None:
        """Take the reading; its share of the output is encoded once."""
        self._reading = reading
        self._frames: dict[Severity, _Frame] = {}

    def outcome(self, delivery: Delivery) -> Publish | PublishWire:
        """Return the SOC event to publish: as bytes where the delivery has its wire form, with the same result."""
        event, wire = delivery.event, delivery.wire
        if not wire:
            return Publish(((_OUT, fuse(event, delivery.stream, self._reading)),))
        frame = self._frames.get(event.severity) or self._frame(event.severity)
        if frame.before != frame.after:
            # Texts that may come before have their quotation marks escaped: the first match is the field.
            wire = wire.replace(frame.before, frame.after, 1)
        said = _encode(signals(event, delivery.stream))
        fused = b"%b%b%b%b" % (wire[:-1], frame.middle, said, frame.end)
        return PublishWire(_OUT, fused, event.source_layer, frame.severity)

    def _frame(self, found: Severity) -> _Frame:
        severity, reasons = escalate(found, self._reading)
        reading = None if self._reading is None else self._reading.snapshot()
        frame = _Frame(
            severity,
            before=b',"severity":%b' % _encode(found),
            after=b',"severity":%b' % _encode(severity),
            middle=b',"original_severity":%b,"escalation":%b,"signals":' % (_encode(found), _encode(reasons)),
            end=b',"shrink_metrics":%b,"l8_enrichment":%b}' % (_encode(reading), _encode(EMPTY_ENRICHMENT)),
        )
        self._frames[found] = frame
        return frame
