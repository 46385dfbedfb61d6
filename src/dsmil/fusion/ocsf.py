"""SOC events as OCSF 1.4.0 Detection Findings (class 2004), for other systems to read.

Source: the class and its objects as published at schema.ocsf.io, version 1.4.0. What the class has no place for
stands whole in ``unmapped``, so nothing is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dsmil import __version__
from dsmil.events.model import MAX_TS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VERSION: Final = "1.4.0"
_CLASS: Final = 2004
#: Activities: the first report of a finding, and a later one with the same ``finding_info.uid``.
_CREATE: Final = (1, "Create")
_UPDATE: Final = (2, "Update")
_SEVERITIES: Final = {"LOW": (2, "Low"), "MEDIUM": (3, "Medium"), "HIGH": (4, "High"), "CRITICAL": (5, "Critical")}
#: Our kinds of entity -> number and name of OCSF's observables. Objects of OCSF have no value, so none is here.
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
    "account": (34, "Account Object: name"),
}
_OTHER: Final = 99
_L4: Final = 4
#: Tactics of ATT&CK: id -> name.
_TACTICS: Final = {
    "TA0043": "Reconnaissance",
    "TA0042": "Resource Development",
    "TA0001": "Initial Access",
    "TA0002": "Execution",
    "TA0003": "Persistence",
    "TA0004": "Privilege Escalation",
    "TA0005": "Defense Evasion",
    "TA0006": "Credential Access",
    "TA0007": "Discovery",
    "TA0008": "Lateral Movement",
    "TA0009": "Collection",
    "TA0010": "Exfiltration",
    "TA0011": "Command and Control",
    "TA0040": "Impact",
}
_TACTIC_IDS: Final = {name.lower(): uid for uid, name in _TACTICS.items()}


def detection_finding(event: Mapping[str, Any], title: str) -> dict[str, Any]:
    """Return a SOC event, as published or as a row of the store, as a Detection Finding.

    Times are Unix milliseconds, ``confidence_score`` is 0-100. ``title`` says in words what was found. The event
    itself stands in ``unmapped``, under its own names. Whatever a field holds, the finding is valid: a value that
    is not of the documented type stays in ``unmapped`` alone.
    """
    context = _object(event.get("context"))

    def of(name: str) -> Any:  # noqa: ANN401 - fields have many types
        return event.get(name) or context.get(name)

    payload = _object(event.get("payload"))
    group, number = _text(of("correlation_id")), _revision(payload)
    activity_id, activity = _UPDATE if group and number > 1 else _CREATE
    severity_id, severity = _severity(event.get("severity"))
    # A correlation rule counts its events, a group its members, a scorer its records.
    correlated = _object(payload.get("correlation")) or _object(payload.get("group"))
    count = (
        _natural(correlated.get("events"))
        or _natural(correlated.get("members"))
        or _natural(payload.get("records"))
    )
    uid, when = str(event.get("event_id") or "unknown"), _milliseconds(event.get("ts")) or 0
    info = {
        "uid": group or uid,
        "title": title,
        "created_time": when,
        "first_seen_time": _milliseconds(correlated.get("start")),
        "last_seen_time": _milliseconds(correlated.get("end")),
        "analytic": _analytic(payload, event.get("source_layer")),
        "attacks": list(_attacks(of("techniques"), payload.get("tactics"))),
        "related_events": [{"uid": one} for one in _texts(of("evidence"))],
        "related_events_count": count,
        "data_sources": [source] if (source := _text(of("source"))) else None,
    }
    metadata = {
        "version": VERSION,
        "product": {"name": "DSMIL Fabric", "vendor_name": "DSMIL", "version": __version__},
        "uid": uid,
        "correlation_uid": group,
        "event_code": _text(_object(payload.get("rule")).get("id")),
        "logged_time": _milliseconds(of("ingest_ts")),
        "log_name": _text(of("origin")),
        "log_provider": _text(of("source")),
    }
    score = of("score")
    found = {
        "activity_id": activity_id,
        "activity_name": activity,
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": _CLASS,
        "class_name": "Detection Finding",
        "type_uid": _CLASS * 100 + activity_id,
        "type_name": f"Detection Finding: {activity}",
        "time": when,
        "start_time": _milliseconds(correlated.get("start")),
        "end_time": _milliseconds(correlated.get("end")),
        "count": count,
        "severity_id": severity_id,
        "severity": severity,
        "status_id": 1,
        "status": "New",
        "is_alert": True,
        "message": title,
        "confidence_score": round(score * 100) if _is_number(score) and 0 <= score <= 1 else None,
        "metadata": _said(metadata),
        "finding_info": _said(info),
        "observables": list(_observables(of("entities"))),
        "enrichments": list(_escalation(event)),
        "unmapped": dict(event),
    }
    return _said(found)


def _said(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that say something."""
    return {name: value for name, value in fields.items() if value is not None and value not in ("", [])}


