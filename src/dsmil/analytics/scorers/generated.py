"""Generated names: a host that tries domain after domain whose names nobody chose."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from dsmil.analytics.bounded import keep_newest, touched
from dsmil.analytics.domains import split
from dsmil.analytics.letters import randomness
from dsmil.analytics.records import Lookup, Record
from dsmil.analytics.signal import LEAST_SCORE, MAX_EVIDENCE, Feature, Signal, by_weight
from dsmil.analytics.stats import between, certainty
from dsmil.events.model import Entity, EventCategory, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dsmil.events.model import Event

#: Hosts that are remembered.
MAX_HOSTS: Final = 8_192
#: Domains of one host that are told apart.
MAX_DOMAINS: Final = 512
#: Names are counted over this long, seconds of event time.
WINDOW_S: Final = 3_600.0
#: Domains that do not exist before anything is said.
FEWEST: Final = 6
#: Log odds before anything was asked: one host in a thousand, in an hour (natural logarithm).
_PRIOR: Final = -6.9
#: What one name can say at most, in bits: no single name convicts.
_MOST_BITS: Final = 4.0
_BIT: Final = 0.693147
#: Names kept to be shown.
_SHOWN: Final = 10
#: Top labels under which nothing is registered, so that nobody who generates names uses them.
_NOT_OUTSIDE: Final = (".arpa", ".local", ".lan", ".internal", ".home", ".localdomain", ".corp")
_HIGH: Final = 0.95


class Tried(msgspec.Struct, gc=False):
    """Domains that one host asked for and that do not exist, within a window."""

    src: str
    start: float
    ts: float
    #: Domain -> bits, bounded, that it was drawn at random.
    domains: dict[str, float] = {}
    queries: int = 0
    evidence: list[str] = []


class GeneratedState(msgspec.Struct):
    """All that is remembered."""

    hosts: dict[str, Tried] = {}


class Generated:
    """Adds up, for each host, how likely its failed names are to be drawn at random: a sequential test."""

    name: ClassVar[str] = "generated-names"
    title: ClassVar[str] = "Generated domain names tried"
    revision: ClassVar[str] = "1"
    device_id: ClassVar[int] = 19
    category: ClassVar[EventCategory] = EventCategory.NETWORK
    forgets_s: ClassVar[float] = 6 * WINDOW_S

    def __init__(self) -> None:
        self.state = GeneratedState()

    def see(self, event: Event, feed: str, record: Record | None) -> Iterable[Signal]:  # noqa: ARG002
        """Take up a name that does not exist."""
        if not isinstance(record, Lookup) or not record.missing or record.name.endswith(_NOT_OUTSIDE):
            return ()
        _, domain = split(record.name)
        if "." not in domain:
            return ()  # a bare word: a search list or a browser's probe, never a registered domain
        tried = touched(self.state.hosts, record.src, lambda: Tried(record.src, record.ts, record.ts), MAX_HOSTS)
        if record.ts >= tried.start + WINDOW_S:
            tried = self.state.hosts[record.src] = Tried(record.src, record.ts, record.ts)
        elif record.ts < tried.start - WINDOW_S:
            return ()
        tried.ts = max(tried.ts, record.ts)
        tried.queries += 1
        if domain in tried.domains or len(tried.domains) >= MAX_DOMAINS:
            return ()
        bits = randomness(domain.partition(".")[0])
        tried.domains[domain] = max(-_MOST_BITS, min(_MOST_BITS, bits))
        keep_newest(tried.evidence, event.event_id, MAX_EVIDENCE)
        if len(tried.domains) < FEWEST:
            return ()
        signal = judged(tried)
        return (signal,) if signal.score >= LEAST_SCORE else ()


def judged(tried: Tried) -> Signal:
    """Return what the failed names of a host come to."""
    number = len(tried.domains)
    bits = sum(tried.domains.values())
    score = certainty(_PRIOR + bits * _BIT)
    shown = [domain for domain, one in tried.domains.items() if one > 0][-_SHOWN:]
    features = (
        Feature(
            name="randomness",
            value=bits,
            score=score,
            says="bits, of all names together, that they are drawn and not chosen; each counts 4 at most",
        ),
        Feature(name="missing_domains", value=number, score=between(number, 0, 10 * FEWEST)),
    )
    return Signal(
        key=tried.src,
        ts=tried.ts,
        score=score,
        measure=number,
        says=(
            f"{tried.src} asked for {number} domains that do not exist within an hour, such as"
            f" {', '.join(shown[-3:])}"
        ),
        severity=Severity.HIGH if score >= _HIGH else Severity.MEDIUM,
        features=by_weight(features),
        entities=(Entity("ip", tried.src, "src"), *(Entity("domain", domain) for domain in shown)),
        techniques=("T1568.002",),
        evidence=tuple(tried.evidence),
        records=tried.queries,
        matched={"src": tried.src},
    )


SCORER = Generated
