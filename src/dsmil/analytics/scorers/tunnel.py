"""DNS tunnelling: a host that writes data into the names it asks for, below one registered domain."""

from __future__ import annotations

import re
from hashlib import blake2b
from math import log2
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from dsmil.analytics.bounded import drop_oldest, keep_newest, touched
from dsmil.analytics.domains import split
from dsmil.analytics.letters import count_into, entropy, randomness
from dsmil.analytics.records import Lookup, Record
from dsmil.analytics.signal import LEAST_SCORE, MAX_EVIDENCE, Feature, Signal, by_weight
from dsmil.analytics.stats import between, certainty
from dsmil.events.model import Entity, EventCategory, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dsmil.events.model import Event

#: Pairs of host and domain that are remembered.
MAX_PAIRS: Final = 8_192
#: Different names of one pair that are told apart; it has long been said by then.
MAX_NAMES: Final = 2_048
#: Different names of all pairs together.
MAX_KEPT: Final = 200_000
#: Names are counted over this long, seconds of event time: a slow tunnel takes a day for a file.
WINDOW_S: Final = 86_400.0
#: Different names before anything is said.
FEWEST: Final = 20
#: Bytes written into names that count for nothing, and that count in full. V. Paxson and others, Practical
#: Comprehensive Bounds on Surreptitious Communication Over DNS, 2013, alarm at 4 KB a day: 0.67 here.
_NOTHING_BYTES: Final = 256
_FULL_BYTES: Final = 16_384
#: Characters before the domain that count in full: a label holds 63 at most, names of people rarely 30.
_FULL_LENGTH: Final = 40
#: Types whose answers carry free data: what a tunnel needs for the way back.
_DATA_KINDS: Final = frozenset(("TXT", "NULL", "MX", "CNAME", "SRV", "PRIVATE", "KEY"))
#: What each feature counts.
_WEIGHTS: Final = {
    "carried_bytes": 0.35,
    "unique_share": 0.25,
    "randomness": 0.2,
    "length": 0.1,
    "data_types": 0.1,
}
#: Names of addresses, of the local network, and of directories, which are asked for in bulk by design.
_NOT_OUTSIDE: Final = (".arpa", ".local", ".lan", ".internal", ".home", ".localdomain")
#: An address, backwards: a look-up of a blocklist, as mail servers make for every message.
_BLOCKLIST: Final = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}(?:\..*)?|(?:[0-9a-f]\.){31}[0-9a-f](?:\..*)?")
_HIGH: Final = 0.85


class Names(msgspec.Struct, gc=False):
    """The names below one domain that one host asked for, within a window."""

    src: str
    domain: str
    start: float
    ts: float
    #: Digests of the different names; a dictionary, because it keeps its order.
    seen: dict[int, int] = {}
    queries: int = 0
    #: Whether questions have records of their own; answers are not counted then.
    asked: bool = False
    missing: int = 0
    data_kinds: int = 0
    #: Characters of the different names, and their sum.
    letters: dict[str, int] = {}
    length: int = 0
    #: Sum of what their letters say, natural log odds, bounded for each.
    odds: float = 0.0
    evidence: list[str] = []
    #: Different names when it was judged last.
    judged: int = 0


class TunnelState(msgspec.Struct):
    """All that is remembered."""

    pairs: dict[str, Names] = {}
    kept: int = 0


