"""Whether a text is like a pattern, in time that grows with the text's length alone, whatever both hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dsmil.sigma.problem import RuleProblem
from dsmil.sigma.tree import Pattern, Wild

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_FLAGS: Final = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s"}


def text_matcher(  # noqa: C901, PLR0912 - one line for each shape of pattern
    patterns: Sequence[Pattern], *, cased: bool = False
) -> Callable[[str], bool]:
    """Return a function that says whether a text is like one of the patterns.

    Unless ``cased``, the text is given in lower case already.
    """
    equal: set[str] = set()
    starts: list[str] = []
    ends: list[str] = []
    within: list[str] = []
    chains: list[tuple[str, ...]] = []
    others: list[Callable[[str], bool]] = []
    for given in patterns:
        pattern = given if cased else lowered(given)
        match pattern:
            case ():
                equal.add("")
            case (str(text),):
                equal.add(text)
            case (str(text), Wild.MANY):
                starts.append(text)
            case (Wild.MANY, str(text)):
                ends.append(text)
            case (Wild.MANY, str(text), Wild.MANY):
                within.append(text)
            case (Wild.MANY, *inner, Wild.MANY) if inner and Wild.ONE not in inner:
                chains.append(tuple(piece for piece in inner if isinstance(piece, str)))
            case _:
                others.append(_glob(pattern))
    found: list[Callable[[str], bool]] = []
    if equal:
        found.append(_one_of(frozenset(equal)))
    if starts:
        found.append(_starts(tuple(starts)))
    if ends:
        found.append(_ends(tuple(ends)))
    if within:
        found.append(_within(tuple(within)))
    if chains:
        found.append(_in_turn(chains))
    found += others
    return found[0] if len(found) == 1 else _first_of(found)


def lowered(pattern: Pattern) -> Pattern:
    """Return a pattern in lower case."""
    return tuple(part.lower() if isinstance(part, str) else part for part in pattern)


def _one_of(texts: frozenset[str]) -> Callable[[str], bool]:
    if len(texts) == 1:
        (only,) = texts
        return only.__eq__
    return texts.__contains__


def _starts(texts: tuple[str, ...]) -> Callable[[str], bool]:
    return lambda text: text.startswith(texts)


def _ends(texts: tuple[str, ...]) -> Callable[[str], bool]:
    return lambda text: text.endswith(texts)


def _within(texts: tuple[str, ...]) -> Callable[[str], bool]:
    if len(texts) == 1:
        (only,) = texts
        return lambda text: only in text

    def within(text: str) -> bool:
        for one in texts:  # noqa: SIM110 - a generator would cost more than the search
            if one in text:
                return True
        return False

    return within


def _in_turn(chains: Sequence[tuple[str, ...]]) -> Callable[[str], bool]:
    """Return the test for texts that must stand one behind the other, anywhere."""
    beginnings = [(chain[0], chain) for chain in chains]

    def in_turn(text: str) -> bool:
        for first, chain in beginnings:
            if first in text:
                at = 0
                for one in chain:
                    at = text.find(one, at)
                    if at < 0:
                        break
                    at += len(one)
                else:
                    return True
        return False

    return in_turn


def _first_of(found: Sequence[Callable[[str], bool]]) -> Callable[[str], bool]:
    def first_of(text: str) -> bool:
        for one in found:  # noqa: SIM110 - as above
            if one(text):
                return True
        return False

    return first_of


# Patterns with wildcards inside


def _glob(pattern: Pattern) -> Callable[[str], bool]:
    """Return the test for any pattern: the parts between ``*`` are looked for in turn, each as early as it stands.

    What is found first leaves most room for the rest, so nothing is ever tried twice.
    """
    parts: list[list[str | Wild]] = [[]]
    for piece in pattern:
        if piece is Wild.MANY:
            parts.append([])
        else:
            parts[-1].append(piece)
    first, *middle = map(_Part, parts)
    if not middle:
        return lambda text: len(text) == first.length and first.stands(text, 0)
    last = middle.pop()
    between = [part for part in middle if part.length]

    def test(text: str) -> bool:
        end = len(text) - last.length
        if end < first.length or not first.stands(text, 0) or not last.stands(text, end):
            return False
        at = first.length
        for part in between:
            at = part.after(text, at, end)
            if at < 0:
                return False
        return True

    return test


class _Part:
    """Text and ``?`` between two ``*``: of one length, whatever stands for the ``?``."""

    __slots__ = ("_search", "_stands", "_text", "length")

    def __init__(self, pieces: Sequence[str | Wild]) -> None:
        """Take the pieces in order."""
        self.length = sum(1 if isinstance(piece, Wild) else len(piece) for piece in pieces)
        plain = [piece for piece in pieces if isinstance(piece, str)]
        self._text = "".join(plain) if len(plain) == len(pieces) else None
        if self._text is None:
            body = "".join("." if isinstance(piece, Wild) else re.escape(piece) for piece in pieces)
            expression = re.compile(body, re.DOTALL)
            self._search, self._stands = expression.search, expression.match

    def stands(self, text: str, at: int) -> bool:
        """Return whether it stands at a place."""
        return text.startswith(self._text, at) if self._text is not None else self._stands(text, at) is not None

    def after(self, text: str, start: int, end: int) -> int:
        """Return the place behind where it stands first between two places, -1 when it does not."""
        if self._text is not None:
            at = text.find(self._text, start, end)
            return at if at < 0 else at + self.length
        found = self._search(text, start, end)
        return -1 if found is None else found.end()


# Regular expressions


def expression_matcher(expression: re.Pattern[str]) -> Callable[[str], bool]:
    """Return a function that says whether an expression is found in a text; RuleProblem when it cannot be.

    RE2 runs it: it never goes back, so no text takes it longer than its length. It has no look-around and no
    references to groups; Sigma's expressions have neither.
    """
    import re2

    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    flags = "".join(letter for flag, letter in _FLAGS.items() if expression.flags & flag)
    try:
        compiled = re2.compile(f"(?{flags}){expression.pattern}" if flags else expression.pattern, options)
    except (re2.error, UnicodeEncodeError) as exc:
        said = exc.args[0].decode(errors="replace") if exc.args and isinstance(exc.args[0], bytes) else str(exc)
        raise RuleProblem(
            f"the regular expression {expression.pattern!r} cannot be run in bounded time ({said}); look-around"
            " and references to groups are no part of Sigma: say it with `not` and a second selection"
        ) from exc
    search = compiled.search
    if "$" not in expression.pattern or expression.flags & re.MULTILINE:
        return lambda text: search(text.encode("utf-8", "surrogatepass")) is not None

    def before_last_newline(text: str) -> bool:
        # `$` stands before a newline that ends the text too; RE2 sees only the very end.
        raw = text.encode("utf-8", "surrogatepass")
        return search(raw) is not None or (raw.endswith(b"\n") and search(raw[:-1]) is not None)

    return before_last_newline
