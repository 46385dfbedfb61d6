"""SOC events on a terminal: one line each, and one more for each reason of an escalation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from dsmil.cli._shared import safe
from dsmil.fusion.explain import reason_text

if TYPE_CHECKING:
    from rich.text import Text

STYLES: Final = {"LOW": "dim", "MEDIUM": "yellow", "HIGH": "bold red", "CRITICAL": "bold white on red"}


def soc_line(event: dict[str, Any], *, with_id: bool = True, with_date: bool = False) -> Text:
    """Return a SOC event (as published, or as a row of the store) as coloured text."""
    from rich.text import Text

    severity, original = event["severity"], event.get("original_severity")
    context = event.get("context") or {}
    line = Text(overflow="fold")
    shape = "%Y-%m-%d %H:%M:%S " if with_date else "%H:%M:%S "
    line.append(datetime.fromtimestamp(event["ts"], UTC).strftime(shape), style="dim")
    line.append(f"{safe(severity):<8}", style=STYLES.get(severity, ""))
    line.append(f" {safe(_said(event), 80)}")
    flow = _flow(event.get("entities") or context.get("entities") or [])
    if flow:
        line.append(f"  {safe(flow, 90)}", style="cyan")
    techniques = event.get("techniques") or context.get("techniques") or []
    if techniques:
        line.append(f"  {safe(' '.join(techniques), 60)}", style="magenta")
    if with_id:
        line.append(f"  {safe(event['event_id'], 60)}", style="dim")
    recorded = " (recorded reading)" if (event.get("shrink_metrics") or {}).get("recorded") else ""
    if original and original != severity:
        for reason in event.get("escalation") or ():
            line.append(f"\n         └ {safe(reason_text(reason))}{recorded}", style="bold yellow")
    return line


def _said(event: dict[str, Any]) -> str:
    for signal in (event.get("signals") or {}).values():
        if isinstance(signal, dict):
            said = signal.get("decision") or signal.get("label")
            if said:
                return str(said)
    return f"{event.get('category')} event of device {event.get('source_device')}"


def _flow(entities: list[dict[str, Any]]) -> str:
    ends = []
    for role in ("src", "dest"):
        values = {e["type"]: e["value"] for e in entities if isinstance(e, dict) and e.get("role") == role}
        if "ip" in values:
            ends.append(f"{values['ip']}:{values['port']}" if "port" in values else values["ip"])
    return " → ".join(ends)
