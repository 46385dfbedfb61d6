"""Exfiltration: a host that sends far more than it receives, to one destination outside."""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from dsmil.analytics.bounded import keep_newest, remember, touched
from dsmil.analytics.domains import is_outside
from dsmil.analytics.records import Connection, Record
from dsmil.analytics.signal import LEAST_SCORE, MAX_EVIDENCE, Feature, Signal, by_weight
from dsmil.analytics.stats import between
from dsmil.events.model import Entity, EventCategory, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dsmil.events.model import Event

#: Pairs of host and destination that are remembered.
MAX_PAIRS: Final = 20_000
#: Connections whose bytes so far are known: those that are open are reported again and again.
MAX_UIDS: Final = 20_000
#: Bytes are counted over this long, seconds of event time.
WINDOW_S: Final = 86_400.0
#: Bytes sent that count for nothing, and those that count in full: mail and web forms stay below the first.
_NOTHING_BYTES: Final = 10_000_000
_FULL_BYTES: Final = 1_000_000_000
#: Share of sent bytes that counts for nothing: as much sent as received.
_EVEN: Final = 0.5
_HIGH: Final = 0.9


class Volume(msgspec.Struct, gc=False):
    """Bytes between one host and one destination, within a window."""

    src: str
    dst: str
    start: float
    ts: float
    sent: int = 0
    received: int = 0
    connections: int = 0
    ports: list[int] = []
    evidence: list[str] = []
    #: Bytes sent when it was judged last.
    judged: int = 0


class ExfiltrationState(msgspec.Struct):
    """All that is remembered."""

    pairs: dict[str, Volume] = {}
    #: Connection -> bytes that were counted.
    uids: dict[str, tuple[int, int]] = {}


class Exfiltration:
    """Scores pairs of host and outside address by volume sent, and by its share of all bytes."""

    name: ClassVar[str] = "exfiltration"
    title: ClassVar[str] = "Far more sent out than received"
    revision: ClassVar[str] = "1"
    device_id: ClassVar[int] = 16
    category: ClassVar[EventCategory] = EventCategory.NETWORK
    forgets_s: ClassVar[float] = WINDOW_S

    def __init__(self) -> None:
        self.state = ExfiltrationState()

    def see(self, event: Event, feed: str, record: Record | None) -> Iterable[Signal]:  # noqa: ARG002
        """Count a connection's bytes; judge its pair when it has sent an eighth more than when judged last."""
        if not isinstance(record, Connection) or not record.sent or not is_outside(record.dst):
            return ()
        sent, received = record.sent, record.received or 0
        if record.uid:
            before = self.state.uids.get(record.uid, (0, 0))
            most = (max(before[0], sent), max(before[1], received))
            remember(self.state.uids, record.uid, most, MAX_UIDS)
            sent, received = most[0] - before[0], most[1] - before[1]
        key = f"{record.src} > {record.dst}"
        pair = touched(
            self.state.pairs, key, lambda: Volume(record.src, record.dst, record.ts, record.ts), MAX_PAIRS
        )
        if record.ts >= pair.start + WINDOW_S:
            pair = self.state.pairs[key] = Volume(record.src, record.dst, record.ts, record.ts)
        elif record.ts < pair.start - WINDOW_S:
            return ()
        pair.ts = max(pair.ts, record.ts)
        pair.sent += sent
        pair.received += received
        pair.connections += 1
        if record.port not in pair.ports and len(pair.ports) < 8:  # noqa: PLR2004 - enough to be shown
            pair.ports.append(record.port)
        keep_newest(pair.evidence, event.event_id, MAX_EVIDENCE)
        if pair.sent < _NOTHING_BYTES or pair.sent * 8 < pair.judged * 9:
            return ()
        pair.judged = pair.sent
        signal = judged(pair)
        return (signal,) if signal.score >= LEAST_SCORE else ()


def judged(pair: Volume) -> Signal:
    """Return what the bytes of a pair come to: the geometric mean of volume and one-sidedness."""
    share = pair.sent / (pair.sent + pair.received)
    one_sided = between(share, _EVEN, 1.0)
    volume = between(log10(max(pair.sent, 1)), log10(_NOTHING_BYTES), log10(_FULL_BYTES))
    score = (one_sided * volume) ** 0.5
    features = (
        Feature(name="sent_bytes", value=pair.sent, score=volume, says="10 MB count for nothing, 1 GB in full"),
        Feature(name="sent_share", value=share, score=one_sided, says="of all bytes; a half counts for nothing"),
    )
    return Signal(
        key=f"{pair.src} > {pair.dst}",
        ts=pair.ts,
        score=score,
        measure=pair.sent,
        says=(
            f"{pair.src} sent {pair.sent / 1e6:.1f} MB to {pair.dst} within a day and received"
            f" {pair.received / 1e6:.1f} MB"
        ),
        severity=Severity.HIGH if score >= _HIGH else Severity.MEDIUM,
        features=(*by_weight(features), Feature(name="connections", value=pair.connections)),
        entities=(
            Entity("ip", pair.src, "src"),
            Entity("ip", pair.dst, "dest"),
            *(Entity("port", str(port), "dest") for port in pair.ports),
        ),
        techniques=("T1048",),
        evidence=tuple(pair.evidence),
        records=pair.connections,
        matched={"src": pair.src, "dest": pair.dst},
    )


SCORER = Exfiltration
