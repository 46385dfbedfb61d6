"""The oracle: compares sets of ids, entry by entry, on every hop and in the store. Counts alone prove nothing."""

from __future__ import annotations

import contextlib
import functools
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import redis

from dsmil.config import Settings
from dsmil.infrastructure.status import collect

_PAGE: Final = 5000


class Hop(NamedTuple):
    """One group that reads a stream and puts out to another, one output per entry."""

    source: str
    group: str
    target: str


ROUTER: Final = Hop("L3_OUT", "soc-router", "SOC_EVENTS")
DETECTOR: Final = Hop("L3_IN", "l3-suricata-alert", "L3_OUT")


class Copy(NamedTuple):
    """What one entry carries: the copy number of its producer's attempt, and its event id."""

    number: int
    event_id: str


#: Returns the whole content of a stream.
_Read = Callable[[str], list[Copy]]


class Verdict(msgspec.Struct, kw_only=True):
    """What is wrong; everything is empty when nothing is."""

    #: Events that were accepted and came out nowhere.
    lost: set[str] = msgspec.field(default_factory=set)
    #: Copies that were put out more than once, or never put in.
    duplicated: set[str] = msgspec.field(default_factory=set)
    #: Copies that one attempt of a producer put in more than once.
    resent: set[int] = msgspec.field(default_factory=set)
    #: Everything else, in words: rows, pending entries, ledger, integrity.
    other: list[str] = msgspec.field(default_factory=list)

    def problems(self) -> list[str]:
        """Return what is wrong in words."""
        found = list(self.other)
        for name in ("lost", "duplicated", "resent"):
            ids = getattr(self, name)
            if ids:
                found.append(f"{len(ids)} {name}, such as {sorted(ids)[:3]}")
        return found


def entries(client: redis.Redis, stream: str) -> list[Copy]:
    """Return the whole content of a stream in its order."""
    found: list[Copy] = []
    after = "-"
    while True:
        rows: Any = client.xrange(stream, min=after, count=_PAGE)
        for _, fields in rows:
            found.append(_copy(json.loads(fields[b"event"])))
        if len(rows) < _PAGE:
            return found
        after = f"({rows[-1][0].decode()}"


def _copy(document: Mapping[str, Any]) -> Copy:
    payload = document["payload"]
    return Copy(int(payload.get("copy") or payload.get("raw", {}).get("copy") or 0), document["event_id"])


def check(
    client: redis.Redis,
    settings: Settings,
    accepted: Mapping[int, str],
    hops: Iterable[Hop] = (ROUTER,),
    *,
    kept: Iterable[str] = (),
    store: bool = True,
) -> Verdict:
    """Judge a fabric at rest.

    ``accepted`` are the copies confirmed to the producer of the first hop; ``kept`` are events of which a row
    was committed before the broker's data were lost.
    """
    verdict = Verdict()
    chain = list(hops)
    # Each stream is read once: nothing moves any more, and the long scenarios have millions of entries.
    read = functools.cache(functools.partial(entries, client))
    there = {copy.number for copy in read(chain[0].source)}
    verdict.lost |= {event_id for number, event_id in accepted.items() if number not in there}
    for hop in chain:
        _check_hop(client, read, hop, verdict)
    if store:
        _check_store(read, settings, set(kept), verdict)
    _check_ledger(settings, {(hop.source, hop.group) for hop in chain}, verdict, store=store)
    letters = int(client.xlen("DEAD_LETTERS"))
    if letters:
        row: Any = client.xrange("DEAD_LETTERS", count=1)
        verdict.other.append(f"{letters} dead letters, such as {dict(row[0][1])}")
    return verdict


