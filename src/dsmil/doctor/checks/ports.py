"""Whether the processes of the running instance answer, and SHRINK."""

from __future__ import annotations

from dsmil.doctor.facts import Facts, Port
from dsmil.doctor.finding import Check, Finding, error, info, ok, warning


def run(facts: Facts) -> list[Finding]:
    """Judge what answers."""
    instance = facts.instance
    if not facts.alive:
        remedy = "`dsmil up`, or `dsmil run NAME...` in units"
        return [info("ports.fabric", f"no fabric runs in {instance.state_dir.path}", remedy)]
    found = [_fabric(facts), *map(_port, instance.ports)]
    if instance.shrink_problem:
        optional = "optional: without it severities are not raised by operator state"
        found.append(info("ports.shrink", f"no reading: {instance.shrink_problem}", optional))
    elif instance.shrink_url:
        found.append(ok("ports.shrink", f"{instance.shrink_url} answers"))
    return found


def _fabric(facts: Facts) -> Finding:
    if facts.instance.running:
        return ok("ports.fabric", f"runs, pid {facts.instance.pid}, version {facts.instance.version}")
    return ok("ports.fabric", "no instance of `dsmil up`, but services send heartbeats")


def _port(port: Port) -> Finding:
    where = f"{port.name} on port {port.port}"
    if port.health == "healthy":
        return ok("ports.health", f"{where} is healthy")
    if port.health:
        make = error if port.health == "unhealthy" else warning
        return make(
            "ports.health", f"{where} is {port.health}: {port.problem}", "mend what it names; it goes on by itself"
        )
    return error(
        "ports.health",
        f"{where} does not answer: {port.problem}",
        "`dsmil up` starts it anew within two seconds; if it stays so, look at its log",
    )


CHECK = Check(
    name="ports",
    tells={
        "ports.fabric": "info when no fabric runs",
        "ports.health": "error when a process of the instance does not answer `/health` or is unhealthy, warning"
        " when it is degraded",
        "ports.shrink": "info when SHRINK gives no reading; it is optional",
    },
    run=run,
)
