"""The syslog listener with the feeds of hosts: plain syslog, and Windows events as the message."""

from __future__ import annotations

import json

from tests.integration.listening import LIMITS, connect, taken, tcp

from dsmil.config import Settings
from dsmil.events.model import Event
from dsmil.events.streams import StreamName
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.letters import read_letters
from dsmil.services.listening.syslog import SyslogListener
from dsmil.sources._feed import Source
from dsmil.sources._frames import Framing
from dsmil.sources.syslog import Syslog
from dsmil.sources.windows import Windows
from dsmil.testing.running import Running
from dsmil.testing.waiting import until


def send(bus: RedisStreamsClient, settings: Settings, source: Source, *lines: bytes) -> list[Event]:
    """Send lines over TCP; return the events that the broker has then."""
    part = SyslogListener(source, settings, [tcp()], framing=Framing.AUTO, limits=LIMITS)
    with Running(part):
        with connect(part) as sender:
            sender.sendall(b"".join(line + b"\n" for line in lines))
        until(lambda: taken(part) == len(lines))
    return [event for _, event in bus.read(StreamName.L3_IN, count=100)]


def test_plain_syslog(bus: RedisStreamsClient, settings: Settings) -> None:
    login, alert, bad = (
        b"<38>Mar  1 18:46:11 web1 sshd[7]: Failed password for root from 198.51.100.4 port 4 ssh2",
        b"<134>1 2026-01-02T03:04:05Z fw shield - - - CEF:0|Acme|Shield|1|100|malware seen|9|src=192.0.2.1",
        b"neither priority nor time",
    )
    first, second = send(bus, settings, Syslog(), login, alert, bad)
    assert (first.payload["app"], first.category, first.severity) == ("sshd", "AUTH", "LOW")
    assert -7 * 86400 <= first.ingest_ts - first.ts <= 366 * 86400
    assert (second.ts, second.severity) == (1767323045.0, "CRITICAL")
    (letter,) = read_letters(settings, 10)[0]
    assert letter.cause == "not_syslog"


def test_a_windows_event_is_one_message(bus: RedisStreamsClient, settings: Settings) -> None:
    record = {"Channel": "Security", "EventID": 4625, "Computer": "ws1", "TimeCreated": "2026-01-02T03:04:05Z"}
    (event,) = send(bus, settings, Windows(), json.dumps(record).encode())
    assert (event.payload, event.category, event.ts) == (record, "AUTH", 1767323045.0)
