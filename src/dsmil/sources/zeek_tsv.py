"""Zeek logs in their own text form: header lines that name and type the columns, then one record a line.

Source: the Zeek manual, ``base/frameworks/logging/writers/ascii``. The payload has the names and types of
Zeek's JSON: times and intervals are seconds, sets and vectors are lists, what is unset is left out, and ``_path``
says which log it is.
"""

from __future__ import annotations

import functools
import math
import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from dsmil.errors import EventInvalid
from dsmil.sources import _zeek
from dsmil.sources._feed import MAX_RECORD_BYTES, RawRecord, Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from dsmil.sources._feed import Joiner, Parsed
    from dsmil.sources._mapping import Mapping

_ESCAPED: Final = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|\\)")
_UNPRINTABLE: Final = frozenset(bytes([n]) for n in (*range(32), 127)) - {b"\b", b"\t", b"\n", b"\f", b"\r"}
_CONTAINER: Final = re.compile(r"(?:set|vector|table)\[(.*)\]")
#: Longest header that is kept, bytes.
_MOST_HEAD: Final = 64 * 1024


class Header(msgspec.Struct, frozen=True):
    """What the header lines say."""

    separator: str
    unset: str
    path: str
    #: (name, what makes a value of its text).
    columns: tuple[tuple[str, Callable[[str], Any]], ...]


class _Headers:
    """Gives each record the header lines above it, and nothing for the header lines themselves."""

    def __init__(self) -> None:
        self._lines: list[RawRecord] = []
        self._head = b""

    def add(self, line: RawRecord) -> tuple[RawRecord, ...]:
        if not line.raw.startswith(b"#"):
            if not self._head and line.raw.startswith(b"ts\t"):  # Zeek's option "tsv": names, and nothing else
                self._take(RawRecord(b"#fields\t" + line.raw, line.place))
                return ()
            return (msgspec.structs.replace(line, head=self._head),)
        if line.raw.startswith(b"#separator"):
            self._lines = []
        if not line.raw.startswith((b"#close", b"#open")):
            self._take(line)
        return ()

    def _take(self, line: RawRecord) -> None:
        key = line.raw.partition(b"\t")[0]
        if len(self._head) + len(line.raw) < _MOST_HEAD:
            same = b"#separator" not in key and b"\t" in line.raw
            self._lines = [old for old in self._lines if not (same and old.raw.startswith(key + b"\t"))]
            self._lines.append(line)
        self._head = b"\n".join(kept.raw for kept in self._lines)

    def rest(self) -> tuple[RawRecord, ...]:
        return ()

    def held(self) -> list[RawRecord]:
        return self._lines


class ZeekTsv(Source):
    """One line, one event; the payload is what Zeek's JSON would say, and the line."""

    name: ClassVar[str] = "zeek-tsv"
    source: ClassVar[str] = "zeek"
    device_id: ClassVar[int] = 5
    keeps_text: ClassVar[bool] = True
    mapping: ClassVar[Mapping] = _zeek.MAPPING

    def joiner(self) -> Joiner:
        """Return what remembers the header lines."""
        return _Headers()

    def decode(self, record: RawRecord) -> dict[str, Any]:
        """Return the typed fields of a line; raises EventInvalid when they are not those of the header."""
        if len(record.raw) > MAX_RECORD_BYTES:
            raise EventInvalid("too_large", f"{len(record.raw)} bytes, at most {MAX_RECORD_BYTES} are accepted")
        header = read_header(record.head)
        cells = record.raw.decode(errors="backslashreplace").split(header.separator)
        if len(cells) != len(header.columns):
            raise EventInvalid("not_zeek", f"{len(cells)} fields, the header names {len(header.columns)}")
        fields: dict[str, Any] = {"_path": header.path} if header.path else {}
        for (name, convert), cell in zip(header.columns, cells, strict=True):
            if cell != header.unset:
                try:
                    fields[name] = convert(cell)
                except ValueError:
                    raise EventInvalid("not_zeek", f"{name}={cell[:80]!r} is not of its type") from None
        return fields

    def parse(self, record: dict[str, Any]) -> Parsed:
        """Map a record of any log."""
        return _zeek.parse(record)


@functools.lru_cache(maxsize=64)
def read_header(head: bytes) -> Header:
    """Return what header lines say; raises EventInvalid when they name no columns."""
    separator, said = "\t", {}
    for line in head.decode(errors="backslashreplace").split("\n"):
        if line.startswith("#separator"):
            separator = unescape(line.removeprefix("#separator").strip(" ")) or "\t"
            continue
        key, *values = line.split(separator)
        said[key] = values
    names, types = said.get("#fields", []), said.get("#types", [])
    if not names:
        raise EventInvalid("no_header", "no #fields above it name the columns: read the log from its first line")
    if len(set(names)) < len(names) or (types and len(types) != len(names)):
        raise EventInvalid("no_header", f"{len(names)} #fields and {len(types)} #types do not make columns")
    one = {key: (said.get(key) or [default])[0] for key, default in _DEFAULTS.items()}
    unset, empty, parts = one["#unset_field"], one["#empty_field"], unescape(one["#set_separator"])
    kinds = types or ["string"] * len(names)
    columns = tuple((name, _converter(kind, unset, empty, parts)) for name, kind in zip(names, kinds, strict=True))
    return Header(separator, unset, one["#path"], columns)


_DEFAULTS: Final = {"#set_separator": ",", "#empty_field": "(empty)", "#unset_field": "-", "#path": ""}


def _converter(kind: str, unset: str, empty: str, parts: str) -> Callable[[str], Any]:
    """Return what makes a value of a column's text. A type that is not known is text."""
    container = _CONTAINER.fullmatch(kind)
    if container is None:
        return _SCALARS.get(kind) or (lambda text: "" if text == empty else unescape(text))
    element = _SCALARS.get(container.group(1)) or (lambda text: "" if text == empty else unescape(text))

    def elements(text: str) -> list[Any]:
        if text in (empty, ""):
            return []
        return [None if part == unset else element(part) for part in text.split(parts)]

    return elements


def unescape(text: str) -> str:
    r"""Return text with ``\x09`` and ``\\`` resolved.

    Control characters that JSON has no letter for, and bytes that are no UTF-8, stay escaped: so they are in JSON.
    """
    if "\\" not in text:
        return text
    return _ESCAPED.sub(_resolved, text.encode()).decode(errors="backslashreplace")


def _resolved(match: re.Match[bytes]) -> bytes:
    if match[1] is None:
        return b"\\"
    byte = bytes.fromhex(match[1].decode())
    return match[0].lower() if byte in _UNPRINTABLE else byte


def _bool(text: str) -> bool:
    if text not in {"T", "F", "1", "0", "true", "false"}:
        raise ValueError(text)
    return text in {"T", "1", "true"}


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _time(text: str) -> float | str:
    """Return Unix seconds; a log may also be set to ISO 8601, as its JSON."""
    return text if "T" in text else _real(text)


def _port(text: str) -> int:
    return int(text.partition("/")[0])


_SCALARS: Final[dict[str, Callable[[str], Any]]] = {
    "bool": _bool,
    "count": int,
    "counter": int,
    "int": int,
    "port": _port,
    "double": _real,
    "interval": _real,
    "time": _time,
}

SOURCE = ZeekTsv
