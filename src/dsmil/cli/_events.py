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
    line.append(f" {safe(said(event), 80)}")
    ends = flow(event.get("entities") or context.get("entities"))
    if ends:
        line.append(f"  {safe(ends, 90)}", style="cyan")
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


def said(event: dict[str, Any]) -> str:
    """Return what was found, in the words of whoever found it, else category and device."""
    signals = event.get("signals")
    for signal in signals.values() if isinstance(signals, dict) else ():
        if isinstance(signal, dict):
            words = signal.get("decision") or signal.get("label")
            if words:
                return str(words)
    return f"{event.get('category')} event of device {event.get('source_device')}"


def flow(entities: object) -> str:
    """Return source and destination, as far as they are known."""
    ends = []
    known = [e for e in entities if isinstance(e, dict)] if isinstance(entities, list | tuple) else []
    for role in ("src", "dest"):
        values = {str(e.get("type")): e.get("value") for e in known if e.get("role") == role}
        if "ip" in values:
            ends.append(f"{values['ip']}:{values['port']}" if "port" in values else f"{values['ip']}")
    return " → ".join(ends)
