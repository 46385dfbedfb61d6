"""The syslog listener: one thread reads sockets, the part's own thread publishes what they brought."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Final

from dsmil import log
from dsmil.errors import EventInvalid
from dsmil.events import codec
from dsmil.services import metric_names
from dsmil.services.letters import source_letter
from dsmil.services.listening.courier import Courier
from dsmil.services.listening.crowd import Crowd
from dsmil.services.listening.datagrams import DatagramEndpoint
from dsmil.services.listening.intake import Chunk, Intake
from dsmil.services.listening.part import ListenerPart
from dsmil.services.listening.peer import Peer
from dsmil.services.listening.specs import bind_all
from dsmil.services.listening.streams import StreamEndpoint
from dsmil.sources._arrivals import Arrivals
from dsmil.sources._feed import RawRecord
from dsmil.sources._frames import Frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dsmil.config import Settings
    from dsmil.services.listening.specs import Limits, Spec
    from dsmil.sources._feed import Source
    from dsmil.sources._frames import Framing

#: Records published at once.
_BATCH: Final = 1000
_IDLE_S: Final = 0.2
#: How often the kernel is asked for what it dropped, seconds.
_LOOK_S: Final = 1.0
_STOP_S: Final = 5.0
#: Bad records that are told in the log, each second; all of them are dead letters.
_TOLD: Final = 5


class SyslogListener(ListenerPart):
    """Listens on any number of addresses, and reads what comes by one feed."""

    def __init__(
        self, source: Source, settings: Settings, specs: Sequence[Spec], *, framing: Framing, limits: Limits
    ) -> None:
        """Bind every address now: raises CannotListen, so that whoever starts it sees it."""
        super().__init__(settings)
        self._source = source
        self._specs = specs
        self._courier = Courier(self.name, settings, self.tallies)
        self._crowd = Crowd(limits.max_connections)
        self._intake = Intake(limits.max_waiting, self._pause, self._make_room)
        self._loop: asyncio.AbstractEventLoop
        self._arrivals = Arrivals(source)
        self._framing, self._max_message = framing, limits.max_message
        self._log = log.get(self.name)
        #: What was sent to the broker, which has not answered yet.
        self._under_way: list[Chunk] = []
        self._broken: BaseException | None = None
        self._told = (0.0, 0)
        self._streams: list[StreamEndpoint] = []
        self._datagrams: list[DatagramEndpoint] = []
        for spec, label, sock in bind_all(specs):
            if spec.is_stream:
                self._streams.append(StreamEndpoint(label, sock, self.tallies, self._peer, tls=spec.tls))
            else:
                most = limits.max_message
                self._datagrams.append(
                    DatagramEndpoint(label, sock, intake=self._intake, tallies=self.tallies, max_message=most)
                )

    @property
    def name(self) -> str:
        """Kind and feed."""
        return f"listen syslog {self._source.name}"

    @property
    def device_id(self) -> int:
        """Device the feed publishes as."""
        return self._source.device_id

    @property
    def endpoints(self) -> list[str]:
        """Where it listens, e.g. ``tcp://127.0.0.1:5514``."""
        return [*(stream.name for stream in self._streams), *(socket.name for socket in self._datagrams)]

    def checks(self) -> dict[str, str]:
        """Return what is wrong: with the broker, and whether senders are held back."""
        held = "the broker takes less than is sent; senders are held back" if self._intake.full else ""
        return {"broker": self._courier.problem, "room": held}

    def waiting_bytes(self) -> int:
        """Return the memory of what waits for the broker."""
        return self._intake.weight

    def run(self, stop: threading.Event) -> None:
        """Listen until ``stop`` is set, then publish what was read. Raises NotAllowed as every service does."""
        self._loop = asyncio.new_event_loop()
        reading = threading.Thread(target=self._read, name="listen", daemon=True)
        reading.start()
        try:
            if self._courier.greet(stop):
                self._publish(stop)
        finally:
            if self._broken is None:
                asyncio.run_coroutine_threadsafe(self._stop_reading(), self._loop).result(_STOP_S)
                self._loop.call_soon_threadsafe(self._loop.stop)
            reading.join(_STOP_S)
            self._loop.close()
            self._finish(stop)
            self._courier.bus.disconnect()
            for spec in self._specs:
                spec.clean_up()
            self.fall_silent()
        if self._broken is not None:
            raise self._broken

    def _read(self) -> None:
        """Run the event loop; an error in it ends the part."""
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.call_soon(self._start_reading)
            self._loop.run_forever()
        except BaseException as exc:  # noqa: BLE001 - raised anew in the part's own thread
            self._broken = exc

    def _start_reading(self) -> None:
        for stream in self._streams:
            stream.start()
        self._resume()
        self._look()

    def _peer(self, endpoint: StreamEndpoint, sender: str, place: str) -> Peer:
        frames = Frames(self._framing, self._max_message)
        return Peer(endpoint, sender, place, frames=frames, intake=self._intake, crowd=self._crowd)

    def _look(self) -> None:
        for datagram in self._datagrams:
            datagram.count_drops()
        self._loop.call_later(_LOOK_S, self._look)

    def _pause(self) -> None:
        """Stop reading everywhere: TCP and unix sockets hold their senders back, UDP fills its buffer."""
        for datagram in self._datagrams:
            datagram.pause()
        for peer in self._crowd:
            if isinstance(peer, Peer):
                peer.pause()

    def _make_room(self) -> None:
        self._loop.call_soon_threadsafe(self._resume)

    def _resume(self) -> None:
        if self._intake.full:
            return
        for datagram in self._datagrams:
            datagram.resume()
        for peer in self._crowd:
            if isinstance(peer, Peer):
                peer.resume()

    async def _stop_reading(self) -> None:
        for stream in self._streams:
            await stream.stop()
        for datagram in self._datagrams:
            datagram.stop()
        for peer in self._crowd:
            if isinstance(peer, Peer):
                peer.close()
        await asyncio.sleep(0)  # the connections' own ends

    def _publish(self, stop: threading.Event) -> None:
        while not stop.is_set() and self._broken is None:
            chunks = self._intake.take(_BATCH, 0 if self._under_way else _IDLE_S)
            if not (self._deliver(chunks, stop) if chunks else self._settle(stop)):
                return

    def _deliver(self, chunks: list[Chunk], stop: threading.Event) -> bool:
        """Make events while those before are under way, and send them; False when the process is to stop."""
        made = self._events(chunks)
        if not self._settle(stop) or not self._courier.send(*made, stop):
            self._drop(chunks)
            return False
        self._under_way = chunks
        return True

    def _settle(self, stop: threading.Event) -> bool:
        """Wait until the broker has what is under way; False when the process is to stop before."""
        chunks, self._under_way = self._under_way, []
        if chunks and not self._courier.settle(stop):
            self._drop(chunks)
            return False
        self._intake.done(chunks)
        return True

    def _finish(self, stop: threading.Event) -> None:
        """Publish what is left, as long as the broker takes it; count what is lost otherwise."""
        while chunks := self._intake.take(_BATCH, 0):
            if self._courier.problem:
                self._drop(chunks)
            else:
                self._deliver(chunks, stop)
        self._settle(stop)

    def _drop(self, chunks: list[Chunk]) -> None:
        """Count what was read and cannot be published: the process stops and the broker takes nothing."""
        lost = sum(chunk.records for chunk in chunks)
        self._intake.done(chunks)
        self.tallies.add(metric_names.LISTEN_DROPPED, "all", "stopped", number=lost)
        self._log.error("listen.dropped_at_stop", records=lost, cause=self._courier.problem)

    def _events(self, chunks: list[Chunk]) -> tuple[list[bytes], list[dict[str, bytes]]]:
        """Return the encoded events of the messages, and the letters of those that are none."""
        bodies: list[bytes] = []
        letters: list[dict[str, bytes]] = []
        for chunk in chunks:
            self._arrivals.turn_to(chunk.sender, chunk.session)
            place, at = chunk.place, chunk.at
            for number, line in enumerate(chunk.lines, start=chunk.first):
                record = RawRecord(line, f"{place}#{number}")
                try:
                    bodies.append(codec.encode_bounded(self._arrivals.event(record, at)))
                except EventInvalid as exc:
                    letters.append(self._letter(record, exc, at))
            after = chunk.first + len(chunk.lines)
            for number, bad in enumerate(chunk.bad, start=after):
                record = RawRecord(bad.head, f"{place}#{number}", bad.cut)
                letters.append(self._letter(record, EventInvalid(bad.cause, bad.detail), at))
        return bodies, letters

    def _letter(self, record: RawRecord, cause: EventInvalid, at: float) -> dict[str, bytes]:
        since, told = self._told
        if time.monotonic() - since >= 1.0:
            since, told = time.monotonic(), 0
        if told < _TOLD:
            self._log.warning("listen.dead_letter", source=record.place, cause=cause.cause, detail=cause.detail)
        self._told = since, told + 1
        return source_letter(record, cause, self._source.name, at)
