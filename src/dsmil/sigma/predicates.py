"""From a condition's tree to functions: each takes a view of a record and says yes or no."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from ipaddress import AddressValueError, ip_address
from typing import TYPE_CHECKING, Any, Final

from dsmil.sigma.matching import expression_matcher, text_matcher
from dsmil.sigma.tree import (
    And,
    Cidr,
    Compare,
    Exists,
    Node,
    Not,
    Null,
    Or,
    Pattern,
    Regex,
    Same,
    Text,
    Wild,
)
from dsmil.sigma.view import MISSING, View, lookup

if TYPE_CHECKING:
    import re
    from collections.abc import Sequence

Test = Callable[[View], bool]

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "eq": operator.eq,
    "neq": operator.ne,
}
#: Kinds of question by what they cost, cheapest first.
_COST: Final = {Text: 1, Null: 1, Exists: 2, Compare: 3, Same: 3, Not: 4, And: 4, Or: 5, Cidr: 6, Regex: 7}


def compile_tree(node: Node) -> Test:  # noqa: C901, PLR0911 - one line for each kind of node
    """Return the function that answers the whole tree."""
    match node:
        case And(nodes):
            return _every([compile_tree(one) for one in sorted(nodes, key=_cost)])
        case Or(nodes):
            return _some([compile_tree(one) for one in sorted(nodes, key=_cost)])
        case Not(inner):
            return _negation(compile_tree(inner))
        case Text():
            return _text(node)
        case Regex(field, expression):
            return _keyword_regex(expression) if field is None else _regex(field, expression)
        case Null(name):
            return lambda view: view[name] is None
        case Exists(name, wanted):
            return lambda view: (lookup(view.raw, name) is not MISSING) is wanted
        case Compare():
            return _compare(node)
        case Cidr():
            return _cidr(node)
        case Same():
            return _same(node)


def _cost(node: Node) -> int:
    many = isinstance(node, Text) and (node.field is None or len(node.patterns) > 8)  # noqa: PLR2004 - a guess
    return _COST[type(node)] + many


def _every(tests: Sequence[Test]) -> Test:
    if len(tests) == 2:  # noqa: PLR2004 - the common case, without a loop
        first, second = tests
        return lambda view: first(view) and second(view)

    def every(view: View) -> bool:
        for test in tests:  # noqa: SIM110 - a generator would cost more than the tests
            if not test(view):
                return False
        return True

    return every


def _some(tests: Sequence[Test]) -> Test:
    def some(view: View) -> bool:
        for test in tests:  # noqa: SIM110 - as above
            if test(view):
                return True
        return False

    return some


def _negation(test: Test) -> Test:
    return lambda view: not test(view)


# Text


def _text(node: Text) -> Test:
    if node.field is None:
        return _keyword(node)
    matches = text_matcher(node.patterns, cased=node.cased)
    field = node.field
    if node.cased:
        return lambda view: any(map(matches, view.texts_of(field)))

    def test(view: View) -> bool:
        low = view[field]
        if low.__class__ is str:
            return matches(low)
        return low is not None and any(map(matches, low))

    return test


# Keywords: anywhere in any value


def _keyword(node: Text) -> Test:
    patterns = [_open(pattern) for pattern in node.patterns]
    matches = text_matcher(patterns, cased=node.cased)
    if node.cased:
        return lambda view: any(map(matches, view.all_texts()))
    return lambda view: any(map(matches, view.all_lower()))


def _open(pattern: Pattern) -> Pattern:
    """Return a pattern that may stand anywhere in a text."""
    if pattern[:1] != (Wild.MANY,):
        pattern = (Wild.MANY, *pattern)
    return pattern if pattern[-1] is Wild.MANY and len(pattern) > 1 else (*pattern, Wild.MANY)


def _keyword_regex(expression: re.Pattern[str]) -> Test:
    found = expression_matcher(expression)
    return lambda view: any(map(found, view.all_texts()))


def _regex(field: str, expression: re.Pattern[str]) -> Test:
    found = expression_matcher(expression)

    def test(view: View) -> bool:
        value = view.raw.get(field)
        if value.__class__ is str:
            return found(value)
        return any(map(found, view.texts_of(field)))

    return test


# Numbers, times, addresses, other fields


def number_of(value: object) -> float | None:
    """Return the number a value is or says (decimal, or hexadecimal after 0x), or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str):
        text = value.strip()
        try:
            return int(text, 16) if text[:2].lower() == "0x" else float(text)
        except ValueError:
            return None
    return None


def time_of(value: object) -> datetime | None:
    """Return the time a value says, in UTC: ISO 8601, or Unix seconds or milliseconds; None when it is none."""
    try:
        if isinstance(value, str) and not value.strip().replace(".", "", 1).isdecimal():
            when = datetime.fromisoformat(value.strip())
            return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
        number = number_of(value)
        if number is None:
            return None
        seconds = number / 1000 if number > 1e11 else number  # noqa: PLR2004 - seconds of the year 5138
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _part(part: str, value: object) -> float | None:
    if not part:
        return number_of(value)
    when = time_of(value)
    if when is None:
        return None
    return when.isocalendar().week if part == "week" else float(getattr(when, part))


def _compare(node: Compare) -> Test:
    holds, wanted, field = _OPERATORS[node.operator], node.number, node.field
    read = partial(_part, node.part)

    def test(view: View) -> bool:
        numbers = map(read, view.values_of(field))
        return any(number is not None and holds(number, wanted) for number in numbers)

    return test


def _cidr(node: Cidr) -> Test:
    network, field = node.network, node.field

    def inside(text: str) -> bool:
        try:
            address: Any = ip_address(text.strip())
        except (ValueError, AddressValueError):
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped if mapped is not None and network.version == 4 else address  # noqa: PLR2004 - IPv4
        return address.version == network.version and address in network

    if field is None:
        return lambda view: any(map(inside, view.all_texts()))
    return lambda view: any(map(inside, view.texts_of(field)))


def _same(node: Same) -> Test:
    if node.starts and node.ends:
        related: Callable[[str, str], bool] = operator.contains
    elif node.starts:
        related = str.startswith
    elif node.ends:
        related = str.endswith
    else:
        related = operator.eq

    def test(view: View) -> bool:
        one, two = view[node.field], view[node.other]
        if one.__class__ is str and two.__class__ is str:
            return related(one, two)
        return any(related(first, second) for first in _several(one) for second in _several(two))

    return test


def _several(low: Any) -> tuple[str, ...]:  # noqa: ANN401 - what a view says of a field
    if low is None:
        return ()
    return (low,) if isinstance(low, str) else low
