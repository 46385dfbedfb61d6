"""Which group a finding belongs to: entities are the nodes, and a group is what they connect within a window.

An entity that has been seen with more than a hundred different hosts, users and addresses within the window is
common (a gateway, a resolver, a scanned server): it joins nothing any more, and only findings that name nothing
else go by it. A group of two hundred entities is full: it grows by findings about these, and takes up no others.
State is bounded; who was quiet longest is forgotten first.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING, Final

import msgspec

from dsmil.correlation._group import Group

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dsmil.correlation._entities import Key

#: A finding joins a group whose last event is not longer ago, seconds of event time.
WINDOW_S: Final = 3600.0
#: A group does not grow longer than this, seconds of event time.
LIFE_S: Final = 86400.0
#: Different partners of an entity from which on it is common.
COMMON: Final = 100
MOST_GROUPS: Final = 5_000
MOST_NODES: Final = 50_000
#: One event moves the time of the whole by no more than this, seconds: it may have a wrong clock.
_STEP_S: Final = 60.0
#: Groups that one event may close.
_MOST_CLOSED: Final = 20
_PARTNERS: Final = frozenset(("host", "user", "ip"))


class Node(msgspec.Struct, array_like=True):
    """One entity, or one deduplication key."""

    group: str
    #: When it was seen last, Unix seconds of event time.
    last: float
    #: Hosts, users and addresses it was seen with.
    partners: dict[str, None] = {}

    @property
    def common(self) -> bool:
        """Whether it joins nothing any more."""
        return len(self.partners) > COMMON


class State(msgspec.Struct, array_like=True):
    """All of a graph, to be kept."""

    now: float
    groups: list[Group]
    nodes: list[tuple[str, Node]]
    aliases: list[tuple[str, str]]
    forgotten: int


class Graph:
    """Nodes and groups."""

    def __init__(self) -> None:
        """Start empty."""
        self.now = 0.0
        #: Groups that went without their last members being named, because there were too many.
        self.forgotten = 0
        self.groups: OrderedDict[str, Group] = OrderedDict()
        self._nodes: OrderedDict[str, Node] = OrderedDict()
        self._aliases: OrderedDict[str, str] = OrderedDict()

    def join(self, keys: Sequence[Key], also: Iterable[str], compartment: str, ts: float, fresh: Group) -> Group:
        """Return the group of a finding with these entities, else ``fresh``; groups it joins become one."""
        nodes = [self._touch(_name(compartment, key), key, keys, ts) for key in keys]
        strong = [node for node in nodes if not node.common]
        links = strong or nodes[:1]
        links = [*links, *(self._touch(f"{compartment}\x1f{one}", None, (), ts) for one in also)]
        found = {group.id: group for node in links if (group := self._fitting(node, ts)) is not None}
        group, *others = sorted(found.values(), key=lambda one: (one.start, one.id)) or [fresh]
        for other in [] if group.full else [one for one in others if not one.full]:
            group.swallow(other)
            del self.groups[other.id]
            self._aliases[other.id] = group.id
        self.groups[group.id] = group
        self.groups.move_to_end(group.id)
        for node in links:
            if not group.full:
                node.group = group.id
        while len(self._aliases) > MOST_NODES:
            self._aliases.popitem(last=False)
        return group

    def _touch(self, name: str, key: Key | None, keys: Sequence[Key], ts: float) -> Node:
        node = self._nodes.get(name)
        if node is None:
            node = self._nodes[name] = Node("", ts)
            if len(self._nodes) > MOST_NODES:
                self._nodes.popitem(last=False)
        else:
            self._nodes.move_to_end(name)
        if ts > node.last + WINDOW_S:
            node.partners = {}
        node.last = max(node.last, ts)
        for other in keys:
            if other != key and other[0] in _PARTNERS and not node.common:
                node.partners["\x1f".join(other)] = None
        return node

    def _fitting(self, node: Node, ts: float) -> Group | None:
        """Return the node's group if a finding of that time can belong to it."""
        name = node.group
        while name in self._aliases:
            name = self._aliases[name]
        group = self.groups.get(name)
        if group is None or not group.start - WINDOW_S <= ts <= group.end + WINDOW_S:
            return None
        return group if max(group.end, ts) - min(group.start, ts) <= LIFE_S else None

    def closing(self, ts: float) -> list[Group]:
        """Let time go on to ``ts``; return the groups that are over by it and have members nobody has named."""
        self.now = min(max(self.now, ts), self.now + _STEP_S) if self.now else ts
        over = []
        for group in list(islice(self.groups.values(), _MOST_CLOSED)) if self._head_is_over() else ():
            if group.end + WINDOW_S < self.now:
                del self.groups[group.id]
                over.append(group)
        while len(self.groups) > MOST_GROUPS:
            _, group = self.groups.popitem(last=False)
            self.forgotten += 1
            over.append(group)
        return [group for group in over if group.revision and group.unlisted]

    def _head_is_over(self) -> bool:
        head = next(iter(self.groups.values()), None)
        return head is not None and head.end + WINDOW_S < self.now

    def state(self) -> State:
        """Return everything, to be kept."""
        return State(
            self.now, [*self.groups.values()], [*self._nodes.items()], [*self._aliases.items()], self.forgotten
        )

    def recall(self, state: State) -> None:
        """Take up a state that was kept."""
        self.now, self.forgotten = state.now, state.forgotten
        self.groups = OrderedDict((group.id, group) for group in state.groups)
        self._nodes = OrderedDict(state.nodes)
        self._aliases = OrderedDict(state.aliases)


def _name(compartment: str, key: Key) -> str:
    return "\x1f".join((compartment, *key))
