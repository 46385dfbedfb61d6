"""Which paths lead anywhere is worked out once for a shape of records, in bounded memory."""

from __future__ import annotations

from dsmil.sources._mapping import Path
from dsmil.sources._plan import Plan, first


def plan() -> Plan:
    return Plan([(Path("a.b"), "ab"), (Path("c"), "c")], [(Path("d"), "d")])


def test_each_group_has_its_steps_in_the_order_of_its_paths() -> None:
    record = {"d": 4, "c": 3, "a": {"b": 2}, "a.b": 1}
    one, other = plan().steps(record)
    assert [step.wanted for step in one] == ["ab", "ab", "c"]
    assert [list(step.values(record)) for step in one] == [[1], [2], [3]]
    assert first(other, record) == 4
    assert first(plan().steps({"c": ""})[0], {"c": ""}) is None


def test_shapes_with_many_or_long_keys_are_read_and_not_remembered() -> None:
    known = plan()
    for n in range(50):
        many = {f"k{n}.{m}": 0 for m in range(200)} | {"c": 7}
        long = {f"{n}" + "x" * 5000: 0, "c": 7}
        assert [first(known.steps(one)[0], one) for one in (many, long)] == [7, 7]
    assert not known._steps


def test_the_number_of_shapes_is_bounded() -> None:
    known = plan()
    for n in range(5000):
        assert first(known.steps({f"k{n}": 0, "c": n})[0], {"c": n}) == n
    assert 0 < len(known._steps) <= 1024
