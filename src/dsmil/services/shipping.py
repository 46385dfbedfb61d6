"""Batches on their way to a stream: the broker takes one while the next is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from dsmil.events.streams import StreamName
    from dsmil.infrastructure.redis_streams import RedisStreamsClient


class Shipping:
    """At most one batch is under way. What raises may be called again: nothing is lost, and the order stays.

    After a lost reply a batch may be there twice; its events have the same ids, so it counts once.
    """

    def __init__(self, bus: RedisStreamsClient, stream: StreamName) -> None:
        """Nothing is under way."""
        self._bus, self._stream = bus, stream
        #: What was sent and is not known to be there.
        self._sent: list[bytes] = []
        #: How to wait for the broker's word; None when it must be sent once more.
        self._replies: Callable[[], object] | None = None

    def send(self, bodies: list[bytes]) -> None:
        """Send a batch; the one before must be settled. Raises Unavailable: nothing was taken over then."""
        self._replies = self._bus.begin_append(self._stream, bodies)
        self._sent = bodies

    def settle(self) -> int:
        """Wait until the broker has what was sent, sending once more what it did not take; return how many.

        Raises Unavailable; what was sent is still under way then.
        """
        if not self._sent:
            return 0
        replies, self._replies = self._replies, None
        (replies or self._bus.begin_append(self._stream, self._sent))()
        count, self._sent = len(self._sent), []
        return count
