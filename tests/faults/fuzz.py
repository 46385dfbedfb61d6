"""Entries that no producer should send, drawn from a seed: bent documents, odd values, noise, foreign shapes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any, Final

_ODD: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    2**63,
    -(2**63) - 1,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    " ",
    "\x00",
    "\ud800",
    "é" * 300,
    "x" * 70_000,
    "'; DROP TABLE soc_events_cache; --",
    "\x1b[2J\x1b]0;title\x07",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "../../etc/passwd",
    "1970-01-01T00:00:00Z",
    [],
    {},
    [[[[[[[[]]]]]]]],
    [{"a": [None] * 50}],
    {"": {"": {"": ""}}},
    {"crisis_level": 1.0},
)
_NAMES: Final = ("event_id", "ts", "source_device", "source_layer", "category", "severity", "payload")
_MORE: Final = ("entities", "techniques", "evidence", "flags", "score", "origin", "compartment", "zz")
_SPLICES: Final = (b"\xff", b"\x00", b'"', b"{", b"}", b"\\u0000", b"\\ud83d", b"1e999", b"[" * 99, b"\xed\xa0")


def fuzzed(chance: random.Random) -> dict[bytes, bytes]:
    """Return the fields of one entry; about a quarter of them are events after all."""
    return chance.choice(_KINDS)(chance)


def _document(chance: random.Random) -> dict[str, Any]:
    return {
        "event_id": f"fuzz-{chance.getrandbits(64):x}",
        "ts": 1_700_000_000.0 + chance.random() * 1e6,
        "source": chance.choice(["suricata", "load"]),
        "source_device": chance.choice([5, 16, 25]),
        "source_layer": chance.choice([3, 4]),
        "category": "NETWORK",
        "severity": chance.choice(["LOW", "MEDIUM", "HIGH", "CRITICAL"]),
        "payload": {"event_type": "alert", "alert": {"signature_id": chance.randrange(9), "severity": 2}},
    }


def _sound(chance: random.Random) -> dict[bytes, bytes]:
    return {b"event": json.dumps(_document(chance)).encode()}


def _odd_values(chance: random.Random) -> dict[bytes, bytes]:
    document = _document(chance)
    for _ in range(chance.randint(1, 3)):
        place = chance.choice((document, document["payload"]))
        if isinstance(place, dict):
            # A copy: what lies in one place must not be bent with another, nor come to lie in itself.
            place[chance.choice(_NAMES + _MORE)] = deepcopy(chance.choice(_ODD))
        if not isinstance(document.get("payload"), dict):
            break
    return {b"event": json.dumps(document).encode("utf-8", "surrogatepass")}


def _missing(chance: random.Random) -> dict[bytes, bytes]:
    document = _document(chance)
    for name in chance.sample(_NAMES, chance.randint(1, len(_NAMES))):
        del document[name]
    return {b"event": json.dumps(document).encode()}


def _bent(chance: random.Random) -> dict[bytes, bytes]:
    body = bytearray(json.dumps(_document(chance)).encode())
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(body) + 1)
        match chance.randrange(4):
            case 0:
                body[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del body[at : at + chance.randint(1, 20)]
            case 2:
                body[at:at] = chance.choice(_SPLICES)
            case _:
                body[at:at] = body[chance.randrange(len(body) + 1) :][:40]
    return {b"event": bytes(body)}


def _cut(chance: random.Random) -> dict[bytes, bytes]:
    body = json.dumps(_document(chance)).encode()
    return {b"event": body[: chance.randrange(len(body))]}


def _noise(chance: random.Random) -> dict[bytes, bytes]:
    return {b"event": chance.randbytes(chance.choice([0, 1, 10, 1000]))}


def _deep(chance: random.Random) -> dict[bytes, bytes]:
    depth = chance.choice([50, 900, 5000])
    opening, closing = chance.choice([(b"[", b"]"), (b'{"a":', b"}")])
    body = json.dumps(_document(chance)).encode()
    return {b"event": body[:-1] + b', "deep": ' + opening * depth + b"1" + closing * depth + b"}"}


def _flat(chance: random.Random) -> dict[bytes, bytes]:
    return {
        name.encode(): str(chance.choice((*_ODD, value))).encode("utf-8", "surrogatepass")[:5000]
        for name, value in _document(chance).items()
        if chance.random() < 0.9
    } or {b"x": b"y"}


def _foreign(chance: random.Random) -> dict[bytes, bytes]:
    return {chance.randbytes(chance.randint(1, 12)): chance.randbytes(20) for _ in range(chance.randint(1, 6))}


def _large(chance: random.Random) -> dict[bytes, bytes]:
    if chance.random() < 0.98:  # few of them: they fill the broker
        return _sound(chance)
    document = _document(chance)
    document["payload"]["pad"] = "x" * chance.choice([100_000, 300_000, 1_100_000])
    return {b"event": json.dumps(document).encode()}


_KINDS: Final[tuple[Callable[[random.Random], dict[bytes, bytes]], ...]] = (
    _sound,
    _sound,
    _odd_values,
    _odd_values,
    _missing,
    _bent,
    _bent,
    _cut,
    _noise,
    _deep,
    _flat,
    _foreign,
    _large,
)
