"""What a crash or a power cut would cost. Only told, never changed: switching it wrongly loses data."""

from __future__ import annotations

from dsmil.doctor.facts import Broker, Facts
from dsmil.doctor.finding import Check, Finding, error, info, ok, warning
from dsmil.doctor.words import redis_cli


def run(facts: Facts) -> list[Finding]:
    """Judge persistence."""
    broker = facts.broker
    if broker.error:
        return []
    if not broker.aof:
        return [_off(broker), *_snapshot(broker)]
    return [_fsync(broker), _writes(broker), *_snapshot(broker)]


def _off(broker: Broker) -> Finding:
    command = redis_cli(broker, "CONFIG", "SET", "appendonly", "yes")
    return warning(
        "durability.log",
        "appendonly is no: a restart of the broker loses what came after its last snapshot, or everything",
        f"{command}, wait until aof_rewrite_in_progress is 0, then CONFIG REWRITE; never by editing the file:"
        " the next start would come up empty",
    )


def _fsync(broker: Broker) -> Finding:
    name = "durability.log"
    if broker.fsync == "always":
        return ok(name, "append-only file, fsync at every write: a power cut costs nothing that was accepted")
    if broker.fsync == "everysec":
        return info(
            name,
            "append-only file, fsync every second: a killed process costs nothing, a power cut up to 1 s",
            "`dsmil up --durable` waits for the disk at every write" if broker.mode != "given" else "",
        )
    if not broker.fsync:
        return info(name, "append-only file; how often it is synced cannot be told, CONFIG is not allowed")
    return warning(
        name,
        f"appendfsync is {broker.fsync}: a power cut costs what the system had not written yet, about 30 s",
        redis_cli(broker, "CONFIG", "SET", "appendfsync", "everysec"),
    )


def _writes(broker: Broker) -> Finding:
    name = "durability.writes"
    if broker.aof_write != "ok":
        return error(
            name,
            f"the last write of the append-only file failed ({broker.aof_write}): the broker refuses new entries",
            "free space on its disk and look at its log; it tries again by itself",
        )
    if broker.aof_rewrite != "ok":
        return warning(
            name,
            f"the last rewrite of the append-only file failed ({broker.aof_rewrite}): it grows without end",
            f"free space and memory, then {redis_cli(broker, 'BGREWRITEAOF')}",
        )
    return ok(name, "last write and last rewrite of the append-only file went well")


def _snapshot(broker: Broker) -> list[Finding]:
    if broker.snapshot == "ok":
        return []
    return [
        warning(
            "durability.snapshot",
            f"the last snapshot failed ({broker.snapshot}): by default the broker then refuses new entries",
            f"free space on its disk, then {redis_cli(broker, 'BGSAVE')}",
        )
    ]


CHECK = Check(
    name="durability",
    tells={
        "durability.log": "warning without append-only file, or when it is never synced; info for `everysec`: up"
        " to 1 s is lost at a power cut",
        "durability.writes": "error when the last write of that file failed, warning when the last rewrite did",
        "durability.snapshot": "warning when the last snapshot failed",
    },
    run=run,
)
