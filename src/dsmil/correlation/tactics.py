"""Device 27, Tactical Analysis: how far an attack has come on one host, user or address, by ATT&CK tactics."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, ClassVar, Final

import msgspec

from dsmil.correlation._attack import assigned, places, tactics, tactics_of, whole
from dsmil.correlation._correlator import Correlator
from dsmil.correlation._entities import Key, linking
from dsmil.correlation._scores import confidence, noisy_or, rule_of, when
from dsmil.events import ids
from dsmil.events.model import Entity, Event, Severity

#: Steps of one attack lie within this, seconds of event time.
WINDOW_S: Final = 86400.0
#: So many tactics are an attack, whatever their severity.
ENOUGH: Final = 3
MOST_ENTITIES: Final = 10_000
_MOST_STEPS: Final = 60
_KINDS: Final = frozenset(("host", "user", "ip"))
_SEVERITIES: Final = (Severity.LOW, *Severity)


class Step(msgspec.Struct, array_like=True):
    """One technique that was seen."""

    #: As it was named last.
    technique: str
    #: Tactics it may serve here.
    tactics: tuple[str, ...]
    #: Event time, Unix seconds.
    first: float
    last: float
    severity: int
    score: float
    rule: str
    #: The finding that was first, and how many there were.
    event_id: str
    count: int = 1


class Chain(msgspec.Struct, array_like=True):
    """What was seen of one entity."""

    compartment: str
    key: Key
    #: Technique -> step.
    steps: dict[str, Step] = {}
    newest: float = 0.0
    #: Correlation id of the attack that was told; empty before.
    id: str = ""
    revision: int = 0
    told_tactics: tuple[str, ...] = ()
    told_severity: int = 0
    told_id: str = ""


class _Kept(msgspec.Struct, array_like=True):
    chains: list[tuple[str, Chain]]
    seen: bytes
    forgotten: int


class Tactics(Correlator):
    """Three different tactics, or two in their order with a HIGH one among them, are told, and each one more."""

    name: ClassVar[str] = "l4-tactics"
    device_id: ClassVar[int] = 27

    def __init__(self) -> None:
        """Start without memory."""
        super().__init__()
        self._chains: OrderedDict[str, Chain] = OrderedDict()
        self._forgotten = 0

    def notes(self) -> dict[str, Any]:
        """Return what its heartbeat says."""
        return {"entities": len(self._chains), "entities_forgotten": self._forgotten}

    def checks(self) -> dict[str, str]:
        """Return nothing: it depends on nothing."""
        return {}

    def take(self, event: Event) -> list[Event] | str:
        """Add a finding to the chains of its entities."""
        served = _served(event)
        if not served:
            return "no_known_technique"
        keys = [key for key in linking(event) if key[0] in _KINDS]
        if not keys:
            return "no_entities"
        found = [made for key in keys if (made := self._step(event, key, served)) is not None]
        return found or "counted"

    def _step(self, event: Event, key: Key, served: dict[str, tuple[str, tuple[str, ...]]]) -> Event | None:
        ts, name = when(event), "\x1f".join((event.compartment, *key))
        chain = self._chains.get(name)
        if chain is None:
            chain = self._chains[name] = Chain(event.compartment, key)
            if len(self._chains) > MOST_ENTITIES:
                self._chains.popitem(last=False)
                self._forgotten += 1
        self._chains.move_to_end(name)
        if ts < chain.newest - WINDOW_S:
            return None  # of another time
        chain.newest = max(chain.newest, ts)
        for technique in [one for one, step in chain.steps.items() if step.last < chain.newest - WINDOW_S]:
            del chain.steps[technique]
        if not chain.steps:
            self._chains[name] = chain = Chain(event.compartment, key, newest=chain.newest)
        for technique, (named, may_serve) in served.items():
            _note(chain, technique, _step(event, ts, named, may_serve))
        return self._judge(chain, event)

    def _judge(self, chain: Chain, event: Event) -> Event | None:
        order = places()
        shown = assigned({technique: step.tactics for technique, step in chain.steps.items()})
        line = sorted(shown, key=lambda tactic: order[tactic])
        worst = max(step.severity for step in chain.steps.values())
        times = [chain.steps[shown[tactic]].first for tactic in line]
        in_order = any(later > times[0] for later in times[1:])
        enough = len(line) >= ENOUGH
        if not enough and not (len(line) > 1 and in_order and worst >= Severity.HIGH.rank):
            return None
        severity = max(worst, Severity.HIGH.rank) if enough else worst
        if chain.id and set(line) <= set(chain.told_tactics) and severity <= chain.told_severity:
            return None
        chain.id = chain.id or ids.derived_id(event.ts, "chain", *chain.key, event.event_id)
        made = self._revision(chain, line, shown, severity, worst, event)
        chain.revision += 1
        chain.told_tactics = tuple(sorted({*line, *chain.told_tactics}))
        chain.told_severity, chain.told_id = max(severity, chain.told_severity), made.event_id
        return made

    def _revision(
        self, chain: Chain, line: list[str], shown: dict[str, str], severity: int, worst: int, event: Event
    ) -> Event:
        names = {tactic.id: tactic.name for tactic in tactics()}
        steps = [_shown(tactic, names[tactic], chain.steps[shown[tactic]]) for tactic in line]
        others = sorted(set(chain.steps) - set(shown.values()))
        kind, value = chain.key
        reason = f"{len(line)} tactics"
        payload: dict[str, Any] = {
            "rule": {
                "id": "tactics",
                "name": f"{kind} {value}: {' -> '.join(names[tactic] for tactic in line)}"[:400],
                "revision": str(chain.revision + 1),
            },
            "reason": reason if len(line) >= ENOUGH else f"{reason} in order, one of them HIGH or worse",
            "tactics": line,
            "steps": steps,
            "other_techniques": others,
            "previous": chain.told_id,
            "window_s": WINDOW_S,
        }
        if severity > worst:
            payload["raised"] = {
                "from": _SEVERITIES[worst],
                "to": _SEVERITIES[severity],
                "why": f"{ENOUGH} or more different tactics",
            }
        return self.finding(
            ts=chain.newest,
            ingest_ts=event.ingest_ts,
            severity=_SEVERITIES[severity],
            payload=payload,
            compartment=chain.compartment,
            correlation_id=chain.id,
            revision=chain.revision + 1,
            entities=[Entity(kind, value)],
            techniques=sorted({step.technique for step in chain.steps.values()}),
            score=noisy_or(step.score for step in chain.steps.values()),
            evidence=tuple(dict.fromkeys(step["event_id"] for step in steps)),
        )

    def memory(self) -> bytes:
        """Return the chains and the ids handled last."""
        return msgspec.msgpack.encode(_Kept([*self._chains.items()], self._seen.kept(), self._forgotten))

    def recall(self, memory: bytes) -> None:
        """Take up a memory."""
        try:
            kept = msgspec.msgpack.decode(memory, type=_Kept)
        except msgspec.MsgspecError as exc:
            raise ValueError(f"this is no memory of {self.name}: {exc}") from None
        self._chains, self._forgotten = OrderedDict(kept.chains), kept.forgotten
        self._seen.recall(kept.seen)


def _served(event: Event) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return technique -> (as named, tactics it may serve): those that the finding's rule names, if it does."""
    said = event.payload.get("tactics")
    named = [one for one in said if one in places()] if isinstance(said, list) else []
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for technique in event.techniques:
        known = tactics_of(technique)
        if known:
            found[whole(technique)] = (technique, tuple(one for one in known if one in named) or known)
    if not found and named:
        label = "/".join(rule_of(event)[:2])
        found[label] = (label, tuple(sorted(named)))
    return found


def _step(event: Event, ts: float, named: str, may_serve: tuple[str, ...]) -> Step:
    rule = "/".join(rule_of(event)[:2])
    return Step(named, may_serve, ts, ts, event.severity.rank, confidence(event), rule, event.event_id)


def _note(chain: Chain, technique: str, step: Step) -> None:
    known = chain.steps.get(technique)
    if known is None:
        if len(chain.steps) < _MOST_STEPS:
            chain.steps[technique] = step
        return
    if (step.first, step.event_id) < (known.first, known.event_id):
        known.first, known.event_id, known.rule = step.first, step.event_id, step.rule
    known.last = max(known.last, step.last)
    known.severity, known.score = max(known.severity, step.severity), max(known.score, step.score)
    known.tactics = tuple(sorted({*known.tactics, *step.tactics}))
    known.count += 1


def _shown(tactic: str, name: str, step: Step) -> dict[str, Any]:
    return {
        "tactic": tactic,
        "name": name,
        "technique": step.technique,
        "severity": _SEVERITIES[step.severity],
        "count": step.count,
        "first_seen": step.first,
        "last_seen": step.last,
        "rule": step.rule,
        "event_id": step.event_id,
    }


CORRELATOR = Tactics