class Tunnel:
    """Scores every pair of host and registered domain by what its names could carry."""

    name: ClassVar[str] = "dns-tunnel"
    title: ClassVar[str] = "Data in names asked of DNS"
    revision: ClassVar[str] = "1"
    device_id: ClassVar[int] = 19
    category: ClassVar[EventCategory] = EventCategory.NETWORK
    forgets_s: ClassVar[float] = WINDOW_S

    def __init__(self) -> None:
        self.state = TunnelState()

    def see(self, event: Event, feed: str, record: Record | None) -> Iterable[Signal]:  # noqa: ARG002
        """Count a name; judge its domain when there are an eighth more of them than when it was judged last."""
        if not isinstance(record, Lookup) or record.name.endswith(_NOT_OUTSIDE):
            return ()
        before, domain = split(record.name)
        if not before or _BLOCKLIST.fullmatch(before):
            return ()
        names = self._take(record, before, domain)
        if names is None:
            return ()
        keep_newest(names.evidence, event.event_id, MAX_EVIDENCE)
        if len(names.seen) < FEWEST or len(names.seen) * 8 < names.judged * 9:
            return ()
        names.judged = len(names.seen)
        signal = judged(names)
        return (signal,) if signal.score >= LEAST_SCORE else ()

    def _take(self, record: Lookup, before: str, domain: str) -> Names | None:
        """Count a name; return its pair, None when it belongs to a window that is over."""
        state, key = self.state, f"{record.src} > {domain}"
        if len(state.pairs) >= MAX_PAIRS or state.kept >= MAX_KEPT:
            state.kept -= sum(len(old.seen) for old in drop_oldest(state.pairs))
        names = touched(state.pairs, key, lambda: Names(record.src, domain, record.ts, record.ts), MAX_PAIRS)
        if record.ts >= names.start + WINDOW_S:
            state.kept -= len(names.seen)
            names = state.pairs[key] = Names(record.src, domain, record.ts, record.ts)
        elif record.ts < names.start - WINDOW_S:
            return None
        names.ts = max(names.ts, record.ts)
        names.missing += bool(record.missing)
        names.asked = names.asked or not record.is_answer
        if not (record.is_answer and names.asked):
            names.queries += 1
            names.data_kinds += record.kind in _DATA_KINDS
        digest = int.from_bytes(blake2b(before.encode("utf-8", "replace"), digest_size=7).digest())
        if digest not in names.seen and len(names.seen) < MAX_NAMES:
            names.seen[digest] = 1
            state.kept += 1
            names.length += len(before)
            names.odds += max(-3.0, min(3.0, randomness(before)))
            count_into(names.letters, before)
        return names


def judged(names: Names) -> Signal:
    """Return what the names of a pair come to."""
    unique = len(names.seen)
    carried = names.length * entropy(names.letters) / 8
    mean_length = names.length / unique
    values = {
        "carried_bytes": (carried, between(log2(max(carried, 1)), log2(_NOTHING_BYTES), log2(_FULL_BYTES))),
        "unique_share": (unique / names.queries, unique / names.queries),
        "randomness": (names.odds / unique, certainty(names.odds / unique)),
        "length": (mean_length, min(1.0, mean_length / _FULL_LENGTH)),
        "data_types": (names.data_kinds / names.queries, names.data_kinds / names.queries),
    }
    score = min(1.0, sum(weight * min(1.0, values[name][1]) for name, weight in _WEIGHTS.items()))
    weighed = (
        Feature(name=name, value=value, score=min(1.0, counts), says=_SAYS[name])
        for name, (value, counts) in values.items()
    )
    missing = names.missing / names.queries
    return Signal(
        key=f"{names.src} > {names.domain}",
        ts=names.ts,
        score=score,
        measure=carried,
        says=(
            f"{names.src} asked for {unique} different names below {names.domain} within a day; they could carry"
            f" {carried:.0f} bytes"
        ),
        severity=Severity.HIGH if score >= _HIGH else Severity.MEDIUM,
        features=(
            *by_weight(weighed),
            Feature(name="names", value=unique, says="different names"),
            Feature(name="missing_share", value=missing, says="share of queries without such a name"),
        ),
        entities=(Entity("ip", names.src, "src"), Entity("domain", names.domain, "dest")),
        techniques=("T1071.004", "T1572"),
        evidence=tuple(names.evidence),
        records=names.queries,
        matched={"src": names.src, "domain": names.domain},
    )


_SAYS: Final = {
    "carried_bytes": "characters of the different names times their entropy, in bytes",
    "unique_share": "different names to queries",
    "randomness": "log odds that names are drawn, not chosen; each counts 3 bits at most",
    "length": "mean number of characters before the domain",
    "data_types": "share of queries for TXT, NULL and the like",
}

SCORER = Tunnel
