"""The HTTP listener: ``POST /api/v1/ingest/FEED``, answered with 202 when the broker has every record."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from dsmil import log
from dsmil.services import metric_names
from dsmil.services.listening.bodies import Body, Refused, split
from dsmil.services.listening.connection import Connection, Exchange
from dsmil.services.listening.crowd import Crowd
from dsmil.services.listening.guests import Guests
from dsmil.services.listening.part import ListenerPart
from dsmil.services.listening.specs import bind_all
from dsmil.services.listening.streams import StreamEndpoint
from dsmil.services.listening.taking import COURIERS, RETRY_S, Taker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dsmil.config import Settings
    from dsmil.services.listening.guests import Bounds
    from dsmil.services.listening.keys import Keys
    from dsmil.services.listening.specs import Spec
    from dsmil.sources._feed import Source

PATH: Final = "/api/v1/ingest/"
_DOCUMENT: Final = {b"application/json"}
_LINES: Final = {b"application/x-ndjson", b"application/ndjson", b"application/jsonl", b"text/plain"}
_PLAIN: Final = {b"", b"identity"}
_GZIP: Final = {b"gzip", b"x-gzip"}
#: How long what is in work may take at a stop, seconds.
_STOP_S: Final = 8.0
#: Bytes of a connection that are read ahead, half of the most.
_READ_AHEAD: Final = 32 * 1024
#: How often a broker that was away is asked, seconds.
_LOOK_S: Final = 0.5


class HttpListener(ListenerPart):
    """Takes pushes on any number of addresses, for the feeds that it is given."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        settings: Settings,
        specs: Sequence[Spec],
        *,
        keys: Keys,
        bounds: Bounds,
    ) -> None:
        """Bind every address now; raises CannotListen."""
        super().__init__(settings)
        self._sources, self._keys, self._bounds = sources, keys, bounds
        self._taker = Taker(self.name, settings, self.tallies)
        self._guests = Guests(bounds)
        self._crowd = Crowd(bounds.max_connections)
        self._loop: asyncio.AbstractEventLoop
        self._threads = ThreadPoolExecutor(COURIERS, thread_name_prefix="take")
        self._serving: set[asyncio.Task[None]] = set()
        self._log = log.get(self.name)
        self._endpoints = [
            StreamEndpoint(label, sock, self.tallies, self._protocol, tls=spec.tls)
            for spec, label, sock in bind_all(specs)
        ]

    @property
    def name(self) -> str:
        """Kind of the listener."""
        return "listen http"

    @property
    def device_id(self) -> int:
        """Device of the first feed."""
        return next(iter(self._sources.values())).device_id

    @property
    def endpoints(self) -> list[str]:
        """Where it listens, e.g. ``http://127.0.0.1:8514``."""
        return [endpoint.name for endpoint in self._endpoints]

    def checks(self) -> dict[str, str]:
        """Return what is wrong with the broker."""
        return {"broker": self._taker.problem}

    def waiting_bytes(self) -> int:
        """Return the memory of the bodies in work."""
        return self._guests.waiting

    def run(self, stop: threading.Event) -> None:
        """Listen until ``stop`` is set; what is in work is answered. Raises NotAllowed at a wrong password."""
        self._taker.ask_again()  # who pushes while it starts waits, instead of being told that the broker is away
        self._loop = asyncio.new_event_loop()
        reading = threading.Thread(target=self._run_loop, name="listen", daemon=True)
        reading.start()
        try:
            if all(courier.greet(stop) for courier in self._taker.couriers):
                while not stop.wait(_LOOK_S):
                    self._taker.ask_again()
        finally:
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(2 * _STOP_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            reading.join(_STOP_S)
            self._loop.close()
            self._threads.shutdown()
            self._taker.close()
            self.fall_silent()

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        for endpoint in self._endpoints:
            self._loop.call_soon(endpoint.start)
        self._loop.run_forever()

    async def _stop(self) -> None:
        for endpoint in self._endpoints:
            await endpoint.stop()
        for client in self._crowd:
            if isinstance(client, Connection):
                client.finish()
        if self._serving:
            await asyncio.wait(self._serving, timeout=_STOP_S)
        for client in self._crowd:
            if isinstance(client, Connection):
                client.close()

    def _protocol(self, endpoint: StreamEndpoint, sender: str, _place: str) -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(limit=_READ_AHEAD, loop=self._loop)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(endpoint, sender, reader, writer)

        return asyncio.StreamReaderProtocol(reader, serve, loop=self._loop)

    async def _serve(
        self, endpoint: StreamEndpoint, sender: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        connection = Connection(
            sender,
            reader,
            writer,
            lambda exchange: self._handle(endpoint, exchange),
            endpoint.refuse,
            lambda octets: self.tallies.add(metric_names.LISTEN_BYTES, endpoint.name, number=octets),
        )
        self._crowd.join(connection)
        self.tallies.add(metric_names.LISTEN_CONNECTIONS, endpoint.name)
        if task is not None:
            self._serving.add(task)
        try:
            await connection.serve()
        finally:
            if task is not None:
                self._serving.discard(task)
            self._crowd.leave(connection)
            self.tallies.add(metric_names.LISTEN_CONNECTIONS, endpoint.name, number=-1)

    async def _handle(self, endpoint: StreamEndpoint, exchange: Exchange) -> dict[str, Any]:
        """Take one push, or raise Refused: what costs nothing to find out comes first."""
        if not self._keys.accept(exchange.header(b"authorization")):
            raise Refused(401, "a key is required: Authorization: Bearer KEY; `dsmil listen key` shows it")
        source = self._source(exchange)
        kind = exchange.header(b"content-type").partition(b";")[0].strip().lower()
        encoding = exchange.header(b"content-encoding").strip().lower()
        if kind not in _DOCUMENT | _LINES:
            raise Refused(
                415, "Content-Type is application/json for an array or one object, application/x-ndjson for lines"
            )
        if encoding not in _PLAIN | _GZIP:
            raise Refused(415, "Content-Encoding is gzip or nothing")
        length = exchange.header(b"content-length")
        if length and int(length) > self._bounds.max_body:
            raise Refused(413, f"the body is larger than the {self._bounds.max_body} bytes that are accepted")
        if self._taker.problem:
            raise Refused(503, "the broker takes nothing now", RETRY_S)
        with self._guests.push(exchange.client) as push:
            body = Body(self._bounds.max_body, zipped=encoding in _GZIP)
            await exchange.pieces(lambda data: push.grow(body.add(data)))
            records = split(body.whole(), document=kind in _DOCUMENT)
            push.spend(len(records))
            self.tallies.add(metric_names.LISTEN_RECORDS, endpoint.name, number=len(records))
            take = partial(self._taker.take, source, records, exchange.client)
            return await self._loop.run_in_executor(self._threads, take)

    def _source(self, exchange: Exchange) -> Source:
        feed = exchange.path.removeprefix(PATH)
        if not exchange.path.startswith(PATH) or feed not in self._sources:
            known = ", ".join(self._sources)
            raise Refused(404, f"not here: push to {PATH}FEED with a FEED of: {known}")
        if exchange.method != "POST":
            raise Refused(405, "only POST is done here")
        return self._sources[feed]
