"""rsyslogd forwards to the syslog listener, in its own formats and framings: each message once, in order."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from tests.integration.listening import LIMITS, port, tcp
from tests.sensors.conftest import Start, program

from dsmil.config import Settings
from dsmil.events.streams import StreamName
from dsmil.infrastructure.redis_streams import RedisStreamsClient
from dsmil.services.listening.syslog import SyslogListener
from dsmil.sources._frames import Framing
from dsmil.sources.syslog import Syslog
from dsmil.testing.running import Running
from dsmil.testing.waiting import until

COUNT = 3000
#: Its input is not limited in rate: each of the test's lines must come through.
CONFIGURATION = """
global(workDirectory="{folder}")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{folder}/in.sock" RateLimit.Interval="0" UseSpecialParser="off" ParseHostname="on")
action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" TCP_Framing="{framing}" template="{template}"
       action.resumeRetryCount="-1" queue.type="LinkedList" queue.size="10000")
"""


@pytest.mark.parametrize(
    ("framing", "template", "form"),
    [
        ("octet-counted", "RSYSLOG_SyslogProtocol23Format", "rfc5424"),
        ("traditional", "RSYSLOG_SyslogProtocol23Format", "rfc5424"),
        ("octet-counted", "RSYSLOG_TraditionalForwardFormat", "rfc3164"),
        ("traditional", "RSYSLOG_ForwardFormat", "rfc3164"),
    ],
)
def test_what_rsyslog_forwards_is_there_once_and_in_order(
    bus: RedisStreamsClient,
    settings: Settings,
    tmp_path: Path,
    start: Start,
    framing: str,
    template: str,
    form: str,
) -> None:
    part = SyslogListener(Syslog(), settings, [tcp()], framing=Framing.AUTO, limits=LIMITS)
    with Running(part):
        chosen = CONFIGURATION.format(folder=tmp_path, port=port(part), framing=framing, template=template)
        (tmp_path / "rsyslog.conf").write_text(chosen)
        start(program("rsyslogd"), "-n", "-f", tmp_path / "rsyslog.conf", "-i", tmp_path / "rsyslog.pid")
        until((tmp_path / "in.sock").exists)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(str(tmp_path / "in.sock"))
            for number in range(COUNT):
                sender.send(b"<84>Nov 14 22:13:20 web1 sshd[%d]: line %d of \xc3\xbc" % (number + 1, number))
        until(lambda: bus.client.xlen(StreamName.L3_IN.value) >= COUNT)
    payloads = [event.payload for _, event in bus.read(StreamName.L3_IN, count=2 * COUNT)]
    assert [made["message"].strip() for made in payloads] == [f"line {number} of ü" for number in range(COUNT)]
    assert {
        (made["host"], made["app"], made["facility"], made["severity"], made["format"]) for made in payloads
    } == {("web1", "sshd", "authpriv", "warning", form)}
    assert [made["pid"] for made in payloads] == [str(number + 1) for number in range(COUNT)]
