"""A proxy between clients and a broker that injects faults: to see whether your own detector loses or doubles.

::

    with FaultProxy(broker.url, seed=7) as proxy:
        settings = Settings.from_env({"REDIS_URL": proxy.url})
        proxy.faults = Faults(cut=0.01, drop_reply=0.01, delay=0.01, drip=0.01)
        ...  # run your service, publish events
        proxy.faults = Faults()  # calm again; what is pending must drain now
    assert proxy.injected["drop_reply"] > 0

Bytes pass unread: it works for any protocol in which a client asks and a server answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

import msgspec

if TYPE_CHECKING:
    from collections.abc import Coroutine

_BLOCK: Final = 64 * 1024
_PIECES: Final = 40
_ANSWER_S: Final = 10.0
_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """How likely each fault is, from 0 to 1, for each request (what a client sends at once)."""

    #: Close both sides in the middle of the request, or in the middle of its reply.
    cut: float = 0.0
    #: Let the request through, swallow its reply, and close both sides.
    drop_reply: float = 0.0
    #: Hold the request back for ``delay_s`` seconds.
    delay: float = 0.0
    delay_s: float = 0.2
    #: Pass the request on in small pieces over ``drip_s`` seconds.
    drip: float = 0.0
    drip_s: float = 0.2

    def draw(self, chance: float) -> str:
        """Return the fault that a number from 0 to 1 stands for, or an empty string for none."""
        for name in ("cut", "drop_reply", "delay", "drip"):
            chance -= getattr(self, name)
            if chance < 0:
                return name
        return ""


class _Link:
    """One client's connection and ours to the broker."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.client_in, self.client_out = client
        self.server_in, self.server_out = server
        #: What happens to the next reply: nothing, ``half`` of it passes, or ``none``.
        self.reply: Literal["", "half", "none"] = ""

    async def close(self) -> None:
        for writer in (self.client_out, self.server_out):
            writer.close()
        for writer in (self.client_out, self.server_out):
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class FaultProxy:
    """Listens on loopback, or on a unix socket, and passes everything on to one broker.

    ``faults`` may be replaced at any time. The same ``seed`` gives the same row of faults; which request meets
    which of them depends on the order in which they arrive.
    """

    def __init__(self, target: str, *, seed: int = 0, unix: bool = False) -> None:
        """Name the broker (``redis://host:port/db`` or ``unix://path``); ``unix`` listens on a socket file."""
        self._target = urlsplit(target)
        self._random = random.Random(seed)
        self._unix = unix
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._flowing = asyncio.Event()
        #: What is injected from now on; none at first.
        self.faults = Faults()
        #: Fault -> how often it was injected; ``connections`` counts those made.
        self.injected: Counter[str] = Counter()
        #: Address for clients, once it is started.
        self.url = ""

    def __enter__(self) -> FaultProxy:
        """Listen."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close every connection and stop listening."""
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ANSWER_S)
        self._loop.close()
        if self._folder is not None:
            self._folder.cleanup()

    def freeze(self) -> None:
        """Let nothing pass in either direction, without closing anything, until :meth:`thaw`."""
        self.injected["freeze"] += 1
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def thaw(self) -> None:
        """Let everything pass again, first what was held back."""
        self._loop.call_soon_threadsafe(self._flowing.set)

    def cut_all(self) -> None:
        """Close every connection there is now."""
        self.injected["cut_all"] += 1
        self._call(self._cut_all())

    def _call(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_ANSWER_S)

    async def _listen(self) -> None:
        self._flowing.set()
        if self._unix:
            self._folder = tempfile.TemporaryDirectory(prefix="dsmil-p-")  # short: a socket's path is limited
            path = Path(self._folder.name) / "s"
            self._server = await asyncio.start_unix_server(self._serve, path)
            self.url = f"unix://{path}"
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            port = self._server.sockets[0].getsockname()[1]
            database = "" if self._target.scheme == "unix" else self._target.path
            self.url = f"redis://127.0.0.1:{port}{database}"

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        self._flowing.set()
        await self._cut_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _cut_all(self) -> None:
        for link in list(self._links):
            await link.close()

    async def _reach(self) -> _Stream:
        if self._target.scheme == "unix":
            return await asyncio.open_unix_connection(self._target.path)
        return await asyncio.open_connection(self._target.hostname or "localhost", self._target.port or 6379)

    async def _serve(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        self.injected["connections"] += 1
        try:
            server = await self._reach()
        except OSError:  # the broker is away: the client sees its connection closed
            client_out.close()
            return
        link = _Link((client_in, client_out), server)
        self._links.add(link)
        ways = [asyncio.ensure_future(self._requests(link)), asyncio.ensure_future(self._replies(link))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._links.discard(link)
            await link.close()

    async def _requests(self, link: _Link) -> None:
        while data := await link.client_in.read(_BLOCK):
            await self._flowing.wait()
            fault = self.faults.draw(self._random.random())
            if fault:
                self.injected[fault] += 1
            if fault == "cut":
                if self._random.random() < 0.5:  # noqa: PLR2004 - as often the one as the other
                    await _send(link.server_out, data[: len(data) // 2])
                    return
                link.reply = "half"
            elif fault == "drop_reply":
                link.reply = "none"
            elif fault == "delay":
                await asyncio.sleep(self.faults.delay_s)
            elif fault == "drip":
                await self._drip(link.server_out, data)
                continue
            await _send(link.server_out, data)

    async def _replies(self, link: _Link) -> None:
        while data := await link.server_in.read(_BLOCK):
            await self._flowing.wait()
            if link.reply == "none":
                return
            if link.reply == "half":
                await _send(link.client_out, data[: len(data) // 2])
                return
            await _send(link.client_out, data)

    async def _drip(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        size = max(1, len(data) // _PIECES)
        for start in range(0, len(data), size):
            await _send(writer, data[start : start + size])
            await asyncio.sleep(self.faults.drip_s / _PIECES)


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
