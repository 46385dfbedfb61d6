"""Device 20, SENSORS: records that match Sigma rules, alone or together, as findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from dsmil.config import Settings
from dsmil.detections._rules import RuleKeeper, folders_of
from dsmil.events import ids
from dsmil.events.handling import Delivery, Drop, Outcome, Publish
from dsmil.events.model import Event, EventCategory, create_event
from dsmil.events.streams import StreamName
from dsmil.sigma.correlator import Correlator
from dsmil.sigma.memory import kept, take_up
from dsmil.sigma.sources import read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dsmil.sigma.engine import RuleSet
    from dsmil.sigma.rule import About, Rule
    from dsmil.sigma.view import View
    from dsmil.sigma.windows import Firing

#: A record larger than this stays where it is, and the finding refers to it.
MAX_RAW_BYTES: Final = 96 * 1024


class Sigma:
    """One match of a rule, one finding; correlation rules give theirs when their condition holds."""

    name: ClassVar[str] = "l3-sigma"
    device_id: ClassVar[int] = 20
    reads: ClassVar[tuple[StreamName, ...]] = (StreamName.L3_IN,)
    writes: ClassVar[tuple[StreamName, ...]] = (StreamName.L3_OUT,)

    def __init__(self, keeper: RuleKeeper | None = None) -> None:
        """Use the rules of ``keeper``: by default those that DSMIL_RULES names, and the product's own."""
        self._keeper = RuleKeeper(folders_of(Settings.from_env().rules)) if keeper is None else keeper
        self._rules: RuleSet | None = None
        self._correlator = Correlator([])

    def notes(self) -> dict[str, Any]:
        """Return what its heartbeat says about the rules in use."""
        loaded = self._keeper.loaded
        if loaded is None:
            return {}
        said: dict[str, Any] = {
            "rules": len(loaded.rules.rules) + len(loaded.rules.correlations),
            "rules_not_usable": len(loaded.problems),
        }
        return said | ({"rules_lacking": self._keeper.lacking} if self._keeper.lacking else {})

    def checks(self) -> dict[str, str]:
        """Return what is wrong with the rules in use: newer ones that could not be taken."""
        refused = self._keeper.refused
        return {"rules": f"newer rules are not used: {refused}" if refused else ""}

    def handle(self, batch: Sequence[Delivery]) -> Sequence[Outcome]:
        """Answer each record with its findings, or drop it with the reason."""
        if not batch:
            return []
        rules = self._current()
        return [self._one(delivery.event, rules) for delivery in batch]

    def memory(self) -> bytes:
        """Return the windows of the correlation rules."""
        return kept(self._correlator)

    def recall(self, memory: bytes) -> None:
        """Take up windows that were kept; those of rules that are no longer there are left out."""
        fresh = Correlator(self._current().correlations)
        take_up(fresh, memory)
        self._correlator = fresh

    def _current(self) -> RuleSet:
        """Return the rules in use; when they have changed, a rule that stays keeps its windows."""
        rules = self._keeper.current()
        if rules is not self._rules:
            self._rules = rules
            self._correlator = Correlator(rules.correlations, before=self._correlator)
        return rules

    def _one(self, event: Event, rules: RuleSet) -> Outcome:
        if not rules.rules:
            return Drop("no_rules")
        known = read(event.source, event.payload, event.ts)
        if known is None:
            return Drop("no_rules_for_feed")
        view, origin = known
        # A record from a clock that is ahead must not close windows, nor make those of others come too late.
        when = min(event.ts, event.ingest_ts)
        overdue = self._correlator.advance(when)
        findings = [_correlated(one, None) for one in overdue if rules.speaks(one.rule.about)]
        for rule in rules.match(view, origin):
            if rules.speaks(rule.about):
                findings.append(_finding(event, rule, view))
            fired = self._correlator.add(rule.about, view, event.event_id, when)
            findings += [_correlated(one, event) for one in fired if rules.speaks(one.rule.about)]
        if not findings:
            return Drop("no_match")
        return Publish(tuple((StreamName.L3_OUT, finding) for finding in findings))


def _finding(event: Event, rule: Rule, view: View) -> Event:
    about = rule.about
    payload = _payload(about) | {"matched": rule.matched(view)}
    raw = msgspec.json.encode(event.payload)
    if len(raw) <= MAX_RAW_BYTES:
        payload["raw"] = event.payload
    else:
        payload["reference"] = {"event_id": event.event_id, "bytes": len(raw)}
    return create_event(
        source_device=Sigma.device_id,
        source_layer=3,
        category=event.category,
        severity=about.severity,
        payload=payload,
        event_id=ids.finding_id(event.ts, Sigma.name, about.id, about.revision, (event.event_id,)),
        ts=event.ts,
        source=event.source,
        compartment=event.compartment,
        ingest_ts=event.ingest_ts,
        entities=event.entities,
        techniques=about.techniques,
        evidence=(event.event_id,),
        origin=event.origin,
        flags=event.flags,
    )


def _payload(about: About) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "detector": Sigma.name,
        "rule": {"id": about.id, "name": about.title, "revision": about.revision},
        "level": about.level,
    }
    if about.tactics:
        payload["tactics"] = list(about.tactics)
    return payload


def _correlated(firing: Firing, event: Event | None) -> Event:
    """Return the finding of a correlation rule; ``event`` made it fire, or only time did."""
    about = firing.rule.about
    payload = _payload(about) | {
        "matched": firing.group,
        "correlation": {
            "type": firing.rule.type,
            "measure": firing.measure,
            "events": firing.events,
            "rules": list(firing.rules),
            "start": firing.start,
            "end": firing.end,
            "timespan_s": firing.rule.timespan_s,
        },
    }
    return create_event(
        source_device=Sigma.device_id,
        source_layer=3,
        category=EventCategory.SECURITY if event is None else event.category,
        severity=about.severity,
        payload=payload,
        event_id=ids.finding_id(firing.end, Sigma.name, about.id, about.revision, firing.evidence),
        ts=firing.end,
        source="sigma" if event is None else event.source,
        compartment="GENERAL" if event is None else event.compartment,
        ingest_ts=firing.end if event is None else event.ingest_ts,
        entities=() if event is None else event.entities,
        techniques=about.techniques,
        evidence=firing.evidence,
        origin="" if event is None else event.origin,
    )


DETECTOR = Sigma
