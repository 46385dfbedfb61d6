"""The windows of correlation rules as plain values, so that they can be kept and taken up again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from dsmil.sigma.correlation import Entry
from dsmil.sigma.windows import Firing, Group, Key, Windows

if TYPE_CHECKING:
    from dsmil.sigma.correlator import Correlator


class KeptFiring(msgspec.Struct, frozen=True):
    """A firing without its rule."""

    group: dict[str, str]
    start: float
    end: float
    #: A count stays one: it is shown.
    measure: int | float
    rules: tuple[str, ...]
    evidence: tuple[str, ...]
    events: int


class KeptGroup(msgspec.Struct, frozen=True):
    """The window of one group."""

    key: Key
    entries: tuple[Entry, ...]
    closes: float
    fired: int | float
    quiet_until: float | None
    trigger: str
    firing: KeptFiring | None


class KeptRule(msgspec.Struct, frozen=True):
    """The windows of one rule, the one that was quiet longest first."""

    id: str
    revision: str
    groups: tuple[KeptGroup, ...]
    forgotten: int


class KeptWindows(msgspec.Struct, frozen=True):
    """All windows."""

    #: How far event time has come; None before the first event.
    now: float | None
    rules: tuple[KeptRule, ...]


def kept(correlator: Correlator) -> bytes:
    """Return the state of all windows."""
    rules = [
        KeptRule(
            windows.rule.about.id,
            windows.rule.about.revision,
            tuple(_kept_group(key, group) for key, group in windows.groups.items()),
            windows.forgotten,
        )
        for windows in correlator.windows
    ]
    return msgspec.msgpack.encode(KeptWindows(_finite(correlator.now), tuple(rules)))


def take_up(correlator: Correlator, memory: bytes) -> None:
    """Give each rule its windows back; those of a rule that is gone, or has changed, are left out."""
    try:
        state = msgspec.msgpack.decode(memory, type=KeptWindows)
    except msgspec.MsgspecError as exc:
        msg = f"these are no windows of correlation rules: {exc}"
        raise ValueError(msg) from None
    known = {(rule.id, rule.revision): rule for rule in state.rules}
    if state.now is not None:
        correlator.now = state.now
    for windows in correlator.windows:
        rule = known.get((windows.rule.about.id, windows.rule.about.revision))
        if rule is not None:
            windows.restore([(one.key, _group(windows, one)) for one in rule.groups], rule.forgotten)


def _kept_group(key: Key, group: Group) -> KeptGroup:
    trigger, firing = group.trigger or ("", None)
    return KeptGroup(
        key,
        tuple(group.entries),
        group.closes,
        group.fired,
        _finite(group.quiet_until),
        trigger,
        None
        if firing is None
        else KeptFiring(
            firing.group, firing.start, firing.end, firing.measure, firing.rules, firing.evidence, firing.events
        ),
    )


def _group(windows: Windows, one: KeptGroup) -> Group:
    group = Group()
    for entry in one.entries:
        group.take(entry)
    group.closes, group.fired = one.closes, one.fired
    if one.quiet_until is not None:
        group.quiet_until = one.quiet_until
    if one.firing is not None:
        fields = msgspec.structs.asdict(one.firing)
        group.trigger = (one.trigger, Firing(rule=windows.rule, **fields))
    return group


def _finite(ts: float) -> float | None:
    """Return a time, or None for "never"."""
    return None if ts == float("-inf") else ts
