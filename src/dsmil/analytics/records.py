"""What the analytics see of a record: a connection, a name that was asked for, or a name given to a connection."""

from __future__ import annotations

import msgspec


class Connection(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One connection, ended or still open."""

    #: When it began, Unix seconds.
    ts: float
    src: str
    dst: str
    port: int
    #: tcp, udp, icmp, in lower case.
    proto: str
    #: The sensor's own id of it; the same in all its records. Empty when it has none.
    uid: str = ""
    #: What the sensor saw spoken, e.g. ``ssl`` or ``http,ssl``.
    service: str = ""
    #: Bytes of content from ``src`` and from ``dst``; None when they were not counted.
    sent: int | None = None
    received: int | None = None
    #: Whether it was refused or never answered; None when nobody can say.
    failed: bool | None = None


class Named(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The name by which a client wanted its connection: an HTTP host, a CONNECT host, a TLS server name."""

    ts: float
    src: str
    dst: str
    port: int
    uid: str = ""
    #: In lower case, without port; empty when the client gave none.
    name: str = ""
    #: Whether it is a further request on a connection that was named before.
    again: bool = False


class Lookup(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A name that was asked of DNS."""

    ts: float
    src: str
    #: In lower case, without a dot at its end.
    name: str
    #: Type asked for, e.g. ``A``, ``TXT``; empty when the record does not say.
    kind: str = ""
    #: Whether there is no such name; None when the record has no answer.
    missing: bool | None = None
    #: Whether it is an answer alone, whose question may have a record of its own.
    is_answer: bool = False


Record = Connection | Named | Lookup
