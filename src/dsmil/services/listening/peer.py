"""One connection of a syslog sender. Runs in the listener's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, cast

from dsmil.services import metric_names
from dsmil.services.listening.intake import Chunk

if TYPE_CHECKING:
    from dsmil.services.listening.crowd import Crowd
    from dsmil.services.listening.intake import Intake
    from dsmil.services.listening.streams import StreamEndpoint
    from dsmil.sources._frames import Bad, Frames


class Peer(asyncio.Protocol):
    """One connection."""

    def __init__(
        self, endpoint: StreamEndpoint, sender: str, place: str, *, frames: Frames, intake: Intake, crowd: Crowd
    ) -> None:
        """``sender`` is its address without the port, ``place`` with it."""
        self.sender, self.place = sender, f"{endpoint.scheme}://{place}"
        self.last_heard = time.monotonic()
        self._endpoint = endpoint
        self._frames, self._intake, self._crowd = frames, intake, crowd
        self._transport: asyncio.Transport | None = None
        self._session = 0
        self._count = 0
        self._clean = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a seat among the others."""
        self._transport = cast("asyncio.Transport", transport)
        self._session = self._crowd.join(self)
        self._endpoint.tallies.add(metric_names.LISTEN_CONNECTIONS, self._endpoint.name)
        # Not at once: before its fourth release Python 3.11 began to read after this call, paused or not.
        asyncio.get_running_loop().call_soon(self._pause_if_full)

    def data_received(self, data: bytes) -> None:
        """Take bytes; whole messages go on at once."""
        self.last_heard = time.monotonic()
        self._endpoint.tallies.add(metric_names.LISTEN_BYTES, self._endpoint.name, number=len(data))
        self._pass_on(*self._frames.feed(data))
        if self._frames.broken and self._transport is not None:
            self._endpoint.refuse("bad_frame")
            self._transport.abort()

    def eof_received(self) -> None:
        """Remember that the peer has finished; the connection is closed then."""
        self._clean = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on what is left, and leave."""
        self._pass_on(*self._frames.end(clean=self._clean and exc is None))
        self._crowd.leave(self)
        self._endpoint.tallies.add(metric_names.LISTEN_CONNECTIONS, self._endpoint.name, number=-1)

    def evict(self) -> None:
        """Close the connection to make room."""
        self._endpoint.refuse("evicted")
        self.close()

    def close(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Read no more for now: TCP holds the sender back."""
        if self._transport is not None and not self._transport.is_closing():
            with contextlib.suppress(RuntimeError):  # paused already
                self._transport.pause_reading()

    def _pause_if_full(self) -> None:
        if self._intake.full:
            self.pause()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and not self._transport.is_closing():
            with contextlib.suppress(RuntimeError):
                self._transport.resume_reading()

    def _pass_on(self, lines: list[bytes], bad: list[Bad]) -> None:
        if not lines and not bad:
            return
        chunk = Chunk(self.sender, self._session, self.place, self._count + 1, lines, bad, time.time())
        self._count += chunk.records
        self._endpoint.tallies.add(metric_names.LISTEN_RECORDS, self._endpoint.name, number=chunk.records)
        self._intake.put(chunk)
