"""Facts for the doctor's checks, built by hand: all well, and what a test makes otherwise."""

from __future__ import annotations

from typing import Any

import msgspec

from dsmil.doctor.examine import all_checks
from dsmil.doctor.facts import Broker, Facts, Folder, Host, Instance, Keeping, Store, Stream, Table
from dsmil.doctor.finding import Finding, Severity

NOW = 1_800_000_000.0
MB = 1024**2
GB = 1024**3
OURS = Folder(path="/state", exists=True, is_dir=True, mode=0o700, uid=1000, mtime=NOW - 5)

BROKER = Broker(
    address="unix:///run/broker.sock",
    used_memory=10 * MB,
    maxmemory=GB,
    streams=tuple(Stream(name=name, length=5, added=5) for name in ("L3_IN", "L3_OUT")),
)
STORE = Store(
    path="/state/hotpath.db",
    file=Folder(path="/state/hotpath.db", exists=True, mode=0o660, uid=1000),
    folder=OURS,
    file_bytes=10 * MB,
    used_bytes=9 * MB,
    budget_bytes=GB,
    fs_total=4 * GB,
    fs_free=4 * GB,
    quick_check="ok",
    writer_held=True,
    tables=(Table(name="raw_events_fast", rows=10, keep_s=86_400, oldest=NOW - 60, newest=NOW - 1, recent=5),),
)
INSTANCE = Instance(
    state_dir=OURS,
    running=True,
    record=True,
    pid=7,
    version="1",
    age_wall_s=100.0,
    age_steady_s=101.0,
    fs_total=100 * GB,
    fs_free=50 * GB,
    shrink_url="http://localhost:8500",
)
HOST = Host(memory_total=16 * GB, memory_free=8 * GB)
KEEPING = Keeping(reason="the broker's memory is 1% full", snapshot_s=60.0, snapshot_bytes=MB, producers=3)
WELL = Facts(now=NOW, host=HOST, instance=INSTANCE, broker=BROKER, store=STORE, keeping=KEEPING)


def facts(part: str = "", **changes: Any) -> Facts:
    """Return facts that are well but for some fields of one part (``broker``, ``store`` ...) or of the whole."""
    if not part:
        return msgspec.structs.replace(WELL, **changes)
    return msgspec.structs.replace(WELL, **{part: msgspec.structs.replace(getattr(WELL, part), **changes)})


def run(family: str, given: Facts) -> list[Finding]:
    """Return what one family says; every name it uses is in its table."""
    check = all_checks()[family]
    found = check.run(given)
    assert {finding.check for finding in found} <= set(check.tells)
    return found


def worst(family: str, name: str, given: Facts) -> Severity | None:
    """Return the greatest severity that one check gives, or None when it says nothing."""
    order = list(Severity)
    said = [finding.severity for finding in run(family, given) if finding.check == f"{family}.{name}"]
    return max(said, key=order.index, default=None)


def only(family: str, name: str, given: Facts) -> Finding:
    """Return the one finding of a check."""
    (found,) = (finding for finding in run(family, given) if finding.check == f"{family}.{name}")
    return found
