"""Device 25: what joins, what does not, what is told and when, and that nothing is lost."""

from __future__ import annotations

import pytest
from tests.property.correlating import feed, finding

from dsmil.correlation import _graph, _group
from dsmil.correlation._dedupe import Deduper, DedupeRule
from dsmil.correlation.fusion import Fusion
from dsmil.events.handling import Delivery, Drop
from dsmil.events.model import Entity, Event, Severity
from dsmil.events.streams import StreamName


@pytest.fixture
def fusion() -> Fusion:
    return Fusion(Deduper())


def listed(revisions: list[Event]) -> list[str]:
    return [one["event_id"] for event in revisions for one in event.payload["members"]]


def test_findings_about_one_host_become_one_group_with_the_second(fusion: Fusion) -> None:
    assert feed(fusion, [finding(1, "host:web1", severity="LOW")]) == []
    (group,) = feed(fusion, [finding(2, "host:web1", "user:kim", rule="r2", severity="HIGH", ts=60)])
    assert group.severity is Severity.HIGH
    assert group.source_device == 25
    assert group.source_layer == 4
    assert listed([group]) == list(group.evidence) == ["e00001", "e00002"]
    assert group.payload["reason"] == "second member"
    assert set(group.entities) == {Entity("host", "web1"), Entity("user", "kim")}
    assert group.score == pytest.approx(1 - 0.9 * 0.4)


def test_a_worse_member_is_always_told_and_others_when_they_bring_something_new(fusion: Fusion) -> None:
    first = feed(fusion, [finding(n, "host:a", ts=n) for n in range(1, 9)])
    assert [one.payload["group"]["members"] for one in first] == [2, 4, 8]
    (worse,) = feed(fusion, [finding(9, "host:a", ts=9, severity="CRITICAL")])
    assert (worse.payload["reason"], worse.severity) == ("higher severity", Severity.CRITICAL)
    (rule,) = feed(fusion, [finding(10, "host:a", ts=10, rule="r2")])
    assert rule.payload["reason"] == "new rule l3-test/r2"
    (kind,) = feed(fusion, [finding(11, "host:a", "user:kim", ts=11)])
    assert kind.payload["reason"] == "new entity user"
    (technique,) = feed(fusion, [finding(12, "host:a", ts=12, techniques=["T1059"])])
    assert technique.payload["reason"] == "new technique T1059"
    revisions = [*first, worse, rule, kind, technique]
    assert {one.correlation_id for one in revisions} == {worse.correlation_id}
    assert len({one.event_id for one in revisions}) == len(revisions)
    previous = [one.payload["group"]["previous"] for one in revisions]
    assert previous == ["", *(one.event_id for one in revisions[:-1])], "a chain to the first"
    assert listed(revisions) == [f"e{n:05}" for n in range(1, 13)], "each member once"


def test_an_escalating_repeat_is_told_even_in_a_group_that_is_worse_already(fusion: Fusion) -> None:
    feed(fusion, [finding(1, "host:a", severity="CRITICAL"), finding(2, "host:a", rule="r2", severity="LOW")])
    feed(fusion, [finding(3, "host:a", rule="r2", severity="LOW")])
    (told,) = feed(fusion, [finding(4, "host:a", rule="r2", severity="HIGH")])
    assert told.payload["reason"] == "worse or seen again after its window"
    assert {one["rule"]: one["count"] for one in told.payload["items"]} == {"l3-test/r1": 1, "l3-test/r2": 3}


def test_two_groups_that_a_finding_joins_go_on_under_the_older_id(fusion: Fusion) -> None:
    old = feed(fusion, [finding(1, "host:a"), finding(2, "host:a", rule="r2")])
    young = feed(
        fusion, [finding(3, "user:kim", ts=10), finding(4, "user:kim", ts=11, rule="r3", severity="HIGH")]
    )
    (both,) = feed(fusion, [finding(5, "host:a", "user:kim", ts=20)])
    assert both.correlation_id == old[0].correlation_id != young[0].correlation_id
    assert both.payload["group"]["merged"] == [
        {"correlation_id": young[0].correlation_id, "last_revision": young[0].event_id}
    ]
    assert (both.payload["group"]["members"], both.severity) == (5, Severity.HIGH)
    (later,) = feed(fusion, [finding(6, "user:kim", ts=30, severity="CRITICAL")])
    assert later.correlation_id == both.correlation_id


