"""What a finding of Layer 4 rests on, in words: members of a group, steps of an attack, items of a risk."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from dsmil.fusion.step import Step

#: Members that are told one by one; the payload has all.
_MOST_TOLD: Final = 20


def explain_members(payload: dict[str, Any], correlation_id: str) -> list[Step]:
    """Return the steps of a group, a chain of tactics or a risk; none when the payload is none of them."""
    for key, words in (("steps", _tactic), ("risk", _risk_item), ("group", _item)):
        if isinstance(payload.get(key), dict | list):
            rows = _rows(payload.get("steps" if key == "steps" else "items"))
            told = [
                Step(stage="member", text=words(row), detail={"event_id": row.get("event_id")})
                for row in rows[:_MOST_TOLD]
            ]
            if len(rows) > _MOST_TOLD:
                told.append(
                    Step(stage="member", text=f"and {len(rows) - _MOST_TOLD} more; --json of the event has them")
                )
            return [*told, _whole(payload, correlation_id)]
    return []


def _whole(payload: dict[str, Any], correlation_id: str) -> Step:
    rule, group, risk = (_object(payload.get(key)) for key in ("rule", "group", "risk"))
    text = f"revision {rule.get('revision')} of {correlation_id}"
    detail: dict[str, Any] = {}
    if group:
        text += (
            f", told because: {payload.get('reason')}; {group.get('members')} findings, {group.get('kinds')}"
            f" different, from {_time(group.get('start'))} to {_time(group.get('end'))}"
        )
        detail = {"named_here": [row.get("event_id") for row in _rows(payload.get("members"))]}
        detail |= {"merged": group.get("merged"), "scores": payload.get("scores")}
    elif risk:
        text += (
            f": risk {risk.get('before')} -> {risk.get('value')} of 100 ({risk.get('delta'):+}) by"
            f" {risk.get('by')}, over the threshold of {risk.get('threshold')}"
            if isinstance(risk.get("delta"), int | float)
            else ""
        )
        detail = {"half_life_s": risk.get("half_life_s"), "left_out": risk.get("left_out")}
    else:
        text += f", told because: {payload.get('reason')}"
        detail = {"raised": payload.get("raised"), "other_techniques": payload.get("other_techniques")}
    previous = payload.get("previous") or group.get("previous")
    return Step(stage="correlation", text=text, detail=detail | {"previous_revision": previous or None})


def _item(row: dict[str, Any]) -> str:
    times = f", {_time(row.get('first_seen'))} to {_time(row.get('last_seen'))}" if row.get("count") != 1 else ""
    return f"{row.get('count')} x {row.get('severity')} {row.get('name')} ({row.get('rule')}{times})"


def _tactic(row: dict[str, Any]) -> str:
    return (
        f"{row.get('tactic')} {row.get('name')}: {row.get('technique')} at {_time(row.get('first_seen'))},"
        f" {row.get('count')} x, {row.get('severity')} ({row.get('rule')})"
    )


def _risk_item(row: dict[str, Any]) -> str:
    return (
        f"adds {row.get('adds')}: {row.get('severity')} of {row.get('rule')}, weight {row.get('weight')} after"
        f" {row.get('age_s')} s, place {row.get('rank')}"
    )


def _time(ts: object) -> str:
    if not isinstance(ts, int | float):
        return "?"
    try:
        return datetime.fromtimestamp(ts, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "?"


def _rows(value: object) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
