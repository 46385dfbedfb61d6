"""SOC events as OCSF 1.4.0 Detection Findings (class 2004), for other systems to read.

Source: the class and its objects as published at schema.ocsf.io, version 1.4.0. What the class has no place for
stands whole in ``unmapped``, so nothing is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dsmil import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION: Final = "1.4.0"
_CLASS: Final = 2004
_CREATE: Final = 1
_SEVERITIES: Final = {"LOW": (2, "Low"), "MEDIUM": (3, "Medium"), "HIGH": (4, "High"), "CRITICAL": (5, "Critical")}
#: Our kinds of entity -> number and name of OCSF's observables.
_OBSERVABLES: Final = {
    "host": (1, "Hostname"),
    "domain": (1, "Hostname"),
    "ip": (2, "IP Address"),
    "mac": (3, "MAC Address"),
    "user": (4, "User Name"),
    "email": (5, "Email Address"),
    "url": (6, "URL String"),
    "file": (7, "File Name"),
    "hash": (8, "Hash"),
    "process": (9, "Process Name"),
    "resource": (10, "Resource UID"),
    "port": (11, "Port"),
}
_OTHER: Final = 99


def detection_finding(event: dict[str, Any], title: str) -> dict[str, Any]:
    """Return a SOC event, as published or as a row of the store, as a Detection Finding.

    Times are Unix milliseconds, ``confidence_score`` is 0-100. ``title`` says in words what was found. The event
    itself stands in ``unmapped``, under its own names.
    """
    context = event.get("context") or {}

    def of(name: str) -> Any:  # noqa: ANN401 - fields have many types
        return event.get(name) or context.get(name)

    severity_id, severity = _SEVERITIES[event["severity"]]
    when = round(event["ts"] * 1000)
    attacks = [_attack(technique) for technique in of("techniques") or ()]
    found: dict[str, Any] = {
        "activity_id": _CREATE,
        "activity_name": "Create",
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": _CLASS,
        "class_name": "Detection Finding",
        "type_uid": _CLASS * 100 + _CREATE,
        "type_name": "Detection Finding: Create",
        "time": when,
        "severity_id": severity_id,
        "severity": severity,
        "status_id": 1,
        "status": "New",
        "is_alert": True,
        "message": title,
        "metadata": {
            "version": VERSION,
            "product": {"name": "DSMIL Fabric", "vendor_name": "DSMIL", "version": __version__},
            "uid": event["event_id"],
        },
        "finding_info": {
            "uid": event["event_id"],
            "title": title,
            "created_time": when,
            "analytic": {"type_id": 1, "type": "Rule", "name": title},
        },
        "unmapped": event,
    }
    observables = list(_observables(of("entities") or ()))
    if observables:
        found["observables"] = observables
    if attacks:
        found["finding_info"]["attacks"] = attacks
    if of("evidence"):
        found["finding_info"]["related_events"] = [{"uid": uid} for uid in of("evidence")]
    if of("score") is not None:
        found["confidence_score"] = round(of("score") * 100)
    if of("correlation_id"):
        found["metadata"]["correlation_uid"] = of("correlation_id")
    if of("ingest_ts"):
        found["metadata"]["logged_time"] = round(of("ingest_ts") * 1000)
    if of("origin"):
        found["metadata"]["log_name"] = of("origin")
    return found


def _attack(technique: str) -> dict[str, Any]:
    """Return an ATT&CK id; one with a dot is a sub-technique beside its technique."""
    above, dot, _ = technique.partition(".")
    attack: dict[str, Any] = {"technique": {"uid": above}}
    if dot:
        attack["sub_technique"] = {"uid": technique}
    return attack


def _observables(entities: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - as it was decoded
    for entity in entities:
        type_id, kind = _OBSERVABLES.get(entity["type"], (_OTHER, entity["type"]))
        name = ".".join(part for part in (entity.get("role", ""), entity["type"]) if part)
        yield {"name": name, "type_id": type_id, "type": kind, "value": entity["value"]}
