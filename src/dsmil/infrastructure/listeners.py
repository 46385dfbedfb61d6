"""What each listener of a state directory says of itself, in a file each: many may share one device's row."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

_FOLDER: Final = "listeners"
#: Seconds after which a word counts no more: its listener has ended.
LIFETIME_S: Final = 15.0


class Listening(msgspec.Struct, kw_only=True):
    """One listener's word."""

    #: ``listen syslog suricata-eve``.
    name: str
    pid: int
    #: Where it listens: ``tcp://127.0.0.1:5514``.
    endpoints: list[str]
    #: Records since it started: received, published, dead, dropped.
    received: int
    published: int
    dead: int
    dropped: int
    connections: int
    #: Bytes that wait for the broker.
    waiting_bytes: int
    #: What is wrong, in words; empty when nothing is.
    problem: str
    #: When it said so, Unix seconds.
    updated: float


def tell(state_dir: Path, word: Listening) -> None:
    """Replace this listener's word; a state directory that cannot be written is no trouble for listening."""
    place = _place(state_dir, word)
    with contextlib.suppress(OSError):
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = place.with_suffix(f".{os.getpid()}")
        draft.write_bytes(msgspec.json.encode(word))
        draft.replace(place)


def forget(state_dir: Path, word: Listening) -> None:
    """Remove the word of a listener that ends."""
    with contextlib.suppress(OSError):
        _place(state_dir, word).unlink()


def told(state_dir: Path, now: float | None = None) -> list[Listening]:
    """Return the words that count now, by name."""
    moment = time.time() if now is None else now
    words = []
    for place in sorted((state_dir / _FOLDER).glob("*.json")):
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            word = msgspec.json.decode(place.read_bytes(), type=Listening)
            if moment - word.updated <= LIFETIME_S:
                words.append(word)
    return sorted(words, key=lambda word: (word.name, word.endpoints))


def _place(state_dir: Path, word: Listening) -> Path:
    # One listener, one file: whoever is started anew on the same addresses takes over the word of the one before.
    key = hashlib.sha256("\n".join([word.name, *word.endpoints]).encode()).hexdigest()[:16]
    return state_dir / _FOLDER / f"{key}.json"
