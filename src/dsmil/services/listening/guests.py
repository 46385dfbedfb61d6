"""What one client may take of an HTTP listener, and what all of them may together."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Final

import msgspec

from dsmil.services.listening.bodies import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Clients whose rate is remembered.
_REMEMBERED: Final = 10_000


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of an HTTP listener."""

    #: Largest body, bytes unpacked.
    max_body: int
    #: Most bytes of bodies in memory, of all pushes together.
    max_waiting: int
    #: Most connections at a time.
    max_connections: int
    #: Most pushes of one client at a time.
    max_pushes: int
    #: Most records a second of one client, over ten seconds; 0 is any.
    rate: float = 0.0


class Guests:
    """Counts pushes, bytes and records of each client address. For one thread."""

    def __init__(self, bounds: Bounds, clock: Callable[[], float] = time.monotonic) -> None:
        """Nobody is there yet."""
        self._bounds, self._clock = bounds, clock
        self._pushes: Counter[str] = Counter()
        self._bytes = 0
        #: Client -> records it may still send, and when that was so.
        self._credit: OrderedDict[str, tuple[float, float]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Bytes of bodies in memory."""
        return self._bytes

    @property
    def pushes(self) -> int:
        """Pushes in work."""
        return self._pushes.total()

    @contextlib.contextmanager
    def push(self, client: str) -> Iterator[Push]:
        """Let a client begin a push; raises Refused with 429 when it has too many in work."""
        if self._pushes[client] >= self._bounds.max_pushes:
            raise Refused(429, f"more than {self._bounds.max_pushes} pushes of one client at a time", 1.0)
        self._pushes[client] += 1
        push = Push(self, client)
        try:
            yield push
        finally:
            self._bytes -= push.held
            self._pushes[client] -= 1
            if not self._pushes[client]:
                del self._pushes[client]

    def hold(self, octets: int) -> None:
        """Take memory; raises Refused with 503 when all pushes together hold too much."""
        if self._bytes + octets > self._bounds.max_waiting:
            raise Refused(503, "too many pushes at a time; this one was not taken", 1.0)
        self._bytes += octets

    def spend(self, client: str, records: int) -> None:
        """Take records of a client's rate; raises Refused with 429 that says when there is room again."""
        rate = self._bounds.rate
        if not rate:
            return
        now = self._clock()
        most = max(rate * 10, 1.0)
        credit, since = self._credit.pop(client, (most, now))
        credit = min(credit + (now - since) * rate, most)
        self._credit[client] = credit, now
        if len(self._credit) > _REMEMBERED:
            self._credit.popitem(last=False)
        # A push larger than ten seconds of the rate goes in when the credit is whole, and is paid off afterwards.
        if credit < min(records, most):
            reason = f"more than {rate:g} records a second of one client"
            raise Refused(429, reason, (min(records, most) - credit) / rate)
        self._credit[client] = credit - records, now


class Push:
    """One push and the memory that it holds."""

    def __init__(self, guests: Guests, client: str) -> None:
        """Begin without any memory."""
        self._guests, self._client = guests, client
        self.held = 0

    def grow(self, octets: int) -> None:
        """Hold more memory; raises Refused."""
        self._guests.hold(octets)
        self.held += octets

    def spend(self, records: int) -> None:
        """Take records of the client's rate; raises Refused."""
        self._guests.spend(self._client, records)
