"""Scans: a host whose first contacts with others mostly fail."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from dsmil.analytics.bounded import drop_oldest, keep_newest, touched
from dsmil.analytics.records import Connection, Record
from dsmil.analytics.signal import LEAST_SCORE, MAX_EVIDENCE, Feature, Signal, by_weight
from dsmil.analytics.stats import certainty
from dsmil.events.model import Entity, EventCategory, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dsmil.events.model import Event

#: Hosts that are remembered.
MAX_HOSTS: Final = 8_192
#: First contacts of one host that are told apart: it has long been said by then.
MAX_CONTACTS: Final = 1_024
#: First contacts of all hosts together.
MAX_KEPT: Final = 200_000
#: Contacts are first ones once in this long, seconds of event time.
WINDOW_S: Final = 3_600.0
#: How often a first contact succeeds, of a good host and of one that scans: J. Jung and others, Fast Portscan
#: Detection Using Sequential Hypothesis Testing, 2004.
_GOOD_SUCCEEDS: Final = 0.8
_SCAN_SUCCEEDS: Final = 0.2
#: Log odds before any contact: one host in 100,000, in an hour (natural logarithm).
_PRIOR: Final = math.log(1e-5)
_FAILED: Final = math.log((1 - _SCAN_SUCCEEDS) / (1 - _GOOD_SUCCEEDS))
_SUCCEEDED: Final = math.log(_SCAN_SUCCEEDS / _GOOD_SUCCEEDS)
#: Failed first contacts from which on a scan is HIGH.
_HIGH: Final = 100


class Contacts(msgspec.Struct, gc=False):
    """First contacts of one host, within a window."""

    src: str
    start: float
    ts: float
    #: ``address:port`` -> whether it failed.
    contacts: dict[str, bool] = {}
    failed: int = 0
    evidence: list[str] = []


class ScanState(msgspec.Struct):
    """All that is remembered."""

    hosts: dict[str, Contacts] = {}
    kept: int = 0


class Scan:
    """The threshold random walk over first contacts, whatever is scanned: many hosts, or many ports of one."""

    name: ClassVar[str] = "scan"
    title: ClassVar[str] = "Hosts or ports scanned"
    revision: ClassVar[str] = "1"
    device_id: ClassVar[int] = 16
    category: ClassVar[EventCategory] = EventCategory.NETWORK
    forgets_s: ClassVar[float] = 6 * WINDOW_S

    def __init__(self) -> None:
        self.state = ScanState()

    def see(self, event: Event, feed: str, record: Record | None) -> Iterable[Signal]:  # noqa: ARG002
        """Take up a first contact over TCP: silence over UDP means nothing."""
        if not isinstance(record, Connection) or record.failed is None or record.proto != "tcp":
            return ()
        state = self.state
        if len(state.hosts) >= MAX_HOSTS or state.kept >= MAX_KEPT:
            state.kept -= sum(len(old.contacts) for old in drop_oldest(state.hosts))
        host = touched(state.hosts, record.src, lambda: Contacts(record.src, record.ts, record.ts), MAX_HOSTS)
        if record.ts >= host.start + WINDOW_S:
            state.kept -= len(host.contacts)
            host = state.hosts[record.src] = Contacts(record.src, record.ts, record.ts)
        elif record.ts < host.start - WINDOW_S:
            return ()
        contact = f"{record.dst}:{record.port}"
        if contact in host.contacts or len(host.contacts) >= MAX_CONTACTS:
            return ()
        host.ts = max(host.ts, record.ts)
        host.contacts[contact] = record.failed
        state.kept += 1
        if not record.failed:
            return ()
        host.failed += 1
        keep_newest(host.evidence, event.event_id, MAX_EVIDENCE)
        log_odds = walk(host.failed, len(host.contacts) - host.failed)
        return (judged(host),) if certainty(log_odds) >= LEAST_SCORE else ()


def walk(failed: int, succeeded: int) -> float:
    """Return the log odds that a host scans, after so many first contacts."""
    return _PRIOR + failed * _FAILED + succeeded * _SUCCEEDED


def judged(host: Contacts) -> Signal:
    """Return what the first contacts of a host come to."""
    number = len(host.contacts)
    places = [contact.rpartition(":") for contact, failed in host.contacts.items() if failed]
    hosts, ports = {place[0] for place in places}, {place[2] for place in places}
    score = certainty(walk(host.failed, number - host.failed))
    if len(hosts) >= len(ports):
        what = f"{len(hosts)} hosts at " + (
            f"port {next(iter(ports))}" if len(ports) == 1 else f"{len(ports)} ports"
        )
    else:
        what = f"{len(ports)} ports of {len(hosts)} host{'s' if len(hosts) > 1 else ''}"
    aims = [Entity("ip", next(iter(hosts)), "dest")] if len(hosts) == 1 else []
    return Signal(
        key=host.src,
        ts=host.ts,
        score=score,
        measure=host.failed,
        says=f"{host.src} tried {what} in vain within an hour; {number - host.failed} first contacts succeeded",
        severity=Severity.HIGH if host.failed >= _HIGH else Severity.MEDIUM,
        features=(
            *by_weight(
                (
                    Feature(name="failed_share", value=host.failed / number, score=host.failed / number),
                    Feature(name="failed", value=host.failed, score=score, says="first contacts that failed"),
                )
            ),
            Feature(name="hosts", value=len(hosts)),
            Feature(name="ports", value=len(ports)),
        ),
        entities=(Entity("ip", host.src, "src"), *aims),
        techniques=("T1046",),
        evidence=tuple(host.evidence),
        records=number,
        matched={"src": host.src},
    )


SCORER = Scan
