"""A seeded producer whose every event is known, and so is every attempt to hand it over."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from dsmil.config import Settings
from dsmil.errors import Unavailable
from dsmil.events.streams import StreamName
from dsmil.infrastructure.redis_streams import RedisStreamsClient

#: Part of the events that a producer sends once more although they were accepted.
DUPLICATES: Final = 0.05
_RECENT: Final = 1000


class Load(threading.Thread):
    """Publishes until it is finished.

    Every XADD carries a ``copy`` number of its own, also when an event is sent again, so that one stream entry
    can be followed through the fabric.
    """

    def __init__(
        self,
        settings: Settings,
        seed: random.Random,
        *,
        stream: StreamName = StreamName.L3_OUT,
        rate: float = 1000.0,
        most: int = 40,
    ) -> None:
        super().__init__(name=f"load {stream}", daemon=True)
        self.stream = stream
        #: Copies that the broker has confirmed: copy number -> event id.
        self.accepted: dict[int, str] = {}
        #: Calls that failed; what they carried may have arrived all the same.
        self.failures = 0
        self._settings = settings.replace(poll_timeout_ms=500)
        self._seed = random.Random(seed.getrandbits(64))
        self._rate = rate
        self._most = most
        self._recent: list[str] = []
        self._copies = 0
        self._lock = threading.Lock()
        self._over = threading.Event()

    @property
    def ids(self) -> set[str]:
        """Return the events accepted so far."""
        return set(self.accepted.copy().values())

    def run(self) -> None:
        started, sent = time.monotonic(), 0
        with RedisStreamsClient(settings=self._settings) as bus:
            while not self._over.is_set():
                with self._lock:
                    sent += self._one_batch(bus)
                time.sleep(max(0.0005, started + sent / self._rate - time.monotonic()))

    def _one_batch(self, bus: RedisStreamsClient) -> int:
        ids = [self._next_id() for _ in range(self._seed.randint(1, self._most))]
        failures = 0
        while True:
            copies = {self._copies + n: event_id for n, event_id in enumerate(ids, 1)}
            self._copies += len(ids)
            try:
                bus.append(self.stream, [self._body(copy, event_id) for copy, event_id in copies.items()])
            except Unavailable:
                failures += 1
                self.failures += 1
                bus.disconnect()
                if self._over.wait(min(0.02 * 2**failures, 0.5)):
                    return 0
            else:
                self.accepted |= copies
                self._recent = [*self._recent, *ids][-_RECENT:]
                return len(ids)

    def _next_id(self) -> str:
        if self._recent and self._seed.random() < DUPLICATES:
            return self._seed.choice(self._recent)
        return str(uuid.UUID(int=self._seed.getrandbits(128), version=4))

    def _body(self, copy: int, event_id: str) -> bytes:
        raw = self.stream is StreamName.L3_IN
        document: dict[str, Any] = {
            "event_id": event_id,
            "ts": 1_700_000_000.0 + copy / 1000,
            "source": "suricata" if raw else "load",
            "source_device": 5 if raw else 16,
            "source_layer": 3,
            "category": "NETWORK",
            "severity": "MEDIUM",
            "payload": _alert(copy) if raw else {"decision": f"finding {copy}", "copy": copy},
        }
        return json.dumps(document).encode()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Publish nothing while the block lasts; what was begun is finished first."""
        with self._lock:
            yield

    def forget(self) -> None:
        """Begin anew: the broker's data is gone. Call it while it is held."""
        self.accepted = {}
        self._recent = []

    def finish(self) -> None:
        """Send the batch in hand to its end, and stop."""
        self._over.set()
        self.join(60)
        if self.is_alive():
            raise TimeoutError("the producer cannot get rid of its last batch")


def _alert(copy: int) -> dict[str, Any]:
    return {
        "event_type": "alert",
        "copy": copy,
        "alert": {"gid": 1, "signature_id": 2000000 + copy % 50, "rev": 1, "signature": "load", "severity": 2},
    }
