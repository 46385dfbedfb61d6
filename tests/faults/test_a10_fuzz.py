"""A10: fuzzed entries on every input: nobody dies, every one is accounted for, and memory stays where it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from tests.faults import checker
from tests.faults.fuzz import fuzzed
from tests.faults.others import rss
from tests.faults.report import Row, Tier
from tests.faults.rig import DETECTOR, ROUTER, Rig

from dsmil.infrastructure.books import BESIDE, read_books
from dsmil.testing.waiting import until

_MOST_GROWTH: Final = 64 << 20
_PAGE: Final = 200
_WARM: Final = 3000


@pytest.mark.scenario("A10 fuzzed entries")
def test_fuzzed(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    number = tier.pick(20_000, 100_000)
    with make_rig() as rig:
        slots = [rig.router(), rig.detector(), rig.store()]
        put_in: dict[str, set[bytes]] = {"L3_IN": set(), "L3_OUT": set()}
        _add(rig, put_in, _WARM)
        _rest(rig)
        before = {slot.name: rss(slot.pid) for slot in slots}
        _add(rig, put_in, number)
        row.injected = number
        _rest(rig)
        growth = {slot.name: rss(slot.pid) - before[slot.name] for slot in slots}
        books = read_books(rig.client, [(hop.source, hop.group) for hop in (DETECTOR, ROUTER)])
        dead = _letters(rig)
        rig.crew.stop()
        assert rig.crew.exits() == []
        for book in books:
            assert (book.imbalance, book.pending, book.unread) == (0, 0, 0)
            assert book.ledger.get("lost", 0) == 0
            assert book.ledger.get("dead", 0) == len(dead[book.stream, book.group])
            alive = _ids(rig, book.stream) - dead[book.stream, book.group]
            settled = {name: n for name, n in book.ledger.items() if name not in BESIDE | {"dead"}}
            assert put_in[book.stream] <= alive | dead[book.stream, book.group]
            assert sum(settled.values()) == len(alive)
        router = books[1]
        published = _soc_ids(rig)
        assert router.ledger["published"] == len(published)
        stored = {event_id for (event_id,) in checker.rows(rig.settings, "SELECT event_id FROM soc_events_cache")}
        row.lost = len(set(published) - stored)
        row.duplicated = len(stored - set(published))
        assert (row.lost, row.duplicated) == (0, 0)
        assert checker.rows(rig.settings, "PRAGMA integrity_check") == [("ok",)]
        row.note = (
            f"{router.ledger['published']} routed, {router.ledger.get('dead', 0)} dead letters of the router,"
            f" +{max(growth.values()) >> 20} MB at most"
        )
        assert max(growth.values()) <= _MOST_GROWTH, growth
        assert router.ledger.get("dead", 0) > 0
        assert router.ledger["published"] > 0


def _add(rig: Rig, put_in: dict[str, set[bytes]], number: int) -> None:
    left = number
    while left:
        count = min(left, _PAGE)
        pipeline = rig.client.pipeline(transaction=False)
        streams = [rig.chance.choice(["L3_IN", "L3_OUT"]) for _ in range(count)]
        for stream in streams:
            pipeline.xadd(stream, fuzzed(rig.chance))  # type: ignore[arg-type]
        for stream, entry_id in zip(streams, pipeline.execute(), strict=True):
            put_in[stream].add(entry_id)
        left -= count


def _rest(rig: Rig) -> None:
    until(lambda: rig.at_rest((DETECTOR, ROUTER)), 300, "rest")


def _letters(rig: Rig) -> dict[tuple[str, str], set[bytes]]:
    """Return (stream, service) -> entries that became dead letters."""
    found: dict[tuple[str, str], set[bytes]] = {(hop.source, hop.group): set() for hop in (DETECTOR, ROUTER)}
    rows: Any = rig.client.xrange("DEAD_LETTERS")
    for _, fields in rows:
        key = fields[b"stream"].decode(), fields[b"service"].decode()
        found.setdefault(key, set()).add(fields[b"entry_id"])
    return found


def _ids(rig: Rig, stream: str) -> set[bytes]:
    rows: Any = rig.client.xrange(stream)
    return {entry_id for entry_id, _ in rows}


def _soc_ids(rig: Rig) -> list[str]:
    rows: Any = rig.client.xrange("SOC_EVENTS")
    return [str(json.loads(fields[b"event"])["event_id"]) for _, fields in rows]
