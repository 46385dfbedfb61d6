"""Cases that drain: routing alone, the whole path, a second router, and what the guards cost."""

from __future__ import annotations

from typing import Any

from benchmarks import drain as d
from benchmarks.context import FULL, Context
from benchmarks.rig import ASIDE


def routed(ctx: Context) -> None:
    """Route a backlog: published, acknowledged, books kept."""
    reference, ours, raw = ctx.drained(d.NAIVE), ctx.drained(d.ROUTER), ctx.drained(d.RAW_BROKER)
    ctx.add("routed.events_per_s", ours.published_per_s)
    ctx.add("routed.naive_events_per_s", reference.published_per_s)
    ctx.add("routed.ratio_to_naive", ours.published_per_s / reference.published_per_s)
    ctx.add("routed.cpu_ratio_to_naive", reference.total_us / ours.total_us)
    ctx.add("routed.ratio_to_broker", ours.published_per_s / raw.published_per_s)
    ctx.add("routed.us.router", ours.us["soc-router"])
    ctx.add("routed.us.broker", ours.us["broker"])
    ctx.add("broker.events_per_s", raw.published_per_s)
    ctx.add("broker.us", raw.us["broker"])
    # Fence, trail and ledger work inside the broker: what it needs beyond the bare streams is their price.
    ctx.add("cost.guards", (ours.us["broker"] - raw.us["broker"]) / ours.total_us)


def second_router(ctx: Context) -> None:
    """Route with two processes of one group."""
    one, two = ctx.drained(d.ROUTER), ctx.drained(d.TWO_ROUTERS)
    ctx.add("scale.second_router", two.published_per_s / one.published_per_s)


def whole_path(ctx: Context) -> None:
    """Route and store, the streams' log on disk once a second, time-ordered ids, an empty store."""
    _against_naive(ctx, "whole_path")
    for name, peer in (("bytewax", d.BYTEWAX), ("faststream", d.FASTSTREAM)):
        _against_peer(ctx, "whole_path", name, peer)


def full_store(ctx: Context) -> None:
    """Do the same on a full store whose retention removes a row for each that comes."""
    _against_naive(ctx, "whole_path.full", full=True)
    ctx.add("whole_path.full.removed_per_event", ctx.drained(d.WHOLE, full=True).removed_per_event)
    empty, full = ctx.drained(d.WHOLE), ctx.drained(d.WHOLE, full=True)
    ctx.add("store.full_to_empty", full.stored_per_s / empty.stored_per_s)
    ctx.add("store.cpu_full_to_empty", _store_us(empty) / _store_us(full))
    if ctx.size == FULL:
        _against_peer(ctx, "whole_path.full", "bytewax", d.BYTEWAX, full=True)


def _store_us(drained: d.Drained) -> float:
    return drained.us["store-writer"] + drained.us.get("store-writer" + ASIDE, 0.0)


def settings(ctx: Context) -> None:
    """Do the same with random ids, with every write on disk, and both kinds of ids on both stores."""
    _against_naive(ctx, "whole_path.v4", ids="v4")
    _against_naive(ctx, "whole_path.always", durable=True)
    _against_naive(ctx, "whole_path.v4_full", ids="v4", full=True)
    _against_naive(ctx, "whole_path.always_full", durable=True, full=True)
    _against_peer(ctx, "whole_path.v4", "bytewax", d.BYTEWAX, ids="v4")


def _against_naive(ctx: Context, key: str, **setting: Any) -> None:  # noqa: ANN401 - of Context.drained
    reference, ours = ctx.drained(d.NAIVE, **setting), ctx.drained(d.WHOLE, **setting)
    ctx.add(f"{key}.events_per_s", ours.stored_per_s)
    ctx.add(f"{key}.naive_events_per_s", reference.stored_per_s)
    ctx.add(f"{key}.published_per_s", ours.published_per_s)
    ctx.add(f"{key}.ratio_to_naive", ours.stored_per_s / reference.stored_per_s)
    ctx.add(f"{key}.published_ratio_to_naive", ours.published_per_s / reference.published_per_s)
    ctx.add(f"{key}.cpu_ratio_to_naive", reference.total_us / ours.total_us)
    for part, process in (("router", "soc-router"), ("store", "store-writer"), ("broker", "broker")):
        ctx.add(f"{key}.us.{part}", ours.us[process])
    ctx.add(f"{key}.us.ahead", ours.us.get("store-writer" + ASIDE, 0.0))


def _against_peer(ctx: Context, key: str, name: str, peer: d.Contender, **setting: Any) -> None:  # noqa: ANN401
    theirs, ours = ctx.drained(peer, **setting), ctx.drained(d.WHOLE, **setting)
    ctx.add(f"{key}.{name}_events_per_s", theirs.stored_per_s)
    ctx.add(f"{key}.{name}_us", theirs.total_us)
    ctx.add(f"{key}.ratio_to_{name}", ours.stored_per_s / theirs.stored_per_s)
    ctx.add(f"{key}.cpu_ratio_to_{name}", theirs.total_us / ours.total_us)
