"""Device 25, Intel Fusion: findings that share entities, as one growing group."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec

from dsmil.config import Settings
from dsmil.correlation._correlator import Correlator
from dsmil.correlation._dedupe import Deduper, read_rules
from dsmil.correlation._entities import linking
from dsmil.correlation._graph import WINDOW_S, Graph, State
from dsmil.correlation._group import MOST_LISTED, Group, Item, Member
from dsmil.correlation._scores import confidence, rule_of, when
from dsmil.events import ids
from dsmil.events.model import Entity, Event, Severity

#: Things that one revision describes: the worst ones, of these the most frequent.
_MOST_SHOWN: Final = 50
_SEVERITIES: Final = (Severity.LOW, *Severity)


class _Kept(msgspec.Struct, array_like=True):
    graph: State
    seen: bytes


class Fusion(Correlator):
    """A finding joins the group of its entities; the group tells what is new about it as a revision."""

    name: ClassVar[str] = "l4-fusion"
    device_id: ClassVar[int] = 25

    def __init__(self, deduper: Deduper | None = None) -> None:
        """Use these deduplication rules: by default those of the file that DSMIL_DEDUPE names."""
        super().__init__()
        path = Settings.from_env().dedupe if deduper is None else ""
        self._deduper = deduper or Deduper(read_rules(path) if path else ())
        self._graph = Graph()

    def notes(self) -> dict[str, Any]:
        """Return what its heartbeat says."""
        return {"groups": len(self._graph.groups), "groups_forgotten": self._graph.forgotten}

    def checks(self) -> dict[str, str]:
        """Return nothing: groups that are forgotten have been told."""
        return {}

    def take(self, event: Event) -> list[Event] | str:
        """Put a finding into its group."""
        ts = when(event)
        closed = [self._revision(group, "over") for group in self._graph.closing(ts)]
        keys = linking(event)
        if not keys:
            return closed or "no_entities"
        rule, key = self._deduper.key(event)
        detector, ident, name = rule_of(event)
        fresh = Group(
            id=ids.derived_id(ts, "group", event.event_id),
            compartment=event.compartment,
            start=ts,
            end=ts,
            ingest_ts=event.ingest_ts,
            severity=event.severity.rank,
        )
        group = self._graph.join(keys, (key,), event.compartment, ts, fresh)
        label = f"{detector}/{ident}"
        item = Item(label, name, rule.name, event.severity.rank, 1, ts, ts, event.event_id)
        again = group.put(key, item, rule.window_s)
        group.start, group.end = min(group.start, ts), max(group.end, ts)
        group.severity = max(group.severity, event.severity.rank)
        group.ingest_ts = event.ingest_ts
        group.members += 1
        group.unlisted.append(Member(event.event_id, ts, event.severity.rank, label))
        group.note({label: confidence(event)}, dict.fromkeys(keys), dict.fromkeys(event.techniques))
        reason = group.news(again=again)
        if not reason:
            return closed or ("first_of_group" if group.members == 1 else "counted")
        return [*closed, *self._revisions(group, reason)]

    def _revisions(self, group: Group, reason: str) -> list[Event]:
        """Return one revision, or more when groups that became one had more unnamed members than it can name."""
        found = [self._revision(group, reason)]
        while len(group.unlisted) >= MOST_LISTED:
            found.append(self._revision(group, "list is full"))
        return found

    def _revision(self, group: Group, reason: str) -> Event:
        listed = group.unlisted[:MOST_LISTED]
        items = sorted(group.items.values(), key=lambda item: (-item.severity, -item.count, item.first, item.rule))
        severity = _SEVERITIES[group.severity]
        entities = sorted(group.entities)
        payload: dict[str, Any] = {
            "rule": {"id": "group", "name": _words(group, items, entities), "revision": str(group.revision + 1)},
            "reason": reason,
            "group": {
                "members": group.members,
                "kinds": len(group.items),
                "start": group.start,
                "end": group.end,
                "window_s": WINDOW_S,
                "previous": group.told_id,
                "merged": [{"correlation_id": one, "last_revision": last} for one, last in group.merged],
                "left_out": group.beyond + max(len(items) - _MOST_SHOWN, 0),
            },
            "items": [_shown(item) for item in items[:_MOST_SHOWN]],
            "scores": dict(sorted(group.scores.items(), key=lambda one: (-one[1], one[0]))[:_MOST_SHOWN]),
            "members": [
                {"event_id": one.event_id, "ts": one.ts, "severity": _SEVERITIES[one.severity], "rule": one.rule}
                for one in listed
            ],
        }
        made = self.finding(
            ts=group.end,
            ingest_ts=group.ingest_ts,
            severity=severity,
            payload=payload,
            compartment=group.compartment,
            correlation_id=group.id,
            revision=group.revision + 1,
            entities=[Entity(*key) for key in entities],
            techniques=sorted(group.techniques),
            score=group.score,
            evidence=tuple(one.event_id for one in listed),
        )
        group.told(made.event_id)
        return made

    def memory(self) -> bytes:
        """Return groups, entities and the ids handled last."""
        return msgspec.msgpack.encode(_Kept(self._graph.state(), self._seen.kept()))

    def recall(self, memory: bytes) -> None:
        """Take up a memory."""
        try:
            kept = msgspec.msgpack.decode(memory, type=_Kept)
        except msgspec.MsgspecError as exc:
            raise ValueError(f"this is no memory of {self.name}: {exc}") from None
        self._graph.recall(kept.graph)
        self._seen.recall(kept.seen)


def _words(group: Group, items: list[Item], entities: list[tuple[str, str]]) -> str:
    about = ", ".join(f"{kind} {value}"[:80] for kind, value in entities[:3])
    more = f" and {len(entities) - 3} more" if len(entities) > 3 else ""  # noqa: PLR2004 - as many as are read
    rules = len(group.scores)
    return (
        f"{group.members} findings of {rules} rule{'s' if rules != 1 else ''} about {about}{more}: {items[0].name}"
    )


def _shown(item: Item) -> dict[str, Any]:
    return {
        "rule": item.rule,
        "name": item.name,
        "dedupe": item.by,
        "severity": _SEVERITIES[item.severity],
        "count": item.count,
        "first_seen": item.first,
        "last_seen": item.last,
        "event_id": item.event_id,
    }


CORRELATOR = Fusion