def _severity(name: object) -> tuple[int, str]:
    return _SEVERITIES.get(str(name), (_OTHER, str(name)))


def _escalation(event: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what raised the severity, with the severity as it was before."""
    before = event.get("original_severity")
    if before and before != event.get("severity"):
        yield {
            "name": "severity_id",
            "value": str(_severity(before)[0]),
            "type": "escalation",
            "short_desc": f"severity before escalation: {_severity(before)[1]}",
            "data": {"original_severity": before, "escalation": event.get("escalation")},
        }


def _analytic(payload: dict[str, Any], layer: object) -> dict[str, Any] | None:
    """Return what found it: a rule, a detector that counts and compares, or a correlator of Layer 4."""
    rule, detector = _object(payload.get("rule")), _text(payload.get("detector"))
    name, uid = _text(rule.get("name")), _text(rule.get("id"))
    if not (name or uid or detector):
        return None
    kind = (
        (3, "Statistical") if "features" in payload else (_OTHER, "Correlation") if layer == _L4 else (1, "Rule")
    )
    return _said(
        {
            "type_id": kind[0],
            "type": kind[1],
            "name": name or detector,
            "uid": uid,
            "version": _text(rule.get("revision")),
            "category": detector,
        }
    )


def _attacks(techniques: object, tactics: object) -> Iterator[dict[str, Any]]:
    """Yield ATT&CK ids; one with a dot is a sub-technique beside its technique.

    Which tactic a technique served is known when there is only one; several stand by themselves.
    """
    served = [_tactic(one) for one in _texts(tactics)]
    named = list(dict.fromkeys(_texts(techniques)))
    only = {"tactic": served[0]} if len(served) == 1 and named else {}
    for technique in named:
        above, dot, _ = technique.partition(".")
        sub = {"sub_technique": {"uid": technique}} if dot else {}
        yield {"technique": {"uid": above}} | sub | only
    if not only:
        yield from ({"tactic": tactic} for tactic in served)


def _tactic(said: str) -> dict[str, str]:
    """Return a tactic that is told by its id or by its name."""
    uid = said if said in _TACTICS else _TACTIC_IDS.get(said.lower().replace("-", " ").replace("_", " "), "")
    return {"uid": uid, "name": _TACTICS[uid]} if uid else {"name": said}


def _observables(entities: object) -> Iterator[dict[str, Any]]:
    for entity in entities if isinstance(entities, list | tuple) else ():
        kind, value = _text(_object(entity).get("type")), _text(_object(entity).get("value"))
        if kind and value:
            type_id, caption = _OBSERVABLES.get(kind, (_OTHER, kind))
            name = ".".join(part for part in (_text(entity.get("role")), kind) if part)
            yield {"name": name, "type_id": type_id, "type": caption, "value": value}


# Values as they may lie in a store that others write to as well


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value) if _is_number(value) else ""


def _texts(value: object) -> list[str]:
    several = value if isinstance(value, list | tuple) else [value]
    return [text for one in several if (text := _text(one))]


def _is_number(value: Any) -> bool:  # noqa: ANN401 - whatever a field holds
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _milliseconds(seconds: Any) -> int | None:  # noqa: ANN401 - whatever a field holds
    return round(seconds * 1000) if _is_number(seconds) and 0 <= seconds < MAX_TS else None


def _natural(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63 else None


def _revision(payload: dict[str, Any]) -> int:
    """Return which revision of a growing group it is; 1 when it does not say."""
    said = payload.get("revision") or _object(payload.get("rule")).get("revision")
    if isinstance(said, str) and said.isascii() and said.isdecimal():
        return int(said[:9])
    return said if isinstance(said, int) and not isinstance(said, bool) else 1
