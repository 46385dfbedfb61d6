"""Captures that a test makes: whole packets over Ethernet and IPv4, each with the time the test says."""

from __future__ import annotations

import ipaddress
import itertools
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_UDP, _TCP = 17, 6
_FIN, _SYN, _PUSH, _ACK = 1, 2, 8, 16


class End(NamedTuple):
    """One end of a conversation."""

    host: str
    port: int


class Packet(NamedTuple):
    """One packet, Unix time in front."""

    ts: float
    frame: bytes


def datagram(ts: float, source: End, target: End, data: bytes) -> Packet:
    """Return a UDP packet."""
    return Packet(
        ts, _frame(_UDP, source, target, struct.pack("!HHHH", *_ports(source, target), 8 + len(data), 0) + data)
    )


def connection(ts: float, client: End, server: End, said: Iterable[tuple[End, bytes]]) -> Iterator[Packet]:
    """Yield a TCP connection from its handshake to its end, a millisecond between packets.

    What is ``said`` (by whom) is acknowledged by the other end before it goes on.
    """
    clock = itertools.count()
    following = {client: 1000, server: 5000}  # the next sequence number of each

    def segment(source: End, flags: int, data: bytes = b"") -> Packet:
        target = server if source == client else client
        acknowledged = following[target] if flags & _ACK else 0
        head = struct.pack(
            "!HHIIBBHHH", *_ports(source, target), following[source], acknowledged, 5 << 4, flags, 65535, 0, 0
        )
        following[source] += len(data) + bool(flags & (_SYN | _FIN))
        return Packet(ts + next(clock) / 1000, _frame(_TCP, source, target, head + data))

    yield segment(client, _SYN)
    yield segment(server, _SYN | _ACK)
    yield segment(client, _ACK)
    for source, data in said:
        for start in range(0, len(data), 1400):
            yield segment(source, _PUSH | _ACK, data[start : start + 1400])
            yield segment(server if source == client else client, _ACK)
    yield segment(client, _FIN | _ACK)
    yield segment(server, _FIN | _ACK)
    yield segment(client, _ACK)


def file_of(packets: Iterable[Packet]) -> bytes:
    """Return a pcap file of packets."""
    parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
    for ts, frame in packets:
        seconds, micros = divmod(round(ts * 1_000_000), 1_000_000)
        parts += struct.pack("<IIII", seconds, micros, len(frame), len(frame)), frame
    return b"".join(parts)


def _ports(source: End, target: End) -> tuple[int, int]:
    return source.port, target.port


def _frame(protocol: int, source: End, target: End, segment: bytes) -> bytes:
    addresses = ipaddress.ip_address(source.host).packed + ipaddress.ip_address(target.host).packed
    place = 6 if protocol == _UDP else 16
    summed = _checksum(addresses + struct.pack("!HH", protocol, len(segment)) + segment)
    segment = segment[:place] + summed + segment[place + 2 :]
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(segment), 1, 0, 64, protocol)
    return bytes(12) + b"\x08\x00" + head + _checksum(head + addresses) + addresses + segment


def _checksum(data: bytes) -> bytes:
    """Return the Internet checksum (RFC 1071)."""
    words = struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2))
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)
