"""Pages of one web server, each in bounded time and size, over a connection that is kept."""

from __future__ import annotations

import base64
import socket
import ssl
import time
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

import h11

from dsmil.infrastructure.address import public_url

_RECEIVE_BYTES: Final = 65536
_MAX_HEAD: Final = 16 * 1024
_PORTS: Final = {"http": 80, "https": 443}


class PageUnavailable(Exception):
    """The page was not had, with the cause in words."""


class _TooLong(Exception):
    pass


class WebPages:
    """A server's pages. Not for two threads at once."""

    def __init__(self, url: str, *, timeout_s: float, max_bytes: int, accept: str = "*/*") -> None:
        """Name the server, ``http`` or ``https``; nothing is sent yet.

        A page may take ``timeout_s`` from the first step to the last byte, and have ``max_bytes``; ``accept`` is
        the kind that is asked for. Redirects are answers like any other, and nothing is unpacked.
        """
        self._socket: socket.socket | None = None
        self._url = url.rstrip("/")
        self._shown = public_url(self._url)
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._accept = accept
        self._http = h11.Connection(h11.CLIENT)

    def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body of the page at ``path`` behind the address; raises PageUnavailable."""
        deadline = time.monotonic() + self._timeout_s
        page = f"{self._shown}{path}"
        try:
            kept = self._socket is not None
            answer = self._exchange(path, deadline)
            if answer is None and kept:  # closed by the server since the page before
                answer = self._exchange(path, deadline)
        except (OSError, ValueError, h11.ProtocolError) as exc:
            self.close()
            late = isinstance(exc, TimeoutError) or time.monotonic() >= deadline
            words = f"takes longer than {self._timeout_s} s" if late else f"{type(exc).__name__}: {exc}"
            raise PageUnavailable(f"{page}: {words}") from exc
        except _TooLong:
            self.close()
            raise PageUnavailable(f"{page} answers with more than {self._max_bytes} bytes") from None
        if answer is None:
            raise PageUnavailable(f"{page}: the server closes the connection without an answer")
        return answer

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __del__(self) -> None:
        """Close the connection: the documented client has no end of its own."""
        self.close()

    def _exchange(self, path: str, deadline: float) -> tuple[int, bytes] | None:
        """Return status and body; None when the server closed the connection before it said anything."""
        server = urlsplit(self._url)
        if self._socket is None:
            self._socket = _opened(server.scheme, server.hostname, server.port, deadline)
            self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        answer = _Answer(self._max_bytes)
        try:
            self._socket.settimeout(_left(deadline))
            self._socket.sendall(self._request(server, path))
            while not answer.take(event := self._http.next_event()):
                if event is not h11.NEED_DATA:
                    continue
                self._socket.settimeout(_left(deadline))
                data = self._socket.recv(_RECEIVE_BYTES)
                if not data and not answer.status:
                    raise ConnectionResetError
                self._http.receive_data(data)
        except ConnectionError:
            if answer.status:
                raise
            self.close()
            return None
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        else:
            self.close()
        return answer.status, bytes(answer.body)

    def _request(self, server: SplitResult, path: str) -> bytes:
        headers = [
            ("Host", server.netloc.rpartition("@")[2]),
            ("Accept", self._accept),
            ("Accept-Encoding", "identity"),  # what is small on the wire must not become large in memory
        ]
        if server.username is not None:
            login = f"{unquote(server.username)}:{unquote(server.password or '')}".encode()
            headers.append(("Authorization", f"Basic {base64.b64encode(login).decode()}"))
        request = h11.Request(method="GET", target=server.path + path, headers=headers)
        return b"".join(self._http.send(event) or b"" for event in (request, h11.EndOfMessage()))


class _Answer:
    """What has come of an answer."""

    def __init__(self, max_bytes: int) -> None:
        #: 0 as long as there is none.
        self.status = 0
        self.body = bytearray()
        self._max_bytes = max_bytes

    def take(self, event: object) -> bool:
        """Take what h11 has found; return whether it was the end. More bytes than allowed raise _TooLong."""
        if isinstance(event, h11.Response):
            self.status = event.status_code
        elif isinstance(event, h11.Data):
            self.body += event.data
            if len(self.body) > self._max_bytes:
                raise _TooLong
        return isinstance(event, h11.EndOfMessage)


def _opened(scheme: str, host: str | None, port: int | None, deadline: float) -> socket.socket:
    if scheme not in _PORTS or not host:
        raise ValueError("the address is not http://HOST or https://HOST")
    made = socket.create_connection((host, port or _PORTS[scheme]), timeout=_left(deadline))
    if scheme == "http":
        return made
    try:
        made.settimeout(_left(deadline))
        return ssl.create_default_context().wrap_socket(made, server_hostname=host)
    except BaseException:
        made.close()
        raise


def _left(deadline: float) -> float:
    """Return the seconds that are left; TimeoutError when none are."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no time is left")
    return left
