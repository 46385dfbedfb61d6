"""Pages of one web server, each in bounded time and size, over a connection that is kept."""

from __future__ import annotations

import base64
import select
import socket
import ssl
import time
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

import h11

from dsmil.infrastructure.address import public_url

_RECEIVE_BYTES: Final = 65536
_MAX_HEAD: Final = 16 * 1024
_PORTS: Final = {"http": 80, "https": 443}
#: What may stand in a path as it is (RFC 3986), the mark of what is escaped already included.
_IN_PATHS: Final = "/%:@!$&'()*+,;=~"


class PageUnavailable(Exception):
    """The page was not had, with the cause in words."""


class _TooLong(Exception):
    pass


class WebPages:
    """A server's pages. Not for two threads at once."""

    def __init__(self, url: str, *, timeout_s: float, max_bytes: int, accept: str = "*/*") -> None:
        """Name the server, ``http`` or ``https``; nothing is sent yet.

        A page may take ``timeout_s`` from the first step to the last byte, but for the time that the resolver
        of the host takes for a name, and may have ``max_bytes``; ``accept`` is the kind that is asked for.
        Redirects are answers like any other, and nothing is unpacked.
        """
        self._line: socket.socket | None = None
        self._url = url.rstrip("/")
        #: The address without a password, for people.
        self.shown = public_url(self._url)
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._accept = accept
        self._tls: ssl.SSLContext | None = None
        self._http = h11.Connection(h11.CLIENT)

    def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body of the page at ``path`` behind the address; raises PageUnavailable."""
        deadline = time.monotonic() + self._timeout_s
        page = f"{self.shown}{path}"
        try:
            server = _parsed(self._url)
            if self._line is not None and self._said_unasked(self._line):
                self.close()
            kept = self._line is not None
            answer = self._exchange(server, path, deadline)
            if answer is None and kept:  # closed by the server at this very moment
                answer = self._exchange(server, path, deadline)
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
        if self._line is not None:
            self._line.close()
            self._line = None

    def __del__(self) -> None:
        """Close the connection: the documented client has no end of its own."""
        self.close()

    def _said_unasked(self, line: socket.socket) -> bool:
        """Return whether the server has said something since the last page, or hung up: that answers nothing."""
        look = select.poll()
        look.register(line, select.POLLIN)
        return bool(self._http.trailing_data[0]) or bool(look.poll(0))

    def _exchange(self, server: SplitResult, path: str, deadline: float) -> tuple[int, bytes] | None:
        """Return status and body; None when the server closed the connection before it said anything."""
        if self._line is None:
            self._line = self._opened(server, deadline)
            self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        answer = _Answer(self._max_bytes)
        try:
            self._line.settimeout(_left(deadline))
            self._line.sendall(self._request(server, path))
            while not answer.take(event := self._http.next_event()):
                if event is not h11.NEED_DATA:
                    continue
                self._line.settimeout(_left(deadline))
                data = self._line.recv(_RECEIVE_BYTES)
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
            ("Host", _authority(server)),
            ("Accept", self._accept),
            ("Accept-Encoding", "identity"),  # what is small on the wire must not become large in memory
        ]
        if server.username is not None:
            login = f"{unquote(server.username)}:{unquote(server.password or '')}".encode()
            headers.append(("Authorization", f"Basic {base64.b64encode(login).decode()}"))
        request = h11.Request(method="GET", target=quote(server.path + path, safe=_IN_PATHS), headers=headers)
        return b"".join(self._http.send(event) or b"" for event in (request, h11.EndOfMessage()))

    def _opened(self, server: SplitResult, deadline: float) -> socket.socket:
        line = _connected(server.hostname or "", server.port or _PORTS[server.scheme], deadline)
        if server.scheme == "http":
            return line
        try:
            if self._tls is None:
                self._tls = ssl.create_default_context()
            line.settimeout(_left(deadline))
            return self._tls.wrap_socket(line, server_hostname=server.hostname)
        except BaseException:
            line.close()
            raise


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


def _parsed(url: str) -> SplitResult:
    """Return the parts of an address; ValueError, which quotes nothing of it, when it cannot be used."""
    try:
        server = urlsplit(url)
        usable = server.scheme in _PORTS and server.hostname and not server.query and not server.fragment
        _ = server.port  # is looked at only when it is asked for
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("the address is not of the form http[s]://[USER:PASSWORD@]HOST[:PORT][/PATH]")
    return server


def _authority(server: SplitResult) -> str:
    """Return host and port as the protocol has them."""
    host = (server.hostname or "").encode("idna").decode()
    return (f"[{host}]" if ":" in host else host) + (f":{server.port}" if server.port else "")


def _connected(host: str, port: int, deadline: float) -> socket.socket:
    """Return a connection to the first address of the host that takes it."""
    problem: OSError | None = None
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for number, (family, kind, protocol, _, address) in enumerate(found):
        line = None
        try:
            line = socket.socket(family, kind, protocol)
            line.settimeout(_left(deadline) / (len(found) - number))  # a silent one leaves time for the next
            line.connect(address)
        except OSError as exc:
            problem = exc
            if line is not None:
                line.close()
        else:
            return line
    raise problem or OSError(f"{host} has no address")


def _left(deadline: float) -> float:
    """Return the seconds that are left; TimeoutError when none are."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no time is left")
    return left
