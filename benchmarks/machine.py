"""What the machine says: CPU time of a process, memory, load, versions."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import apsw

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time a process has used, user and system, its ended threads included; steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    coarse = (int(fields[11]) + int(fields[12])) / _TICK
    try:
        # In nanoseconds, of the threads that live: finer, but short of those that have ended.
        tasks = Path(f"/proc/{pid}/task").iterdir()
        fine = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except (OSError, ValueError, IndexError):
        return coarse
    return fine if abs(fine - coarse) < 5 / _TICK else coarse


def cpu_seconds_of_started(pid: int) -> float:
    """Return the CPU time of all that a process has started, those included that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ended = (int(fields[13]) + int(fields[14])) / _TICK
    for child in family(pid)[1:]:
        with contextlib.suppress(OSError):  # ended just now
            ended += cpu_seconds(child)
    return ended


def family(pid: int) -> list[int]:
    """Return a process and everything it has started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, open_ = [], [pid]
    while open_:
        found.append(one := open_.pop())
        open_ += children.get(one, [])
    return found


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def pss_bytes(pid: int) -> int:
    """Return the memory of a process with shared pages divided among those who share them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def describe() -> dict[str, Any]:
    """Return what the figures were taken on."""
    from dsmil import __version__
    from dsmil.infrastructure.broker import bundled_binary

    server = subprocess.run([bundled_binary(), "--version"], capture_output=True, text=True, check=True).stdout
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    return {
        "dsmil": __version__,
        "python": platform.python_version(),
        "broker": "Valkey " + server.partition("v=")[2].partition(" ")[0],
        "sqlite": apsw.sqlite_lib_version(),
        "redis-py": version("redis"),
        "hiredis": version("hiredis"),
        "msgspec": version("msgspec"),
        "kernel": platform.release(),
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def peer_versions() -> dict[str, str]:
    """Return the versions of the contenders, from their lock."""
    lock = Path(__file__).with_name("requirements.lock").read_text("utf-8")
    wanted = ("bytewax", "faststream", "requests", "orjson")
    found = (line.split()[0].partition("==") for line in lock.splitlines() if "==" in line)
    return {name: number for name, _, number in found if name in wanted}


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
