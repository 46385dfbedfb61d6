"""Beacons: a host that checks in at a destination at regular intervals, with messages of regular size."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from dsmil.analytics.bounded import drop_oldest, remember, touched
from dsmil.analytics.checkins import CheckIns, Verdict
from dsmil.analytics.domains import is_address, is_outside
from dsmil.analytics.records import Connection, Named, Record
from dsmil.analytics.signal import LEAST_SCORE, Feature, Signal, by_weight
from dsmil.events.model import Entity, EventCategory, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dsmil.events.model import Event

#: Pairs of host and destination that are remembered; the one that was quiet longest makes room.
MAX_PAIRS: Final = 20_000
#: Check-ins kept of all pairs together.
MAX_KEPT: Final = 400_000
#: Connections whose records wait for those of other logs about them.
MAX_UIDS: Final = 20_000
#: Hosts of which it is known which destinations they share.
MAX_HOSTS: Final = 8_192
#: Check-ins before anything is said: eleven intervals, so that each quartile stands on a few.
FEWEST: Final = 12
#: Hosts of one destination that are told apart.
_MOST_SOURCES: Final = 16
#: From this share of all hosts on, a destination is everybody's: its score falls by so much. Source: RITA's
#: modifier for prevalence, and its defaults.
_COMMON: Final = 0.5
_COMMON_LESS: Final = 0.15
#: As many hosts must be known before a share of them says anything.
_ENOUGH_HOSTS: Final = 10
#: Score from which on a beacon is HIGH.
_HIGH: Final = 0.9
#: Ports of services that are regular by design: DNS, DHCP, NTP, NetBIOS, SNMP, syslog, SSDP, mDNS, LLMNR.
_REGULAR_PORTS: Final = frozenset((53, 67, 68, 123, 137, 138, 161, 162, 514, 546, 547, 1900, 5353, 5355))
#: Beginnings of addresses that no single host has, or that leave no link.
_LOCAL: Final = ("ff0", "ff1", "fe80:", "169.254.", "127.", "255.", "0.", *(f"{n}." for n in range(224, 240)))


class Known(msgspec.Struct, gc=False):
    """A connection of which some record is known."""

    #: Pair its check-in was counted for; empty while it waits for a name.
    pair: str
    second: int
    #: Bytes sent; None until the connection's own record is there.
    sent: int | None = None
    #: Whether it has its name.
    named: bool = False


class BeaconState(msgspec.Struct):
    """All that is remembered."""

    pairs: dict[str, CheckIns] = {}
    kept: int = 0
    uids: dict[str, Known] = {}
    #: Destination -> hosts that were there, at most ``_MOST_SOURCES``.
    visitors: dict[str, list[str]] = {}
    #: Hosts seen.
    hosts: dict[str, int] = {}


class Beacon:
    """Scores every pair of host and real destination: the name behind a proxy, not the proxy."""

    name: ClassVar[str] = "beacon"
    title: ClassVar[str] = "Regular check-ins at one destination"
    revision: ClassVar[str] = "1"
    device_id: ClassVar[int] = 16
    category: ClassVar[EventCategory] = EventCategory.NETWORK
    forgets_s: ClassVar[float] = 86_400.0

    def __init__(self) -> None:
        self.state = BeaconState()

    def see(self, event: Event, feed: str, record: Record | None) -> Iterable[Signal]:  # noqa: ARG002
        """Count a check-in; judge its pair when it has an eighth more than when it was judged last."""
        if isinstance(record, Connection):
            if record.port in _REGULAR_PORTS or record.dst.startswith(_LOCAL) or record.dst.endswith(".255"):
                return ()
            changed = self._connection(record, event.event_id)
        elif isinstance(record, Named):
            changed = self._named(record, event.event_id)
        else:
            return ()
        if changed is None or changed.unjudged * 8 < len(changed.seconds) or len(changed.seconds) < FEWEST:
            return ()
        changed.unjudged = 0
        signal = self.judged(changed)
        return (signal,) if signal is not None and signal.score >= LEAST_SCORE else ()

    def scores(self, fewest: int = FEWEST) -> Iterator[Signal]:
        """Yield what every pair comes to as things stand, however little."""
        for pair in self.state.pairs.values():
            signal = self.judged(pair, fewest)
            if signal is not None:
                yield signal

    # Whose check-in it is

    def _connection(self, record: Connection, event_id: str) -> CheckIns | None:
        second, state = int(record.ts), self.state
        known = state.uids.get(record.uid) if record.uid else None
        if known is not None:
            known.sent = record.sent if known.sent is None else max(known.sent, record.sent or 0)
            pair = state.pairs.get(known.pair)
            if pair is not None:
                pair.resize(known.second, known.sent)
            return None
        # Both in one connection: an HTTP request to a proxy, then TLS with whom it named.
        waits = "http" in record.service and "ssl" in record.service and bool(record.uid)
        dest = f"{record.dst}:{record.port}"
        key = "" if waits else _key(record.src, dest)
        if record.uid:
            remember(state.uids, record.uid, Known(key, second, record.sent), MAX_UIDS)
        return None if waits else self._add(record.src, dest, second, record.sent, event_id)

    def _named(self, record: Named, event_id: str) -> CheckIns | None:
        state, second = self.state, int(record.ts)
        name = record.name if record.name and not is_address(record.name) else ""
        dest = name or f"{record.dst}:{record.port}"
        key = _key(record.src, dest)
        known = state.uids.get(record.uid) if record.uid and not record.again else None
        if known is None:
            if record.uid and not record.again:
                remember(state.uids, record.uid, Known(key, second, named=True), MAX_UIDS)
            return self._add(record.src, dest, second, None, event_id)
        if known.named:
            return None  # TLS behind a CONNECT: one connection, one check-in
        known.named = True
        if known.pair == key:
            return None
        before = state.pairs.get(known.pair)
        if before is not None:
            before.remove(known.second)
            state.kept -= 1
        known.pair = key
        return self._add(record.src, dest, known.second, known.sent, event_id)

    def _add(self, src: str, dest: str, second: int, size: int | None, event_id: str) -> CheckIns | None:
        state = self.state
        key = _key(src, dest)
        self._make_room()
        pair = touched(state.pairs, key, lambda: CheckIns(src, dest), MAX_PAIRS)
        visitors = touched(state.visitors, dest, list, MAX_PAIRS)
        if src not in visitors and len(visitors) < _MOST_SOURCES:
            visitors.append(src)
        if src not in state.hosts:
            remember(state.hosts, src, 1, MAX_HOSTS)
        before = len(pair.seconds)
        added = pair.add(second, size, event_id)
        state.kept += len(pair.seconds) - before
        return pair if added else None

    def _make_room(self) -> None:
        state = self.state
        if len(state.pairs) >= MAX_PAIRS or state.kept >= MAX_KEPT:
            state.kept -= sum(len(pair.seconds) for pair in drop_oldest(state.pairs))

    # What it comes to

    def judged(self, pair: CheckIns, fewest: int = FEWEST) -> Signal | None:
        """Return what a pair comes to, or None when it has too few check-ins."""
        verdict = pair.verdict(fewest)
        if verdict is None:
            return None
        visitors, hosts = len(self.state.visitors.get(pair.dest, ())), len(self.state.hosts)
        is_common = hosts >= _ENOUGH_HOSTS and (visitors >= _COMMON * hosts or visitors >= _MOST_SOURCES)
        score = max(0.0, verdict.score - _COMMON_LESS) if is_common else verdict.score
        host, _, port = pair.dest.rpartition(":")
        entities = [Entity("ip", pair.src, "src")]
        if is_address(host):
            entities += [Entity("ip", host, "dest"), Entity("port", port, "dest")]
        else:
            entities.append(Entity("domain", pair.dest, "dest"))
        beat = verdict.beat
        return Signal(
            key=_key(pair.src, pair.dest),
            ts=float(pair.seconds[-1]),
            score=score,
            measure=verdict.number,
            says=(
                f"{pair.src} checks in at {pair.dest} every {beat.every_s:g} s, half of the times within"
                f" {beat.give_s:g} s of it: {verdict.number} times in {_span(verdict.window_s)}"
            ),
            severity=Severity.HIGH if score >= _HIGH else Severity.MEDIUM,
            features=(*by_weight(_weighed(verdict)), *_told(verdict, visitors)),
            entities=tuple(entities),
            # What comes in regularly tries something, but it is nobody here that is told what to do.
            techniques=() if is_outside(pair.src) else ("T1071",),
            evidence=tuple(pair.evidence),
            records=pair.records,
            matched={"src": pair.src, "dest": pair.dest},
        )


def _key(src: str, dest: str) -> str:
    return f"{src} > {dest}"


def _weighed(verdict: Verdict) -> Iterator[Feature]:
    beat = verdict.beat
    says = f"median {beat.every_s:g} s, deviation {beat.give_s:g} s"
    yield Feature(name="interval", value=beat.interval, score=beat.interval, says=says)
    if beat.size is not None:
        yield Feature(name="size", value=beat.size, score=beat.size, says="likeness of the bytes sent")
    yield Feature(
        name="histogram", value=beat.histogram, score=beat.histogram, says="evenness over 24 parts of the window"
    )
    yield Feature(name="duration", value=beat.duration, score=beat.duration, says="share of the window")


def _told(verdict: Verdict, visitors: int) -> Iterator[Feature]:
    yield Feature(name="sure_interval", value=verdict.beat.sure, says="interval less two standard errors")
    yield Feature(name="window_s", value=verdict.window_s, says=_span(verdict.window_s))
    yield Feature(name="check_ins", value=verdict.number)
    yield Feature(name="hosts", value=visitors, says="hosts that are known to visit the destination")


def _span(seconds: int) -> str:
    return f"{seconds // 3600} h" if seconds >= 7200 else f"{seconds // 60} min"  # noqa: PLR2004 - two hours


SCORER = Beacon
