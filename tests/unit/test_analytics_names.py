"""Names asked of DNS: tunnels and generated names, and what looks like them and is none."""

from __future__ import annotations

import base64
import random

import pytest
from tests.unit.analytics_events import feature, findings, lookup

from dsmil.analytics import letters
from dsmil.analytics.domains import is_address, split
from dsmil.detections.analytics import Analytics
from dsmil.events.model import Entity, Event

CHOSEN = "google facebook wikipedia stackoverflow nytimes spiegel cloudfront doubleclick microsoftonline".split()
WORDS = "www mail api cdn static img login shop app dev test blog news auth edge assets media video data".split()


def _drawn(chance: random.Random, length: int = 12) -> str:
    return "".join(chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(length))


def _carrying(number: int, kinds: tuple[str, ...], length: int) -> list[Event]:
    chance = random.Random(7)
    events = []
    for n in range(number):
        data = base64.b32encode(chance.randbytes(length)).decode().lower().rstrip("=")
        events.append(lookup(2.0 * n, f"{data}.t.evil.example", kind=chance.choice(kinds)))
    return events


def test_names_of_people_and_names_of_nobody_differ() -> None:
    chance = random.Random(3)
    assert max(letters.randomness(name) for name in CHOSEN) < 0
    drawn = sorted(letters.randomness(_drawn(chance)) for _ in range(200))
    assert drawn[100] > 8
    assert letters.entropy({"a": 4, "b": 4}) == 1.0
    assert letters.entropy({}) == 0.0


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a.b.example.com", ("a.b", "example.com")),
        ("example.com", ("", "example.com")),
        ("www.example.co.uk", ("www", "example.co.uk")),
        ("wpad", ("", "wpad")),
        ("", ("", "")),
    ],
)
def test_a_name_is_split_at_what_was_registered(name: str, parts: tuple[str, str]) -> None:
    assert split(name) == parts


def test_addresses_are_no_names() -> None:
    assert is_address("10.0.0.1")
    assert is_address("fe80::1")
    assert not is_address("face.example")


@pytest.mark.parametrize(("kinds", "length"), [(("TXT", "CNAME", "MX"), 30), (("NULL",), 60), (("A",), 30)])
def test_a_tunnel_is_found_by_what_its_names_carry(kinds: tuple[str, ...], length: int) -> None:
    found = findings(Analytics(), _carrying(400, kinds, length), "dns-tunnel")
    assert found
    last = found[-1]
    assert last.source_device == 19
    assert last.techniques == ("T1071.004", "T1572")
    assert Entity("domain", "evil.example", "dest") in last.entities
    assert feature(last, "unique_share")["value"] == 1.0
    assert feature(last, "carried_bytes")["value"] > 1000
    assert len(last.evidence) <= 50
    assert len(found) <= 5


def test_a_name_that_carries_more_scores_more() -> None:
    few, many = (findings(Analytics(), _carrying(n, ("TXT",), 30), "dns-tunnel")[-1] for n in (60, 600))
    assert (few.score or 0) < (many.score or 0)


def test_many_names_of_one_company_are_no_tunnel() -> None:
    chance = random.Random(5)
    events = [
        lookup(3.0 * n, f"{chance.choice(WORDS)}-{chance.choice(WORDS)}{n % 9}.example.com") for n in range(4000)
    ]
    assert findings(Analytics(), events) == []


def test_blocklists_and_reverse_names_are_no_tunnel() -> None:
    events = [lookup(n, f"{n % 250}.{n // 250}.0.10.zen.blocklist.example") for n in range(2000)]
    events += [lookup(n, f"{n % 250}.{n // 250}.0.10.in-addr.arpa", kind="PTR") for n in range(2000)]
    assert findings(Analytics(), events, "dns-tunnel") == []


def test_generated_names_are_found_and_no_single_one_convicts() -> None:
    chance = random.Random(11)
    events = [lookup(n, f"{_drawn(chance)}.com", rcode="NXDOMAIN") for n in range(40)]
    assert findings(Analytics(), events[:5], "generated-names") == []
    first, *later = findings(Analytics(), events, "generated-names")
    assert first.techniques == ("T1568.002",)
    assert (first.score or 0) > 0.9
    assert sum(entity.type == "domain" for entity in first.entities) >= 4
    assert len(later) <= 2


def test_misspelt_names_and_names_that_exist_are_not_generated() -> None:
    chance = random.Random(13)
    misspelt = [lookup(n, f"{name}x{n}.com", rcode="NXDOMAIN") for n, name in enumerate(CHOSEN * 5)]
    real = [lookup(n, f"{_drawn(chance)}.com") for n in range(200)]
    local = [lookup(n, _drawn(chance), rcode="NXDOMAIN") for n in range(200)]
    assert findings(Analytics(), [*misspelt, *real, *local], "generated-names") == []
