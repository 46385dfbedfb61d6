"""One HTTP/1.1 connection: requests parsed by h11, bodies read within bounds and time, answers in JSON."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import h11
import msgspec

from dsmil.services.listening.bodies import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

#: Longest time to the end of a request's head, and of its body, seconds.
_HEAD_S: Final = 10.0
_BODY_S: Final = 60.0
#: How long a connection may be idle between two requests, seconds.
_IDLE_S: Final = 75.0
#: Longest time a client may take to read an answer, seconds.
_ANSWER_S: Final = 10.0
#: How long what a refused client still sends is read, so that it sees the answer, seconds.
_LINGER_S: Final = 2.0
#: Largest head of a request, bytes.
_MAX_HEAD: Final = 16 * 1024
_READ: Final = 64 * 1024


class Exchange:
    """One request as its handler sees it."""

    def __init__(self, connection: Connection, request: h11.Request) -> None:
        """Take the head; the body has not been read."""
        self._connection = connection
        self.client = connection.sender
        self.method = request.method.decode("ascii", "replace")
        self.path = request.target.partition(b"?")[0].decode("ascii", "replace")
        self._headers = list(request.headers)

    def header(self, name: bytes) -> bytes:
        """Return the value of a header in lower case names; empty when there is none, or several that differ."""
        found = {value for key, value in self._headers if key == name}
        return found.pop() if len(found) == 1 else b""

    async def pieces(self, use: Callable[[bytes], None]) -> None:
        """Pass the body on piece by piece."""
        await self._connection.read_body(use)


class Connection:
    """A client's connection; one request after the other."""

    def __init__(
        self,
        sender: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        handle: Callable[[Exchange], Awaitable[dict[str, Any]]],
        refused: Callable[[str], None],
        received: Callable[[int], None],
    ) -> None:
        """``handle`` answers or raises Refused; ``refused`` is told statuses, ``received`` bytes."""
        self.sender = sender
        self.last_heard = time.monotonic()
        self._reader, self._writer = reader, writer
        self._handle, self._refused, self._received = handle, refused, received
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD)
        self._busy = False

    def evict(self) -> None:
        """Close the connection to make room."""
        self._refused("evicted")
        self.close()

    def close(self) -> None:
        """Close the connection at once."""
        self._writer.transport.abort()

    def finish(self) -> None:
        """Close the connection when it is idle; what is in work is answered first."""
        if not self._busy:
            self.close()

    async def serve(self) -> None:
        """Answer requests until the client or an error ends it."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            wait = _HEAD_S
            while await self._one(wait):
                self._http.start_next_cycle()
                wait = _IDLE_S
            await self._linger()
        with contextlib.suppress(OSError, TimeoutError):
            self._writer.close()
            await asyncio.wait_for(self._writer.wait_closed(), _ANSWER_S)

    async def _one(self, wait_s: float) -> bool:
        """Answer one request; return whether another may follow."""
        try:
            try:
                async with asyncio.timeout(wait_s):
                    event = await self._next()
            except TimeoutError:
                if self._http.trailing_data[0]:
                    self._refused("slow")
                return False  # idle, or a head that never ends
            if not isinstance(event, h11.Request):
                return False
            self._busy = True
            _refuse_two_lengths(event)
            await self._answer(202, await self._handle(Exchange(self, event)))
        except Refused as exc:
            self._refused(str(exc.status))
            await self._answer(exc.status, {"error": exc.reason}, exc.retry_s)
        except h11.RemoteProtocolError as exc:
            self._refused("bad_request")
            if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                await self._answer(exc.error_status_hint, {"error": f"this is not HTTP/1.1: {exc}"})
            return False
        finally:
            self._busy = False
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def read_body(self, use: Callable[[bytes], None]) -> None:
        """Pass the body of the present request on piece by piece."""
        if self._http.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))
        try:
            async with asyncio.timeout(_BODY_S):
                while not isinstance(event := await self._next(), h11.EndOfMessage):
                    if not isinstance(event, h11.Data):
                        raise ConnectionResetError
                    use(bytes(event.data))
        except TimeoutError:
            raise Refused(408, f"the body took longer than {_BODY_S:.0f} s") from None

    async def _next(self) -> Any:  # noqa: ANN401 - one of h11's events
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = await self._reader.read(_READ)
            self.last_heard = time.monotonic()
            self._received(len(data))
            self._http.receive_data(data)
        return event

    async def _answer(self, status: int, document: dict[str, Any], retry_s: float = 0.0) -> None:
        body = msgspec.json.encode(document) + b"\n"
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        if retry_s:
            headers.append(("Retry-After", str(max(math.ceil(retry_s), 1))))
        if status == 401:  # noqa: PLR2004 - the status of this header
            headers.append(("WWW-Authenticate", 'Bearer realm="dsmil"'))
        if self._http.their_state is not h11.DONE:  # a body that nobody reads still comes
            headers.append(("Connection", "close"))
        head = h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase.encode())
        await self._send(head, h11.Data(data=body), h11.EndOfMessage())

    async def _linger(self) -> None:
        """Read on for a moment: a close with bytes unread would take the answer back from the client."""
        if self._http.our_state is h11.MUST_CLOSE or self._http.our_state is h11.DONE:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LINGER_S):
                    while await self._reader.read(_READ):
                        pass

    async def _send(self, *events: Any) -> None:  # noqa: ANN401 - h11's events
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
        async with asyncio.timeout(_ANSWER_S):
            await self._writer.drain()


def _refuse_two_lengths(request: h11.Request) -> None:
    """Raise Refused for a body whose end is told in two ways: a proxy may have believed the other."""
    names = {name for name, _ in request.headers}
    if {b"content-length", b"transfer-encoding"} <= names:
        raise Refused(400, "Content-Length and Transfer-Encoding both say where the body ends; send one")
