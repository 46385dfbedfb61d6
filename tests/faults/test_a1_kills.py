"""A1: SIGKILL at every step of router, detector, store writer and ingest, under load."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable

import pytest
from tests.faults.checker import DETECTOR, ROUTER
from tests.faults.crew import HOLDING, Life
from tests.faults.points import AFTER_DEATH, RUNNER, SELDOM, WRITER
from tests.faults.report import Row, Tier
from tests.faults.rig import Rig
from tests.faults.scenarios import HASTY

from dsmil.events.streams import StreamName


def lives(points: Iterable[str], times: int, chance: random.Random, slots: int = 1) -> list[list[Life]]:
    """Return for each slot its lives: over all, ``times`` for each point, in any order.

    Most traps spring late, so that work is done in between. An attempt is counted only when entries were in hand
    at a death before, so such a life follows one that dies with some in hand.
    """
    groups = [
        ([HOLDING] if point in AFTER_DEATH else [])
        + [Life(point=point, nth=1 if point in SELDOM | AFTER_DEATH else chance.randint(1, 25))]
        for point in points
        for _ in range(times)
    ]
    chance.shuffle(groups)
    return [[life for group in groups[n::slots] for life in group] for n in range(slots)]


def assert_each_was_hit(hits: Counter[str], points: Iterable[str], times: int) -> None:
    missed = {point: hits[point] for point in points if hits[point] < times}
    assert not missed, f"hit fewer times than {times}: {missed}"


@pytest.mark.scenario("A1 kills: 2 routers")
def test_routers(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    times = tier.pick(4, 30)
    with make_rig() as rig:
        load = rig.load()
        rig.store()
        for n, plan in enumerate(lives(RUNNER, times, rig.chance, slots=2)):
            rig.router(f"router-{n}", plan)
        rig.crew.play_out(tier.pick(120, 3600))
        rig.accept(load, max(0, tier.pick(8_000, 50_000) - len(load.accepted)), 600)
        row.injected = sum(rig.crew.hits().values())
        row.note = f"{len(load.accepted)} entries"
        assert_each_was_hit(rig.crew.hits(), RUNNER, times)
        row.judge(rig.finish(load))


@pytest.mark.scenario("A1 kills: detector and router")
def test_detector(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    times = tier.pick(2, 10)
    with make_rig() as rig:
        load = rig.load(stream=StreamName.L3_IN)
        rig.store()
        rig.router()
        rig.detector(lives=lives(RUNNER, times, rig.chance)[0])
        rig.crew.play_out(tier.pick(120, 1200))
        row.injected = sum(rig.crew.hits().values())
        row.note = f"{len(load.accepted)} entries"
        assert_each_was_hit(rig.crew.hits(), RUNNER, times)
        row.judge(rig.finish(load, hops=(DETECTOR, ROUTER)))


@pytest.mark.scenario("A1 kills: store writer")
def test_store_writer(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    times = tier.pick(3, 20)
    with make_rig() as rig:
        load = rig.load()
        rig.router()
        rig.store(lives=lives(WRITER, times, rig.chance)[0])
        rig.crew.play_out(tier.pick(120, 1200))
        row.injected = sum(rig.crew.hits().values())
        row.note = f"{len(load.accepted)} entries"
        assert_each_was_hit(rig.crew.hits(), WRITER, times)
        row.judge(rig.finish(load))


@pytest.mark.scenario("A1 kills and freezes from outside")
def test_from_outside(make_rig: Callable[..., Rig], tier: Tier, row: Row) -> None:
    """At any instruction: the moment is drawn, not the step. Who wakes up finds its entries with others."""
    faults: Counter[str] = Counter()
    # Durable, because brokers are killed too: with `everysec` one may hold back its log while the disk lags.
    with make_rig(constants=HASTY, durable=True) as rig:
        load = rig.load()
        routers = [rig.router("router-0"), rig.router("router-1")]
        store = rig.store()
        for _ in range(tier.pick(50, 400)):
            rig.accept(load, rig.chance.randint(1, 300))
            victim = rig.chance.choice([*routers, store])
            fault = rig.chance.choice(("kill", "kill", "freeze", "broker"))
            faults[fault] += 1
            if fault == "broker":
                rig.broker.kill()
                rig.broker.start()
            elif fault == "kill":
                victim.kill()
            else:
                victim.freeze()
                rig.accept(load, rig.chance.randint(200, 1200))
                victim.thaw()
        row.injected = faults.total()
        row.note = f"{len(load.accepted)} entries, {', '.join(f'{n} {k}' for k, n in sorted(faults.items()))}"
        row.judge(rig.finish(load))
