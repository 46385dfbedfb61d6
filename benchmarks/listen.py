"""Case of the syslog listener: lines over one TCP connection, beside what rsyslog does with the same ones."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import checks
from benchmarks.context import Context
from benchmarks.events import syslog_line
from benchmarks.rig import BenchFailed, Process, Rig

_PEER_LIST = "PEER"
#: rsyslog's own way to a broker that its packaged versions have: a list, the lines undecoded.
_RSYSLOG = """
global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imtcp")
module(load="omhiredis")
input(type="imtcp" port="{port}" address="127.0.0.1")
template(name="line" type="string" string="%rawmsg%")
action(type="omhiredis" server="127.0.0.1" serverport="{broker}" mode="queue" key="PEER" template="line")
"""


def syslog(ctx: Context) -> None:
    """Send RFC 5424 lines to ``dsmil listen syslog``; beside it rsyslog, where it is installed."""
    count = ctx.size.events
    now = time.time()
    data = b"".join(syslog_line(n, now + n * 1e-5) for n in range(count))
    with Rig() as rig:
        port = _free_port()
        words = ("-m", "dsmil", "listen", "syslog", "--tcp", f"127.0.0.1:{port}", "--metrics-port", "0")
        seconds, us = _measure(rig, rig.start("listen", sys.executable, *words), port, data, "L3_IN", count)
        ids = checks.ids_of(rig.client, "L3_IN")
        if len(ids) != count or rig.client.xlen("L3_IN") != count:
            raise BenchFailed(f"listen: {count} lines, {len(ids)} ids, {rig.client.xlen('L3_IN')} entries")
    ctx.add("listen.syslog.lines_per_s", count / seconds)
    ctx.add("listen.syslog.us", us)
    ctx.say(f"  listen: {count / seconds:,.0f} lines/s, {us:.1f} µs of CPU a line")
    rsyslogd = _rsyslogd()
    if not rsyslogd:
        ctx.say("  rsyslogd with omhiredis is not installed: nothing to stand beside")
        return
    with Rig() as rig:
        port, chosen = _free_port(), rig.work / "rsyslog.conf"
        chosen.write_text(_RSYSLOG.format(folder=rig.work, port=port, broker=rig.open_tcp()))
        peer = rig.start("rsyslogd", rsyslogd, "-n", "-f", chosen, "-i", rig.work / "rsyslogd.pid")
        beside, peer_us = _measure(rig, peer, port, data, _PEER_LIST, count)
    ctx.add("listen.syslog.ratio_to_rsyslog", beside / seconds)
    ctx.add("listen.syslog.cpu_ratio_to_rsyslog", peer_us / us)
    ctx.say(f"  rsyslog: {count / beside:,.0f} lines/s, {peer_us:.1f} µs of CPU a line")


def _measure(rig: Rig, process: Process, port: int, data: bytes, stream: str, count: int) -> tuple[float, float]:
    """Return the seconds until the broker has the last line, and the process's CPU for one, microseconds."""
    sender = _connected(rig, port)
    cpu, started = process.cpu, time.monotonic()
    with sender:
        sender.sendall(data)
        ended = rig.until(_holds(rig, stream, count), 120, f"line {count} in {stream}")
    return ended - started, (process.cpu - cpu) / count * 1e6


def _connected(rig: Rig, port: int) -> socket.socket:
    found: list[socket.socket] = []

    def answers() -> bool:
        with contextlib.suppress(OSError):
            found.append(socket.create_connection(("127.0.0.1", port)))
        return bool(found)

    rig.until(answers, 30, f"listener on port {port}")
    return found[0]


def _holds(rig: Rig, stream: str, count: int) -> Callable[[], bool]:
    held = rig.client.llen if stream == _PEER_LIST else rig.client.xlen
    return lambda: int(held(stream)) >= count


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _rsyslogd() -> str:
    """Return the path of rsyslogd, empty when it cannot write to a broker here."""
    found = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin")
    has_module = (
        any(Path("/usr/lib").glob("*/rsyslog/omhiredis.so")) or Path("/usr/lib64/rsyslog/omhiredis.so").exists()
    )
    return found if found and has_module else ""
