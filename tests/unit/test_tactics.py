"""Device 27: tactics in their order, one host, user or address at a time."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from tests.property.correlating import feed, finding

from dsmil.correlation import tactics as module
from dsmil.correlation._attack import assigned, tactics, tactics_of
from dsmil.correlation.tactics import Tactics
from dsmil.events.model import Event, Severity


def step(n: int, technique: str, *entities: str, **fields: object) -> Event:
    return finding(n, *(entities or ("host:a",)), techniques=[technique], **{"ts": float(n), **fields})  # type: ignore[arg-type]


def test_the_table_is_that_of_attack(fixtures: Path) -> None:
    with (fixtures / "attack_table" / "attack_techniques.csv").open() as file:
        known = {
            row["technique_id"]: set(row["tactics"].replace(";", " ").replace(",", " ").split())
            for row in csv.DictReader(file)
        }
    names = {tactic.id: tactic.name for tactic in tactics()}
    assert len(known) > 600
    assert {one: {names[tactic] for tactic in tactics_of(one)} for one in known} == known
    assert tactics_of("T9999") == ()


def test_three_tactics_are_told_and_each_one_more() -> None:
    handler = Tactics()
    assert feed(handler, [step(1, "T1190"), step(2, "T1059.004")]) == []
    (three,) = feed(handler, [step(3, "T1046", severity="LOW")])
    assert three.payload["tactics"] == ["TA0001", "TA0002", "TA0007"]
    assert "initial-access -> execution -> discovery" in three.payload["rule"]["name"]
    assert three.severity is Severity.HIGH
    assert three.payload["raised"] == {"from": "MEDIUM", "to": "HIGH", "why": "3 or more different tactics"}
    assert three.evidence == ("e00001", "e00002", "e00003")
    assert feed(handler, [step(4, "T1059.001"), step(5, "T1018")]) == [], "no further tactic"
    (four,) = feed(handler, [step(6, "T1048", severity="CRITICAL")])
    assert (four.correlation_id, four.payload["previous"]) == (three.correlation_id, three.event_id)
    assert (four.severity, "raised" in four.payload) == (Severity.CRITICAL, False)


def test_two_in_their_order_need_a_high_one() -> None:
    assert feed(Tactics(), [step(1, "T1190"), step(2, "T1059")]) == []
    (told,) = feed(Tactics(), [step(1, "T1190"), step(2, "T1059", severity="HIGH")])
    assert told.severity is Severity.HIGH
    assert feed(Tactics(), [step(1, "T1059", severity="HIGH"), step(2, "T1190")]) == [], "not in their order"


def test_a_technique_of_four_tactics_is_no_attack_by_itself() -> None:
    assert len(tactics_of("T1078")) == 4
    assert feed(Tactics(), [step(n, "T1078", severity="HIGH") for n in range(5)]) == []
    served = {"T1078": tactics_of("T1078"), "T1190": tactics_of("T1190"), "T1548": tactics_of("T1548")}
    assert len(assigned(served)) == 3


def test_the_rule_says_which_of_the_tactics_it_means() -> None:
    events = [step(1, "T1190"), step(2, "T1078", severity="HIGH", payload={"tactics": ["TA0001"]})]
    assert feed(Tactics(), events) == [], "both are initial access then"


def test_a_rule_that_names_tactics_alone_counts_too() -> None:
    told = [
        finding(n, "host:a", ts=n, rule=f"r{n}", payload={"tactics": [one]})
        for n, one in enumerate(("TA0001", "TA0002", "TA0007"))
    ]
    # The payload's own rule stays.
    assert len(feed(Tactics(), told)) == 1


def test_each_entity_has_a_chain_of_its_own_and_old_steps_are_forgotten() -> None:
    apart = [step(1, "T1190", "host:a"), step(2, "T1059", "host:b"), step(3, "T1046", "user:kim")]
    assert feed(Tactics(), apart) == []
    day = module.WINDOW_S
    old = [step(1, "T1190"), step(2, "T1059"), step(3, "T1046", ts=day + 2.5)]
    assert feed(Tactics(), old) == []
    assert len(feed(Tactics(), [step(1, "T1190"), step(2, "T1059"), step(3, "T1046", ts=day)])) == 1


def test_state_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTITIES", 10)
    handler = Tactics()
    feed(handler, [step(n, "T1190", f"host:h{n}") for n in range(100)])
    assert handler.notes() == {"entities": 10, "entities_forgotten": 90}
