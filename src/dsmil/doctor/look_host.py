"""Looking at the state directory, the processes of the instance, SHRINK, and this host."""

from __future__ import annotations

import http.client
import os
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil import __version__
from dsmil.doctor.facts import Folder, Host, Instance, Port
from dsmil.doctor.look_locks import ConsumerLocks, answers, is_held
from dsmil.doctor.look_store import folder, free
from dsmil.infrastructure.address import broker_url, public_url
from dsmil.infrastructure.instance import StateDir, runtime_places
from dsmil.infrastructure.shrink import SHRINKClient, ShrinkUnavailable

if TYPE_CHECKING:
    from dsmil.config import Settings

_ANSWER_S: Final = 2.0
_MOST_BYTES: Final = 64 * 1024
_KB: Final = 1024
#: Field 22 of a process's ``stat``, counted behind its name: start in ticks since boot.
_START_FIELD: Final = 19
#: Port of ``instance.json`` that is no metrics port.
_SHRINK: Final = "shrink"


def look_host() -> Host:
    """Return what is to be seen of this process and its host."""
    total, spare = _memory()
    major, minor, micro = sys.version_info[:3]
    return Host(
        uid=os.getuid(),
        python=(major, minor, micro),
        platform=sys.platform,
        memory_total=total,
        memory_free=spare,
    )


def _memory() -> tuple[int | None, int | None]:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        rows = {name: int(rest.split()[0]) * _KB for name, _, rest in (line.partition(":") for line in lines)}
    except (OSError, ValueError, IndexError):
        return None, None
    return rows.get("MemTotal"), rows.get("MemAvailable")


def look_instance(settings: Settings, locks: ConsumerLocks, now: float, *, store: str, private: str) -> Instance:
    """Return what is to be seen of the state directory; ``store`` is a file of ours, ``private`` a folder."""
    state = StateDir(settings.state_dir)
    record, written = state.read(), (settings.state_dir / "instance.json").exists()
    # The lock is the proof: a record that cannot be read does not mean that nobody runs.
    running = is_held(settings.state_dir / "instance.lock")
    sockets = [place / "broker.sock" for place in runtime_places(str(settings.state_dir.resolve()))]
    socket = next((str(path) for path in sockets if path.is_socket()), "")
    total, spare = free(settings.state_dir)
    url = settings.shrink_url
    if running and record and record.shrink_url not in {"", public_url(url)}:
        url = record.shrink_url  # of the demo, or of another environment; a password is not in the record
    seen = Instance(
        state_dir=folder(settings.state_dir),
        running=running,
        record=written,
        record_readable=record is not None,
        fs_total=total,
        fs_free=spare,
        socket=socket,
        socket_answers=bool(socket) and answers(socket),
        data_held=is_held(settings.state_dir / "broker" / "broker.lock"),
        consumer_locks=locks.count()[0],
        consumer_held=locks.count()[1],
        shrink_url=public_url(url),
        shrink_problem=_shrink(url, settings.shrink_url),
        conflicts=_conflicts(settings, private),
        future_files=_future([settings.state_dir / "instance.json", Path(store), Path(f"{store}-wal")], now),
    )
    if record is None:
        return seen
    return msgspec.structs.replace(
        seen,
        pid=record.pid,
        version=record.version,
        same_version=record.version == __version__,
        age_wall_s=now - record.started if running else None,
        age_steady_s=_steady_age(record.pid) if running else None,
        ports=tuple(_port(*pair) for pair in record.ports.items() if pair[0] != _SHRINK) if running else (),
    )


def _steady_age(pid: int) -> float | None:
    """Return how long a process has run by the kernel's clock since boot, which nobody sets (Linux)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        ticks = int(stat.rpartition(")")[2].split()[_START_FIELD])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def _port(name: str, port: int) -> Port:
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_S)) as connection:
            connection.request("GET", "/health")
            found: Any = msgspec.json.decode(connection.getresponse().read(_MOST_BYTES))
        bad = [f"{check}: {text}" for check, text in found["checks"].items() if text != "ok"]
        return Port(name=name, port=port, health=str(found["status"]), problem="; ".join(bad))
    except (OSError, http.client.HTTPException) as exc:
        return Port(name=name, port=port, health="", problem=f"{type(exc).__name__}: {exc}")
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError):
        return Port(name=name, port=port, health="", problem="another program answers there")


def _shrink(url: str, given: str) -> str:
    client = SHRINKClient(url)
    try:
        client.get_reading()
    except ShrinkUnavailable as exc:
        if url != given and "answers 401" in str(exc):
            return f"{exc} (this shell's SHRINK_URL is another; does it need a password?)"
        return str(exc)
    finally:
        client.close()
    return ""


def _conflicts(settings: Settings, private: str) -> tuple[Folder, ...]:
    """Return the folders that would be ours, are there, and are not private to us."""
    places = [
        *runtime_places(str(settings.state_dir.resolve())),
        *runtime_places(f"consumers {broker_url(settings)}"),
    ]
    if private:
        places.append(Path(private))
    seen = [folder(path) for path in dict.fromkeys(places)]
    uid = os.getuid()
    return tuple(f for f in seen if f.exists and not (f.is_dir and f.uid == uid and not f.mode & 0o077))


def _future(paths: list[Path], now: float) -> tuple[Folder, ...]:
    return tuple(seen for seen in map(folder, paths) if seen.exists and seen.mtime > now)
