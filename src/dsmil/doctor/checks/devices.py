"""Devices that stopped sending heartbeats, or say that something is wrong."""

from __future__ import annotations

from dsmil.doctor.facts import Device, Facts, beats
from dsmil.doctor.finding import Check, Finding, error, info, ok, warning
from dsmil.doctor.words import span


def run(facts: Facts) -> list[Finding]:
    """Judge the devices."""
    devices = [device for device in facts.store.devices if device.status != "OFFLINE"]
    stale = [device for device in devices if not beats(device)]
    found = [_error(device) for device in devices if beats(device) and device.status == "ERROR"]
    if facts.alive:
        found += [_stale(device) for device in stale]
    elif stale:
        names = ", ".join(_name(device) for device in stale)
        found.append(info("devices.heartbeat", f"nothing runs; these did not say that they stop: {names}"))
    fine = [device for device in devices if beats(device) and device.status != "ERROR"]
    if fine:
        found.append(ok("devices.heartbeat", f"{len(fine)} devices send heartbeats and are well"))
    return found


def _name(device: Device) -> str:
    service = f" ({device.service})" if device.service else ""
    return f"{device.device_id} {device.name}{service}"


def _error(device: Device) -> Finding:
    problem = device.problems or "it does not say what"
    return error("devices.error", f"device {_name(device)} reports ERROR: {problem}", "mend what it names")


def _stale(device: Device) -> Finding:
    last = "never" if device.age_s is None else f"{span(device.age_s)} ago"
    start = f"`dsmil run {device.service}`" if device.service else "start its service"
    return warning(
        "devices.heartbeat",
        f"device {_name(device)} says {device.status}, its last heartbeat was {last}",
        f"{start}; one that ends cleanly is marked OFFLINE",
    )


CHECK = Check(
    name="devices",
    tells={
        "devices.error": "error when a device reports ERROR, with what it names",
        "devices.heartbeat": "warning when a device is silent for more than 15 s while the fabric runs",
    },
    run=run,
)
