"""Analytics over any records: scores within bounds, and the same in any order where that is promised."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.analytics_events import conn, findings, lookup, record

from dsmil.analytics import beat, letters
from dsmil.analytics.checkins import CheckIns
from dsmil.analytics.domains import split
from dsmil.analytics.scorers.scan import Scan
from dsmil.analytics.scorers.tunnel import Tunnel
from dsmil.analytics.signal import MAX_EVIDENCE
from dsmil.analytics.stats import bowley, certainty, evenness, quantile
from dsmil.detections.analytics import Analytics
from dsmil.events.model import Event

NUMBERS = st.lists(st.floats(0, 1e9), min_size=1, max_size=60)
SECONDS = st.lists(st.tuples(st.integers(0, 80_000), st.integers(-1, 5_000)), min_size=1, max_size=200)
HOSTS = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", "8.8.8.8", "evil", ""])


@given(NUMBERS)
def test_robust_figures_stay_within_their_bounds(numbers: list[float]) -> None:
    ordered = sorted(numbers)
    assert ordered[0] <= quantile(ordered, 0.5) <= ordered[-1]
    assert -1.000001 <= bowley(ordered) <= 1.000001
    assert 0 <= beat.regularity(ordered) <= 1
    assert 0 <= evenness(ordered) <= 1


@given(st.floats())
def test_certainty_is_a_probability(log_odds: float) -> None:
    assert log_odds != log_odds or 0 <= certainty(log_odds) <= 1  # noqa: PLR0124 - NaN


@given(st.text(max_size=300))
def test_any_text_can_be_a_name(name: str) -> None:
    before, domain = split(name)
    assert f"{before}.{domain}".strip(".") in {name.strip("."), name}
    assert abs(letters.randomness(name)) <= 20 * len(name)


@given(SECONDS, st.randoms())
def test_check_ins_are_the_same_in_any_order(pairs: list[tuple[int, int]], chance: random.Random) -> None:
    sizes = [(second, None if size < 0 else size) for second, size in pairs]
    shuffled = sizes.copy()
    chance.shuffle(shuffled)
    one, other = CheckIns("a", "b"), CheckIns("a", "b")
    for second, size in sizes:
        one.add(second, size, "e")
    for second, size in shuffled:
        other.add(second, size, "e")
    assert (one.seconds, one.sizes, one.quarters) == (other.seconds, other.sizes, other.quarters)
    assert one.verdict(4) == other.verdict(4)
    assert one.seconds == sorted({second for second, _ in pairs})


@given(SECONDS)
def test_a_verdict_is_between_nothing_and_what_its_window_allows(pairs: list[tuple[int, int]]) -> None:
    checkins = CheckIns("a", "b")
    for second, size in pairs:
        checkins.add(second, size if size >= 0 else None, "e")
    verdict = checkins.verdict(4)
    if verdict is not None:
        assert 0 <= verdict.score <= 1
        assert verdict.number >= 4


@given(st.lists(st.floats(0, 1), min_size=6, max_size=60), st.floats(0, 0.9), st.floats(0, 0.9))
def test_more_jitter_never_scores_more(half: list[float], jitter: float, other: float) -> None:
    less, more = sorted((jitter, other))
    moves = [*half, *(-one for one in half)]  # as often longer as shorter: the median stays

    def regular(share: float) -> float:
        return beat.regularity(sorted(600 * (1 + share * move) for move in moves))

    assert regular(more) <= regular(less) + 1e-9 or less == 0
    assert regular(0) == 1.0


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=80), st.randoms())
def test_first_contacts_add_up_in_any_order(contacts: list[tuple[int, bool]], chance: random.Random) -> None:
    events = [
        conn(0, dst=f"10.0.1.{host}", conn_state="REJ" if failed else "SF")
        for host, failed in dict(contacts).items()
    ]
    assert _after(
        Scan(), events, chance, lambda scan: {k: (v.failed, len(v.contacts)) for k, v in scan.state.hosts.items()}
    )


@given(
    st.lists(st.text("abcdef0123456789", min_size=1, max_size=40), max_size=60), st.randoms(use_true_random=False)
)
def test_names_add_up_in_any_order(names: list[str], chance: random.Random) -> None:
    events = [lookup(n, f"{name}.t.example") for n, name in enumerate(names)]

    def figures(tunnel: Tunnel) -> Any:
        return [
            (pair.queries, pair.length, len(pair.seen), sorted(pair.letters.items()), round(pair.odds, 6))
            for pair in tunnel.state.pairs.values()
        ]

    assert _after(Tunnel(), events, chance, figures)


def _after(scorer: Any, events: list[Event], chance: random.Random, figures: Any) -> bool:
    """Return whether a scorer comes to the same figures when events are shuffled."""
    from dsmil.analytics.reading import look

    other, shuffled = type(scorer)(), events.copy()
    chance.shuffle(shuffled)
    for event in events:
        list(scorer.see(event, *look(event)))
    for event in shuffled:
        list(other.see(event, *look(event)))
    return bool(figures(scorer) == figures(other))


_ANY_CONN = st.builds(
    conn,
    at=st.floats(-1e6, 1e6),
    src=HOSTS,
    dst=HOSTS,
    port=st.sampled_from([0, 22, 53, 443, 445]),
    uid=st.sampled_from(["", "C1", "C2", "C3"]),
    service=st.sampled_from(["", "ssl", "http,ssl"]),
    conn_state=st.sampled_from(["SF", "S0", "REJ", "odd"]),
    orig_bytes=st.one_of(st.none(), st.integers(-5, 1 << 70), st.text(max_size=3)),
)
_ANY_LOOKUP = st.builds(
    lookup,
    at=st.floats(-1e6, 1e6),
    name=st.text(max_size=60),
    src=HOSTS,
    kind=st.sampled_from(["A", "TXT", ""]),
    rcode=st.sampled_from(["NOERROR", "NXDOMAIN"]),
)
_PAYLOADS = st.dictionaries(
    st.sampled_from(["_path", "id.orig_h", "id.resp_h", "id.resp_p", "uid", "host", "query", "server_name", "id"]),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=3),
)
_ANY = st.one_of(_ANY_CONN, _ANY_LOOKUP, st.builds(record, payload=_PAYLOADS, ts=st.floats(0, 1e9)))


@settings(max_examples=60)
@given(st.lists(_ANY, max_size=60))
def test_any_records_give_sound_findings_and_a_memory_that_goes_on(events: list[Event]) -> None:
    through, first, second = Analytics(), Analytics(), Analytics()
    found = findings(through, events)
    half = len(events) // 2
    early = findings(first, events[:half])
    second.recall(first.memory())
    assert [*early, *findings(second, events[half:])] == found
    assert second.memory() == through.memory()
    for finding in found:
        assert finding.score is not None
        assert 0.7 <= finding.score <= 1
        assert 1 <= len(finding.evidence) <= MAX_EVIDENCE
        assert all(0 <= one.get("score", 0) <= 1 for one in finding.payload["features"])
