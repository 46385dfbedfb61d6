"""The plan for larger machines, computed from what one event costs each process."""

from __future__ import annotations

import math

import msgspec

_US = 1e6


class Cost(msgspec.Struct, frozen=True):
    """CPU microseconds per event."""

    router: float
    broker: float
    store: float
    #: The process that reads ahead of the store writer.
    ahead: float = 0.0

    @property
    def total(self) -> float:
        """Of all together."""
        return self.router + self.broker + self.store + self.ahead


class Plan(msgspec.Struct, frozen=True):
    """What a number of cores can do, at best."""

    cores: int
    #: Events a second with one broker and one store, and what stops more.
    single: float
    wall: str
    #: Events a second with partitioned streams: all cores busy.
    partitioned: float
    partitions: int
    #: Router processes that needs, all partitions together.
    routers: int


def walls(cost: Cost) -> dict[str, float]:
    """Return the most events a second that one process of each kind can take, on a core of its own."""
    return {"router": _US / cost.router, "broker": _US / cost.broker, "store writer": _US / cost.store}


def plan(cost: Cost, cores: int) -> Plan:
    """Return what ``cores`` can do with one broker and store, and with as many as it takes."""
    limits = walls(cost)
    everything = cores * _US / cost.total
    # Routers share a group, so there can be as many as it takes; a broker and a store writer have one thread each.
    # The process that reads ahead of the store writer has less to do than that.
    ends = {"cores": everything, "broker": limits["broker"], "store writer": limits["store writer"]}
    wall = min(ends, key=lambda name: ends[name])
    lone = min(limits["broker"], limits["store writer"])
    return Plan(
        cores=cores,
        single=ends[wall],
        wall=wall,
        partitioned=everything,
        partitions=max(1, math.ceil(everything / lone)),
        routers=max(1, math.ceil(everything / limits["router"])),
    )
