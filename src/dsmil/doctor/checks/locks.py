"""What a killed instance left behind: records, sockets, locks."""

from __future__ import annotations

import shlex
from typing import Final

from dsmil.doctor.facts import Facts
from dsmil.doctor.finding import Check, Finding, info, ok, warning

#: Lock files of consumer names that nobody holds; each name that was ever used leaves one, on purpose.
_MANY: Final = 100


def run(facts: Facts) -> list[Finding]:
    """Judge what is left over."""
    return [_record(facts), *_socket(facts), *_consumers(facts), *_writer(facts)]


def _record(facts: Facts) -> Finding:
    instance, name = facts.instance, "locks.record"
    if not instance.record:
        return ok(name, "no record of an instance")
    if instance.running and not instance.record_readable:
        return warning(name, "an instance runs, but its instance.json cannot be read", "`dsmil down`, `dsmil up`")
    if instance.running:
        return ok(name, f"instance.json is that of the running instance, pid {instance.pid}")
    path = f"{instance.state_dir.path}/instance.json"
    return warning(
        name,
        f"{path} was left by an instance that was killed (pid {instance.pid})",
        "`dsmil doctor --fix`; the next `dsmil up` removes it as well",
        fix="remove-record",
    )


def _socket(facts: Facts) -> list[Finding]:
    instance, name = facts.instance, "locks.socket"
    if instance.data_held and not instance.running:
        evidence = f"a broker of a killed instance still holds the data in {instance.state_dir.path}/broker"
        return [warning(name, evidence, "end that valkey-server; `dsmil up` waits 10 s for it and then gives up")]
    if not instance.socket:
        return []
    if instance.socket_answers:
        return [ok(name, f"a server answers on {instance.socket}")]
    if instance.data_held:
        evidence = f"{instance.socket} does not answer, but its server holds the data: it starts, ends or hangs"
        return [warning(name, evidence, "look at broker/broker.log in the state directory")]
    return [
        warning(
            name,
            f"{instance.socket} has no server behind it",
            f"`dsmil doctor --fix`, or {shlex.join(['rm', instance.socket])}",
            fix="remove-socket",
        )
    ]


def _consumers(facts: Facts) -> list[Finding]:
    total, held = facts.instance.consumer_locks, facts.instance.consumer_held
    if not total:
        return []
    evidence = f"{held} of {total} consumer names are in use on this host"
    if total - held > _MANY:
        return [info("locks.consumers", evidence, "free names are used again; their lock files are harmless")]
    return [ok("locks.consumers", evidence)]


def _writer(facts: Facts) -> list[Finding]:
    store, name = facts.store, "locks.writer"
    if store.writer_held:
        return [ok(name, "a store writer holds the store")]
    if facts.instance.running:
        return [
            warning(
                name,
                "the fabric runs, but no store writer holds the store: nothing is copied into it",
                "`dsmil up` starts it anew within two seconds; if it stays so, look at its log",
            )
        ]
    if facts.alive:
        return [info(name, "no store writer of this host holds the store", "`dsmil run store-writer`")]
    return [ok(name, "no store writer, as nothing runs")] if store.writer_lock else []


CHECK = Check(
    name="locks",
    tells={
        "locks.record": "warning when `instance.json` is there and no instance holds its lock",
        "locks.socket": "warning when the broker's socket has no server, or the server has no instance",
        "locks.consumers": "info when more than 100 lock files of consumer names are free",
        "locks.writer": "warning when the fabric runs and nobody holds the store writer's lock",
    },
    run=run,
)