@pytest.mark.parametrize(
    "entity",
    [
        *("ip:127.0.0.1", "ip:::1", "ip:224.0.0.251", "host:localhost", "user:root", "user:NT AUTHORITY\\SYSTEM"),
        *("user:WEB1$", "port:443", "process:cmd.exe", "file:/bin/sh", "host:-"),
    ],
)
def test_what_every_host_has_joins_nothing(fusion: Fusion, entity: str) -> None:
    assert feed(fusion, [finding(1, entity), finding(2, entity, severity="CRITICAL")]) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("host:WEB1", "host:web1."),
        ("host:10.0.0.1", "ip:10.0.0.1"),
        ("ip:2001:db8:0::1", "ip:2001:db8::1"),
        ("user:CORP\\Kim", "user:kim"),
        ("file:SHA256=" + "A" * 64, "hash:" + "a" * 64),
    ],
)
def test_one_entity_in_two_spellings_joins(fusion: Fusion, one: str, other: str) -> None:
    assert len(feed(fusion, [finding(1, one), finding(2, other)])) == 1


def test_a_sensor_joins_nothing_and_compartments_stay_apart(fusion: Fusion) -> None:
    sensors = [finding(n, entities=[Entity("host", "sensor1", "sensor")]) for n in (1, 2)]
    assert feed(fusion, sensors) == []
    assert feed(fusion, [finding(3, "host:a"), finding(4, "host:a", compartment="SIGNALS")]) == []


def test_a_common_entity_does_not_join_what_has_nothing_else_in_common(fusion: Fusion) -> None:
    """Everybody asks the resolver: its findings must not make one group of all hosts."""
    crowd = [finding(n, f"host:h{n}", "ip:10.0.0.53", ts=n / 100) for n in range(_graph.COMMON + 1)]
    feed(fusion, crowd)
    late = feed(fusion, [finding(500, "host:x", "ip:10.0.0.53", ts=2), finding(501, "host:x", rule="r2", ts=3)])
    assert [one.payload["group"]["members"] for one in late] == [2]
    alone = feed(fusion, [finding(502, "ip:10.0.0.53", ts=4, severity="CRITICAL")])
    assert alone[0].payload["group"]["members"] > _graph.COMMON, "what names nothing else goes by it"


def test_a_group_ends_with_its_window_and_its_last_members_are_named_then(fusion: Fusion) -> None:
    feed(fusion, [finding(n, "host:a", ts=n) for n in (1, 2, 3)])
    gone = _graph.WINDOW_S + 100
    others = [finding(10 + n, f"host:b{n}", ts=60.0 * n) for n in range(int(gone / 60) + 1)]
    (last,) = feed(fusion, others)
    assert (last.payload["reason"], listed([last])) == ("over", ["e00003"])
    (again,) = feed(fusion, [finding(98, "host:a", ts=gone), finding(99, "host:a", ts=gone)])
    assert again.correlation_id != last.correlation_id


def test_one_event_from_the_future_ends_nothing(fusion: Fusion) -> None:
    (group,) = feed(fusion, [finding(1, "host:a"), finding(2, "host:a", ts=1)])
    feed(fusion, [finding(3, "host:z", ts=10, ingest_ts=3e9).replace(ts=2.9e9)])
    (more,) = feed(fusion, [finding(4, "host:a", ts=20, severity="HIGH")])
    assert more.correlation_id == group.correlation_id


def test_an_event_that_comes_again_does_not_count_again(fusion: Fusion) -> None:
    feed(fusion, [finding(1, "host:a")])
    delivery = Delivery(stream=StreamName.L3_OUT, entry_id="1-0", event=finding(1, "host:a"))
    assert fusion.handle([delivery]) == [Drop("seen")]


def test_more_members_than_a_revision_can_name_are_named_by_the_next(fusion: Fusion) -> None:
    number = 5 * _group.MOST_LISTED
    revisions = feed(fusion, [finding(n, "host:a", ts=n / 10) for n in range(number)])
    revisions += feed(fusion, [finding(number, "host:a", ts=60, severity="CRITICAL")])
    assert listed(revisions) == [f"e{n:05}" for n in range(number + 1)]
    assert max(len(one.payload["members"]) for one in revisions) == _group.MOST_LISTED
    assert len(revisions) < 20


def test_state_is_bounded(fusion: Fusion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_graph, "MOST_GROUPS", 10)
    monkeypatch.setattr(_graph, "MOST_NODES", 30)
    feed(fusion, [finding(n, f"host:h{n // 3}", ts=n / 100) for n in range(3000)])
    assert fusion.notes()["groups"] <= 11
    assert fusion.notes()["groups_forgotten"] > 900
    assert len(fusion.memory()) < 200_000


def test_deduplication_rules_say_what_is_one_thing() -> None:
    rule = DedupeRule(name="scans", detector=("l3-test",), key=("rule", "src.ip"), window="10m")
    fusion = Fusion(Deduper([rule]))
    source = Entity("ip", "192.0.2.7", "src")
    scans = [finding(n, entities=[source, Entity("ip", f"198.51.100.{n}", "dest")], ts=n) for n in range(1, 9)]
    revisions = feed(fusion, scans)
    (item,) = revisions[-1].payload["items"]
    assert (item["dedupe"], item["count"], item["last_seen"] - item["first_seen"]) == ("scans", 8, 7)
