"""Device 29, Threat Assessment: the risk of a host, user or address, decayed, and explained item by item.

With the items in order of their decayed weight, risk = 100 * sum(weight_i / i^1.5) / sum(1 / i^1.5), over the
heaviest fifty, after what Elastic Security publishes for entity risk: the worst counts whole, and many small ones
cannot pass for a large one. Levels (20, 40, 70, 90) and weights of severities are those of Elastic, too.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import OrderedDict
from typing import Any, ClassVar, Final

import msgspec

from dsmil.correlation._correlator import Correlator
from dsmil.correlation._entities import Key, linking
from dsmil.correlation._scores import rule_of, when
from dsmil.events import ids
from dsmil.events.model import Entity, Event, Severity

#: After this the weight of an item is half, seconds of event time.
HALF_LIFE_S: Final = 86400.0
WEIGHTS: Final = {Severity.LOW: 0.21, Severity.MEDIUM: 0.47, Severity.HIGH: 0.73, Severity.CRITICAL: 0.99}
#: Risk from which on a level holds.
LEVELS: Final = ((20.0, Severity.LOW), (40.0, Severity.MEDIUM), (70.0, Severity.HIGH), (90.0, Severity.CRITICAL))
#: Risk must fall this far below a level before the level can be told again.
HYSTERESIS: Final = 10.0
#: Items kept of one entity; the lightest beyond are counted only: even the fiftieth adds no more than 0.13.
MOST_ITEMS: Final = 50
MOST_ENTITIES: Final = 10_000
#: Share of each place in the series; all together 100.
_SHARES: Final = tuple(
    100.0 * rank**-1.5 / math.fsum(n**-1.5 for n in range(1, MOST_ITEMS + 1)) for rank in range(1, MOST_ITEMS + 1)
)
_KINDS: Final = frozenset(("host", "user", "ip"))


class Item(msgspec.Struct, frozen=True, array_like=True):
    """One finding about an entity."""

    event_id: str
    #: Event time, Unix seconds.
    ts: float
    rule: str
    severity: str
    #: Confidence that the finding states, 1 when it states none.
    score: float
    #: Weight without decay, 0-1.
    weight: float

    @property
    def order(self) -> tuple[float, float, str]:
        """Sort key, heaviest first: all weights decay alike, so their order never changes."""
        return (-(math.log2(max(self.weight, 1e-9)) + self.ts / HALF_LIFE_S), -self.ts, self.event_id)

    def decayed(self, now: float) -> float:
        """Return the weight at ``now``, Unix seconds; never more than without decay."""
        return self.weight * math.exp2(-max(now - self.ts, 0.0) / HALF_LIFE_S)


class Risk(msgspec.Struct, array_like=True):
    """What is known of one entity."""

    compartment: str
    key: Key
    #: Heaviest first.
    items: list[Item] = []
    #: Findings that are no longer among the items.
    beyond: int = 0
    newest: float = 0.0
    #: Level that was told and still holds, 0-4.
    level: int = 0
    #: Risk that was told last.
    told: float = 0.0
    id: str = ""
    revision: int = 0
    told_id: str = ""


def _order(item: Item) -> tuple[float, float, str]:
    return item.order


class _Kept(msgspec.Struct, array_like=True):
    risks: list[tuple[str, Risk]]
    seen: bytes
    forgotten: int


def series(weights: list[float]) -> list[float]:
    """Return what each weight adds to the risk, 0-100; heaviest first."""
    return [weight * share for weight, share in zip(weights, _SHARES, strict=False)]


def level_of(risk: float, held: int = 0) -> int:
    """Return the level of a risk, 0-4; one that is ``held`` is given up only when risk is well below it."""
    reached = sum(risk >= threshold for threshold, _ in LEVELS)
    kept = sum(risk >= threshold - HYSTERESIS for threshold, _ in LEVELS[:held])
    return max(reached, kept)


class Threat(Correlator):
    """A finding raises the risk of its entities; each higher level is told, with every item that makes it up."""

    name: ClassVar[str] = "l4-risk"
    device_id: ClassVar[int] = 29

    def __init__(self) -> None:
        """Start without memory."""
        super().__init__()
        self._risks: OrderedDict[str, Risk] = OrderedDict()
        self._forgotten = 0

    def notes(self) -> dict[str, Any]:
        """Return what its heartbeat says."""
        return {"entities": len(self._risks), "entities_forgotten": self._forgotten}

    def checks(self) -> dict[str, str]:
        """Return nothing: it depends on nothing."""
        return {}

    def take(self, event: Event) -> list[Event] | str:
        """Add a finding to the risk of its entities."""
        keys = [key for key in linking(event) if key[0] in _KINDS]
        if not keys:
            return "no_entities"
        found = [made for key in keys if (made := self._add(event, key)) is not None]
        return found or "counted"

    def _add(self, event: Event, key: Key) -> Event | None:
        name = "\x1f".join((event.compartment, *key))
        risk = self._risks.get(name)
        if risk is None:
            risk = self._risks[name] = Risk(event.compartment, key)
            if len(self._risks) > MOST_ENTITIES:
                self._risks.popitem(last=False)
                self._forgotten += 1
        self._risks.move_to_end(name)
        ts = when(event)
        risk.newest = max(risk.newest, ts)
        before = [one.decayed(risk.newest) for one in risk.items]
        risk.level = level_of(sum(series(before)), risk.level)
        if not risk.level:
            risk.id, risk.revision, risk.told_id, risk.told = "", 0, "", 0.0
        rule = "/".join(rule_of(event)[:2])
        score = 1.0 if event.score is None else event.score
        item = Item(event.event_id, ts, rule, event.severity.value, score, WEIGHTS[event.severity] * score)
        at = bisect_right(risk.items, item.order, key=_order)
        risk.items.insert(at, item)
        if len(risk.items) > MOST_ITEMS:
            risk.items.pop()
            risk.beyond += 1
        parts = series([*before[:at], item.decayed(risk.newest), *before[at:]][:MOST_ITEMS])
        level = level_of(sum(parts), risk.level)
        if level <= risk.level:
            return None
        return self._revision(risk, level, sum(series(before)), parts, event)

    def _revision(self, risk: Risk, level: int, before: float, parts: list[float], event: Event) -> Event:
        now, total = round(risk.newest, 6), sum(parts)
        risk.id = risk.id or ids.derived_id(event.ts, "risk", *risk.key, event.event_id)
        risk.revision += 1
        kind, value = risk.key
        severity = LEVELS[level - 1][1]
        payload: dict[str, Any] = {
            "rule": {
                "id": "risk",
                "name": f"risk of {kind} {value} is {severity}: {total:.0f} of 100",
                "revision": str(risk.revision),
            },
            "risk": {
                "value": round(total, 3),
                "before": round(before, 3),
                "delta": round(total - before, 3),
                "told_before": round(risk.told, 3),
                "threshold": LEVELS[level - 1][0],
                "half_life_s": HALF_LIFE_S,
                "at": now,
                "by": event.event_id,
                "left_out": risk.beyond,
            },
            "items": [
                {
                    "event_id": item.event_id,
                    "rule": item.rule,
                    "severity": item.severity,
                    "score": item.score,
                    "age_s": round(max(now - item.ts, 0.0), 3),
                    "weight": round(item.decayed(now), 6),
                    "rank": rank,
                    "adds": round(part, 3),
                }
                for rank, (item, part) in enumerate(zip(risk.items, parts, strict=True), start=1)
            ],
            "previous": risk.told_id,
        }
        made = self.finding(
            ts=risk.newest,
            ingest_ts=event.ingest_ts,
            severity=severity,
            payload=payload,
            compartment=risk.compartment,
            correlation_id=risk.id,
            revision=risk.revision,
            entities=[Entity(kind, value)],
            techniques=event.techniques,
            score=round(min(total / 100, 1.0), 6),
            evidence=tuple(item.event_id for item in risk.items),
        )
        risk.level, risk.told, risk.told_id = level, total, made.event_id
        return made

    def memory(self) -> bytes:
        """Return the risks and the ids handled last."""
        return msgspec.msgpack.encode(_Kept([*self._risks.items()], self._seen.kept(), self._forgotten))

    def recall(self, memory: bytes) -> None:
        """Take up a memory."""
        try:
            kept = msgspec.msgpack.decode(memory, type=_Kept)
        except msgspec.MsgspecError as exc:
            raise ValueError(f"this is no memory of {self.name}: {exc}") from None
        self._risks, self._forgotten = OrderedDict(kept.risks), kept.forgotten
        self._seen.recall(kept.seen)


CORRELATOR = Threat