def _check_hop(client: redis.Redis, read: _Read, hop: Hop, verdict: Verdict) -> None:
    put_in, put_out = read(hop.source), read(hop.target)
    arrived = Counter(copy.number for copy in put_in)
    left = Counter(copy.number for copy in put_out)
    verdict.resent |= {number for number, times in arrived.items() if times > 1}
    verdict.duplicated |= {f"{hop.target}:{n}" for n, times in left.items() if times > arrived[n]}
    published = {copy.event_id for copy in put_in if left[copy.number]}
    silent = [copy for copy in put_in if not left[copy.number]]
    verdict.lost |= {copy.event_id for copy in silent if copy.event_id not in published}
    ledger = {k.decode(): int(v) for k, v in _hash(client, f"dsmil:ledger:{hop.source}:{hop.group}").items()}
    twins = sum((arrived - left).values())
    figures = (ledger.get("published", 0), ledger.get("duplicate", 0))
    if figures != (len(put_out), twins) and not verdict.duplicated:
        verdict.other.append(
            f"{hop.group} counts published, duplicate as {figures}, but it was {len(put_out), twins}"
        )
    summary: Any = client.xpending(hop.source, hop.group)
    if summary["pending"]:
        verdict.other.append(f"{summary['pending']} entries of {hop.source} are still pending for {hop.group}")


def _hash(client: redis.Redis, key: str) -> dict[bytes, bytes]:
    found: Any = client.hgetall(key)
    return dict(found)


def _check_store(read: _Read, settings: Settings, kept: set[str], verdict: Verdict) -> None:
    """One row per event; the first body that was published is the one that stays."""
    first: dict[str, int] = {}
    for copy in read("SOC_EVENTS"):
        first.setdefault(copy.event_id, copy.number)
    soc = {row[0]: row[1] for row in rows(settings, "SELECT event_id, payload FROM soc_events_cache")}
    ids = [row[0] for row in rows(settings, "SELECT event_id FROM soc_events_cache")]
    wanted = first.keys() | kept
    verdict.lost |= wanted - soc.keys()
    if len(ids) != len(set(ids)):
        verdict.other.append(f"{len(ids) - len(set(ids))} rows too many in soc_events_cache")
    if not kept and soc.keys() - wanted:
        verdict.other.append(f"{len(soc.keys() - wanted)} rows of events that were never published")
    bodies = {e: _copy({"event_id": e, "payload": json.loads(body)}).number for e, body in soc.items()}
    wrong = [e for e, number in first.items() if e not in kept and bodies.get(e, number) != number]
    if wrong:
        verdict.other.append(f"{len(wrong)} rows have another body than the first published, such as {wrong[:3]}")
    raw = {row[0] for row in rows(settings, "SELECT event_id FROM raw_events_fast")}
    missing = (first.keys() | {copy.event_id for copy in read("L3_IN")}) - raw
    if missing:
        verdict.other.append(f"{len(missing)} raw rows are missing, such as {sorted(missing)[:3]}")
    said = rows(settings, "PRAGMA integrity_check")
    if said != [("ok",)]:
        verdict.other.append(f"integrity_check: {said[:3]}")


def _check_ledger(settings: Settings, groups: set[tuple[str, str]], verdict: Verdict, *, store: bool) -> None:
    status = collect(settings)
    found = {
        (stream["name"], group["name"]): group
        for stream in status["broker"]["streams"]
        for group in stream["groups"]
        if group["name"] != "dsmil"
    }
    for key in groups - found.keys():
        verdict.other.append(f"the group {key} is not there")
    for key, group in found.items():
        if group.get("imbalance") != 0:
            verdict.other.append(f"the ledger of {key} is off by {group.get('imbalance')}: {group['ledger']}")
    for place in status["store"].get("positions", ()) if store else ():
        if place["entries"] != place["rows"] + place["duplicates"] + place["rejected"]:
            verdict.other.append(f"the store's ledger does not balance: {place}")


def rows(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    """Ask the hot store through the standard library, which shares no code with the product."""
    place = f"file:{Path(settings.hotpath_db)}?mode=ro"
    with contextlib.closing(sqlite3.connect(place, uri=True, timeout=10)) as connection:
        return connection.execute(sql).fetchall()
