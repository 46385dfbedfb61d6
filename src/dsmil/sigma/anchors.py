"""Which text a record must hold before a rule can match: the rarest one is looked for first."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from dsmil.sigma.literals import required
from dsmil.sigma.matching import lowered
from dsmil.sigma.tree import And, Node, Or, Pattern, Regex, Text, Wild

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: What everyday records are full of; text in here tells little.
_COMMON: Final = (
    r"c:\windows\system32\svchost.exe -k netsvcs -p -s schedule c:\windows\system32\cmd.exe /c "
    r"c:\windows\system32\services.exe "
    r"c:\windows\syswow64\ c:\windows\explorer.exe c:\windows\system32\windowspowershell\v1.0\powershell.exe "
    r"c:\program files\ c:\program files (x86)\ c:\users\ c:\programdata\ \appdata\local\temp\ "
    r"\appdata\roaming\microsoft\windows\ microsoft corporation microsoft® windows® operating system "
    r"nt authority\system nt authority\network service conhost.exe 0xffffffff -forcev1 rundll32.exe reg.exe "
    r"hklm\software\microsoft\windows\currentversion\ hkcu\software\ hku\s-1-5-21- "
    r"hklm\system\currentcontrolset\services\ sha1= md5= sha256= imphash= "
    r"/bin/bash /bin/sh -c /usr/bin/ /usr/sbin/ /usr/lib/ /etc/ /var/log/ /tmp/ "
    r"https://www. http:// .com/ /index.html mozilla/5.0 (windows nt 10.0; win64; x64) applewebkit/537.36"
)

#: Single characters that are rare enough to announce something.
_UNUSUAL: Final = frozenset("`^~|{}[]<>;$#!")
#: Whole values that are as common.
_EVERYDAY: Final = frozenset(
    {"", "-", "high", "medium", "system", "true", "false", "0x3e7"}
    | {"microsoft corporation", "microsoft® windows® operating system"}
)


class Anchor(msgspec.Struct, frozen=True):
    """A text in lower case that must stand in a field (in any one, without a field)."""

    field: str | None
    text: str
    #: Whether the value begins, and whether it ends, with the text.
    starts: bool = False
    ends: bool = False


def choose(node: Node, cost: Callable[[Anchor], float]) -> tuple[float, tuple[Anchor, ...]] | None:
    """Return texts of which one must be there for the tree to hold, those that cost least; None when none must."""
    match node:
        case And(nodes):
            found = [choice for one in nodes if (choice := choose(one, cost)) is not None]
            return min(found, key=lambda choice: choice[0]) if found else None
        case Or(nodes):
            return _union(choose(one, cost) for one in nodes)
        case Text(field, patterns):
            return _union(_of_pattern(field, pattern, cost) for pattern in patterns)
        case Regex(field, expression):
            needed = required(field, expression)
            return None if needed is None else choose(needed, cost)
    return None


def _union(
    choices: Iterable[tuple[float, tuple[Anchor, ...]] | None],
) -> tuple[float, tuple[Anchor, ...]] | None:
    total = 0.0
    anchors: list[Anchor] = []
    for choice in choices:
        if choice is None:
            return None
        total += choice[0]
        anchors.extend(choice[1])
    return total, tuple(dict.fromkeys(anchors))


def _of_pattern(
    field: str | None, given: Pattern, cost: Callable[[Anchor], float]
) -> tuple[float, tuple[Anchor, ...]] | None:
    """Return the best text of one pattern; none when it is only wildcards."""
    pattern = lowered(given)
    last = len(pattern) - 1
    anchors = [
        Anchor(field, part, starts=field is not None and n == 0, ends=field is not None and n == last)
        for n, part in enumerate(pattern)
        if not isinstance(part, Wild)
    ]
    if not anchors:
        return None
    best = min(anchors, key=cost)
    return cost(best), (best,)


def every_anchor(node: Node) -> Iterable[Anchor]:
    """Yield all texts of a tree, to count how often rules name each."""
    if isinstance(node, And | Or):
        for one in node.nodes:
            yield from every_anchor(one)
    elif isinstance(node, Text):
        for pattern in node.patterns:
            choice = _of_pattern(node.field, pattern, lambda anchor: -len(anchor.text))
            if choice is not None:
                yield from choice[1]


def estimate(mentions: dict[str, int]) -> Callable[[Anchor], float]:
    """Return a guess of how often an anchor stands in a record, from how often rules name its text.

    Only speed depends on it: a bad guess makes a rule be asked more often, never missed.
    """

    def cost(anchor: Anchor) -> float:
        text = anchor.text
        named = 0.0007 * mentions.get(text, 0)
        if anchor.starts and anchor.ends:
            return 0.001 + named + (0.8 if text in _EVERYDAY else 0.3 if text in _COMMON else 0.0)
        if anchor.ends and text.startswith("\\"):  # the name of a program: one of many
            return 0.001 + named + (0.12 if text in _COMMON else 0.0)
        short = 0.05 if text in _UNUSUAL else min(1.0, 0.4 * 0.3 ** (len(text) - 2))
        return 0.001 + named + short + (0.6 if text in _COMMON else 0.0)

    return cost


_USUAL: Final = Counter(_COMMON + "0123456789")


def usual_order(text: str) -> list[int]:
    """Return a key that sorts usual characters first: the search tries the branches of a node in turn."""
    return [-_USUAL[char] for char in text]
