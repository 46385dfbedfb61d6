"""Device 20, SENSORS: what Wazuh, Falco, Alertmanager, OCSF, CEF and LEEF products have detected, as findings.

One detector for all of them: each further one would read and settle every record once more.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

from dsmil.detections._sensed import Rule, SensorDetector

if TYPE_CHECKING:
    from collections.abc import Callable

#: First digit of the OCSF classes that are findings.
_FINDINGS: Final = 2
#: CEF's and LEEF's severities of what happens all day.
_LOW: Final = re.compile(r"[0-3](\.\d+)?|low", re.ASCII | re.IGNORECASE)


def _wazuh(record: dict[str, Any]) -> Rule | str:
    """Return the rule; level 0 means that Wazuh was told to ignore it."""
    rule = record.get("rule")
    if not isinstance(rule, dict):
        return "no_alert"
    if rule.get("level") in (0, "0"):
        return "ignored_by_sensor"
    mitre = rule.get("mitre")
    said = {"groups": rule.get("groups"), "tactics": mitre.get("tactic") if isinstance(mitre, dict) else None}
    return Rule(
        id=str(rule.get("id", "0")),
        name=str(rule.get("description") or "unnamed rule"),
        severity=rule.get("level"),
        said={key: value for key, value in said.items() if value},
        matched=("agent", "location", "data"),
    )


def _falco(record: dict[str, Any]) -> Rule | str:
    """Return the rule; Falco names its rules and numbers none."""
    name = str(record.get("rule") or "unnamed rule")
    return Rule(
        id=name,
        name=name,
        severity=record.get("priority"),
        said={"tags": record["tags"]} if isinstance(record.get("tags"), list) else {},
        matched=("output_fields", "hostname"),
    )


def _alertmanager(record: dict[str, Any]) -> Rule | str:
    """Return the alert's name as the rule, with the summary that people wrote for it."""
    status, labels, notes = record.get("status"), record.get("labels"), record.get("annotations")
    state = status.get("state") if isinstance(status, dict) else status
    if state in ("resolved", "suppressed"):
        return str(state)
    labels = labels if isinstance(labels, dict) else {}
    notes = notes if isinstance(notes, dict) else {}
    name = str(labels.get("alertname") or "unnamed alert")
    said = notes.get("summary") or notes.get("description") or notes.get("message")
    return Rule(
        id=name,
        name=name,
        severity=labels.get("severity"),
        said={"summary": said} if said else {},
        matched=("labels", "fingerprint"),
    )


def _ocsf(record: dict[str, Any]) -> Rule | str:
    """Return the rule: the analytic that found it, or the check's code."""
    uid = record.get("class_uid")
    if not isinstance(uid, int) or uid // 1000 != _FINDINGS:
        return "no_finding"
    if str(record.get("status_code", "")).upper() in ("PASS", "PASSED"):
        return "passed"
    if record.get("status_id") in (3, 4) or record.get("activity_id") == 3:  # noqa: PLR2004 - the schema's
        return "closed"
    info = _object(record, "finding_info") or _object(record, "finding")
    analytic, metadata = _object(info, "analytic"), _object(record, "metadata")
    name = info.get("title") or record.get("message") or analytic.get("name") or "unnamed finding"
    rule_id = analytic.get("uid") or metadata.get("event_code") or info.get("uid") or record.get("type_uid")
    return Rule(
        id=str(rule_id),
        name=str(name),
        revision=str(analytic.get("version") or "0"),
        severity=record.get("severity") or record.get("severity_id"),
        said={"product": product} if (product := _object(metadata, "product").get("name")) else {},
        matched=("status_detail", "message", "activity_name"),
    )


def _object(record: dict[str, Any], key: str) -> dict[str, Any]:
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def _syslog(record: dict[str, Any]) -> Rule | str:
    """Return the event class of CEF or the event id of LEEF as the rule; what is low is no alert."""
    cef, leef = _object(record, "cef"), _object(record, "leef")
    inner = cef or leef
    severity = cef.get("severity") or _object(leef, "extension").get("sev")
    if not inner or not severity:
        return "no_alert"
    if _LOW.fullmatch(str(severity).strip()):
        return "low_severity"
    extension = _object(inner, "extension")
    product = {key: inner[key] for key in ("vendor", "product") if inner.get(key)}
    name = inner.get("name") or extension.get("cat") or extension.get("msg") or inner.get("event_id")
    return Rule(
        id=str(inner.get("class_id") or inner.get("event_id") or name or "0"),
        name=str(name or "unnamed event"),
        severity=severity,
        said=product,
        matched=("message", "host"),
    )


class SensorAlert(SensorDetector):
    """One alert, one finding; records in which the sensor says nothing bad give none."""

    name: ClassVar[str] = "l3-sensor-alert"
    device_id: ClassVar[int] = 20
    rules: ClassVar[dict[str, Callable[[dict[str, Any]], Rule | str]]] = {
        "wazuh": _wazuh,
        "falco": _falco,
        "alertmanager": _alertmanager,
        "ocsf": _ocsf,
        "syslog": _syslog,
    }
    otherwise: ClassVar[str] = "not_sensor"


DETECTOR = SensorAlert
