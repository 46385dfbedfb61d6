"""What the sensor sees: a client looks a name up, fetches a page, greets over TLS, says a word, and asks badly."""

from __future__ import annotations

import ssl
import struct
from collections.abc import Iterator

from tests.sensors.pcap import End, Packet, connection, datagram

#: When the first packet goes, Unix seconds. Each of the five conversations begins a second after the one before.
BEGIN = 1_700_000_000.25
CLIENT, SERVER, RESOLVER, LISTENER = "192.0.2.1", "203.0.113.80", "198.51.100.53", "198.51.100.2"
NAME = "www1.example.net"
#: Path of the page; what fetches it asks for more.
PAGE = "/a/page"
WORD = "grobstruxel"


def conversations() -> Iterator[Packet]:
    """Yield all of them; the last one breaks the rules of HTTP twice, which is an anomaly."""
    yield from lookup(BEGIN, End(CLIENT, 40001), NAME)
    page = b"<p>hello</p>" * 300  # more than a packet holds
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page) + page
    question = f"GET {PAGE}?x=1 HTTP/1.1\r\nHost: {NAME}\r\nUser-Agent: tester\r\n\r\n".encode()
    yield from _fetched(BEGIN + 1, End(CLIENT, 40002), question, answer)
    client, server = End(CLIENT, 40003), End(SERVER, 443)
    yield from connection(BEGIN + 2, client, server, [(client, _client_hello(NAME))])
    word = f"a word that nobody else says: {WORD}".encode()
    yield datagram(BEGIN + 3, End(CLIENT, 40004), End(LISTENER, 5140), word)
    nameless, endless = b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"
    yield from _fetched(BEGIN + 4, End(CLIENT, 40005), nameless, endless)


def lookup(ts: float, client: End, name: str) -> Iterator[Packet]:
    """Yield a DNS question for an address and, half a second later, its answer."""
    resolver = End(RESOLVER, 53)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = labels + b"\0" + struct.pack("!HH", 1, 1)
    answer = struct.pack("!HHHIH4s", 0xC00C, 1, 1, 60, 4, bytes(map(int, SERVER.split("."))))
    yield datagram(ts, client, resolver, struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + question)
    yield datagram(ts + 0.5, resolver, client, struct.pack("!6H", 7, 0x8180, 1, 1, 0, 0) + question + answer)


def _fetched(ts: float, client: End, question: bytes, answer: bytes) -> Iterator[Packet]:
    server = End(SERVER, 80)
    return connection(ts, client, server, [(client, question), (server, answer)])


def _client_hello(name: str) -> bytes:
    """Return the first bytes that a real TLS client sends."""
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without a server")
