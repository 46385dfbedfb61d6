"""Lateral movement: a host that reaches many others it never reached before, at ports for remote control."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from dsmil.analytics.bounded import keep_newest, remember, touched
from dsmil.analytics.records import Connection, Record
from dsmil.analytics.signal import LEAST_SCORE, MAX_EVIDENCE, Feature, Signal
from dsmil.events.model import Entity, EventCategory, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dsmil.events.model import Event

#: Hosts that are remembered.
MAX_HOSTS: Final = 8_192
#: Others whom a host is known to reach.
MAX_KNOWN: Final = 512
#: New others are counted over this long, seconds of event time.
WINDOW_S: Final = 3_600.0
#: Ports of remote control: SSH, Telnet, RPC, SMB, RDP, VNC, WinRM.
PORTS: Final = frozenset((22, 23, 135, 139, 445, 3389, 5900, 5985, 5986))
#: New others that make doubt fall to a third (1/e). Five come to 0.71: a host that starts to reach that many
#: within an hour is being administered anew, or misused.
_SCALE: Final = 4.0
_HIGH: Final = 10


class Reach(msgspec.Struct, gc=False):
    """Whom one host reaches."""

    src: str
    start: float
    ts: float
    #: Others -> when they were first reached, Unix seconds; newest use last.
    known: dict[str, float] = {}
    #: New within the window -> port.
    new: dict[str, int] = {}
    evidence: list[str] = []


class LateralState(msgspec.Struct):
    """All that is remembered."""

    hosts: dict[str, Reach] = {}


class Lateral:
    """Counts, for each host, others that it reaches for the first time."""

    name: ClassVar[str] = "lateral"
    title: ClassVar[str] = "Many hosts reached for the first time by remote control"
    revision: ClassVar[str] = "1"
    device_id: ClassVar[int] = 16
    category: ClassVar[EventCategory] = EventCategory.NETWORK
    forgets_s: ClassVar[float] = 6 * WINDOW_S

    def __init__(self) -> None:
        self.state = LateralState()

    def see(self, event: Event, feed: str, record: Record | None) -> Iterable[Signal]:  # noqa: ARG002
        """Take up a connection that was answered."""
        if not isinstance(record, Connection) or record.port not in PORTS or record.failed is not False:
            return ()
        host = touched(self.state.hosts, record.src, lambda: Reach(record.src, record.ts, record.ts), MAX_HOSTS)
        if record.ts >= host.start + WINDOW_S:
            host.start, host.new, host.evidence = record.ts, {}, []
        is_new = record.dst not in host.known
        remember(host.known, record.dst, host.known.get(record.dst, record.ts), MAX_KNOWN)
        if not is_new or record.ts < host.start - WINDOW_S:
            return ()
        host.ts = max(host.ts, record.ts)
        host.new[record.dst] = record.port
        keep_newest(host.evidence, event.event_id, MAX_EVIDENCE)
        signal = judged(host)
        return (signal,) if signal.score >= LEAST_SCORE else ()


def judged(host: Reach) -> Signal:
    """Return what the new others of a host come to."""
    number = len(host.new)
    score = 1.0 - math.exp(-number / _SCALE)
    ports = sorted(set(host.new.values()))
    return Signal(
        key=host.src,
        ts=host.ts,
        score=score,
        measure=number,
        says=(
            f"{host.src} reached {number} hosts for the first time within an hour, at port"
            f" {', '.join(map(str, ports))}; it is known to reach {len(host.known)}"
        ),
        severity=Severity.HIGH if number >= _HIGH else Severity.MEDIUM,
        features=(
            Feature(name="new_hosts", value=number, score=score, says="reached for the first time within an hour"),
            Feature(name="known_hosts", value=len(host.known), says="reached at any time"),
        ),
        entities=(
            Entity("ip", host.src, "src"),
            *(Entity("ip", other, "dest") for other in list(host.new)[-10:]),
        ),
        techniques=("T1021",),
        evidence=tuple(host.evidence),
        records=number,
        matched={"src": host.src},
    )


SCORER = Lateral
