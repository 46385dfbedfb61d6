"""A rule's condition as a tree: and, or, not, and questions about one field."""

from __future__ import annotations

import re
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator


class Wild(Enum):
    """What may stand for any text in a pattern."""

    MANY = "*"
    ONE = "?"


#: Plain text and wildcards in turn; no part is empty.
Pattern = tuple[str | Wild, ...]


class Text(msgspec.Struct, frozen=True):
    """The field is like one of the patterns; without a field, any value of the record has one in it."""

    field: str | None
    patterns: tuple[Pattern, ...]
    #: Whether upper and lower case differ; by the specification they do not.
    cased: bool = False


class Regex(msgspec.Struct, frozen=True):
    """The expression is found in the field, or in any value of the record."""

    field: str | None
    expression: re.Pattern[str]


class Null(msgspec.Struct, frozen=True):
    """The field is not there, or null."""

    field: str


class Exists(msgspec.Struct, frozen=True):
    """The field is there, or is not."""

    field: str
    wanted: bool


class Compare(msgspec.Struct, frozen=True):
    """The field, or a part of it as a time, is less or more than a number, equal or unequal to it."""

    field: str
    #: lt, lte, gt, gte, eq or neq.
    operator: str
    number: float
    #: minute, hour, day, week, month or year; empty for the number itself.
    part: str = ""


class Cidr(msgspec.Struct, frozen=True):
    """The field is an address of the network."""

    field: str | None
    network: IPv4Network | IPv6Network


class Same(msgspec.Struct, frozen=True):
    """The field is, starts with, ends with, or has in it what another field says."""

    field: str
    other: str
    starts: bool = False
    ends: bool = False


class And(msgspec.Struct, frozen=True):
    """All of them."""

    nodes: tuple[Node, ...]


class Or(msgspec.Struct, frozen=True):
    """One of them."""

    nodes: tuple[Node, ...]


class Not(msgspec.Struct, frozen=True):
    """Not that."""

    node: Node


Leaf = Text | Regex | Null | Exists | Compare | Cidr | Same
Node = Leaf | And | Or | Not


def all_of(nodes: list[Node]) -> Node:
    """Return the conjunction, flat."""
    flat: list[Node] = []
    for node in nodes:
        flat.extend(node.nodes if isinstance(node, And) else (node,))
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def any_of(nodes: list[Node]) -> Node:
    """Return the disjunction, flat; texts of one field become one question."""
    flat: list[Node] = []
    texts: dict[tuple[str | None, bool], int] = {}
    for node in nodes:
        for one in node.nodes if isinstance(node, Or) else (node,):
            if isinstance(one, Text):
                place = texts.setdefault((one.field, one.cased), len(flat))
                if place < len(flat):
                    before = flat[place]
                    if isinstance(before, Text):
                        flat[place] = Text(one.field, before.patterns + one.patterns, one.cased)
                    continue
            flat.append(one)
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def leaves(node: Node) -> Iterator[Leaf]:
    """Yield every question of a tree that is not under a ``not``."""
    if isinstance(node, And | Or):
        for one in node.nodes:
            yield from leaves(one)
    elif not isinstance(node, Not):
        yield node
