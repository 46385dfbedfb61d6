"""Identifiers: time-ordered UUIDs, made at random or from content.

Time order matters to the store: a unique index over ordered keys appends, over random ones it scatters.
The layout is RFC 9562: 48 bits of Unix milliseconds, then version 7 (random) or version 8 (derived).
"""

from __future__ import annotations

import os
import time
from hashlib import blake2b
from typing import Final

_MAX_MS: Final = (1 << 48) - 1
_RANDOM_BITS: Final = (1 << 62) - 1
_VARIANT: Final = 0x8000_0000_0000_0000


def _uuid(ms: int, version: int, entropy: bytes) -> str:
    high = (min(max(ms, 0), _MAX_MS) << 16) | (version << 12) | (int.from_bytes(entropy[:2]) & 0x0FFF)
    low = _VARIANT | (int.from_bytes(entropy[2:10]) & _RANDOM_BITS)
    text = f"{high:016x}{low:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_id(ts: float | None = None) -> str:
    """Return a fresh UUID version 7 for the time ``ts`` (Unix seconds; now by default)."""
    return _uuid(int((time.time() if ts is None else ts) * 1000), 7, os.urandom(10))


def derived_id(ts: float, *parts: bytes | str) -> str:
    """Return the UUID version 8 that these parts always give: same input, same id, on any machine.

    ``ts`` (Unix seconds) is the event's own time, so that derived ids sort with the random ones.
    """
    digest = blake2b(digest_size=10)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        # Length first: ("ab", "c") and ("a", "bc") must not meet.
        digest.update(len(raw).to_bytes(8))
        digest.update(raw)
    return _uuid(int(ts * 1000), 8, digest.digest())


def record_id(feed: str, ts: float, raw: bytes, ordinal: int) -> str:
    """Return the id of a raw record: by feed, event time, bytes, and its ordinal among identical ones."""
    return derived_id(ts, "record", feed, raw, str(ordinal))


def finding_id(ts: float, detector: str, rule: str, revision: str, evidence: tuple[str, ...]) -> str:
    """Return the id of a finding: by detector, rule, its revision and the events it rests on."""
    return derived_id(ts, "finding", detector, rule, revision, *evidence)


def digest(raw: bytes) -> bytes:
    """Return a short digest by which identical records are recognised."""
    return blake2b(raw, digest_size=12).digest()
