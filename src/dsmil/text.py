"""Text from outside, made safe to print and to write."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# C0 and C1 controls, DEL, line and paragraph separators, zero-width and bidirectional marks, surrogates,
# and the tag characters: each can move the cursor, forge a line or hide text in a terminal or a log.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code <= 0xFF:  # noqa: PLR2004 - one byte
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - one plane


def printable(value: object, limit: int | None = None) -> str:
    """Return ``value`` as one line of text in which nothing can act on a terminal.

    ``limit`` is the greatest number of characters; longer text ends in an ellipsis.
    """
    text = _UNSAFE.sub(_escape, str(value))
    if limit is not None and len(text) > limit:
        return text[: limit - 1] + "…" if limit > 0 else ""
    return text


def printable_json(document: str) -> str:
    r"""Return a JSON text with every unsafe character written as a ``\\uXXXX`` escape: still the same JSON."""

    def escape(match: re.Match[str]) -> str:
        code = ord(match.group())
        # These three can only stand between tokens: inside strings JSON has them escaped already.
        if match.group() in "\n\r\t":
            return "\n" if match.group() == "\n" else " "
        if code > 0xFFFF:  # noqa: PLR2004 - needs a surrogate pair in JSON
            code -= 0x10000
            return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
        return f"\\u{code:04x}"

    return _UNSAFE.sub(escape, document)


def file_name(path: str | Path) -> str:
    """Return the name of a file as text that can be written anywhere: what is no UTF-8 in it is replaced."""
    return os.fsencode(path).decode(errors="replace")
