"""Identifiers: time-ordered UUIDs, made at random or from content.

Time order matters to the store: a unique index over ordered keys appends, over random ones it scatters.
The layout is RFC 9562: 48 bits of Unix milliseconds, then version 7 (random) or version 8 (derived).
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from hashlib import blake2b
from typing import Final

_MAX_MS: Final = (1 << 48) - 1
#: A hexadecimal digit with its two high bits set to 10, the variant of RFC 9562.
_VARIANT: Final = {f"{digit:x}": f"{digit & 3 | 8:x}" for digit in range(16)}


def _uuid(ms: int, version: int, entropy: bytes) -> str:
    """Return the UUID of 48 bits of time, 4 of version, 12 of entropy, 2 of variant, 62 of entropy."""
    word = (min(max(ms, 0), _MAX_MS).to_bytes(6) + entropy).hex()
    return f"{word[:8]}-{word[8:12]}-{version}{word[13:16]}-{_VARIANT[word[16]]}{word[17:20]}-{word[20:]}"


def new_id(ts: float | None = None) -> str:
    """Return a fresh UUID version 7 for the time ``ts`` (Unix seconds; now by default)."""
    return _uuid(int((time.time() if ts is None else ts) * 1000), 7, os.urandom(10))


def derived_id(ts: float, *parts: bytes | str) -> str:
    """Return the UUID version 8 that these parts always give: same input, same id, on any machine.

    ``ts`` (Unix seconds) is the event's own time, so that derived ids sort with the random ones.
    """
    raws = [part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part for part in parts]
    # Length first: ("ab", "c") and ("a", "bc") must not meet.
    whole = b"".join([len(raw).to_bytes(8) + raw for raw in raws])
    return _uuid(int(ts * 1000), 8, blake2b(whole, digest_size=10).digest())


def record_id(feed: str, ts: float, raw: bytes, ordinal: int) -> str:
    """Return the id of a raw record: by feed, event time, bytes, and its ordinal among identical ones."""
    digest = _of_feed(feed).copy()
    count = b"%d" % ordinal
    digest.update(b"%b%b%b%b" % (len(raw).to_bytes(8), raw, len(count).to_bytes(8), count))
    return _uuid(int(ts * 1000), 8, digest.digest())


@lru_cache(maxsize=64)
def _of_feed(feed: str) -> blake2b:
    """Return the digest of what all ids of a feed's records begin with; the rest is added to a copy."""
    digest = blake2b(digest_size=10)
    for part in (b"record", feed.encode("utf-8", "surrogatepass")):
        digest.update(len(part).to_bytes(8) + part)
    return digest


def finding_id(ts: float, detector: str, rule: str, revision: str, evidence: tuple[str, ...]) -> str:
    """Return the id of a finding: by detector, rule, its revision and the events it rests on."""
    return derived_id(ts, "finding", detector, rule, revision, *evidence)


def digest(raw: bytes) -> bytes:
    """Return a short digest by which identical records are recognised."""
    return blake2b(raw, digest_size=12).digest()
