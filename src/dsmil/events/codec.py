r"""The wire form: one JSON document per event, checked before anything believes it.

A fast decoder takes the last of two equal keys, and that is enough to turn CRITICAL into LOW. So a document
counts as clean only when encoding what was decoded gives the very same bytes: an encoder cannot write a key
twice, nor white space, nor a field it does not know. Documents of others are believed in the same way when they
are written as compactly, or as Python writes them by default. Everything else takes the slow, exact path.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

import msgspec
from msgspec import UNSET

from dsmil.errors import EventInvalid
from dsmil.events import devices, ids
from dsmil.events.model import Entity, Event, SocEvent, check, parse_category, parse_severity
from dsmil.events.streams import EVENT_FIELD

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Largest event a producer may hand in, bytes of JSON.
MAX_EVENT_BYTES: Final = 256 * 1024
#: Largest event the fabric itself writes: room for a finding that carries its record, and for the fusion.
MAX_FUSED_BYTES: Final = 2 * MAX_EVENT_BYTES
#: Deepest nesting of objects and arrays.
MAX_DEPTH: Final = 32

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode
_decode_soc = msgspec.json.Decoder(SocEvent).decode
_decode_any = msgspec.json.Decoder().decode
_encode_spaced = json.JSONEncoder().encode

_DECODER_ERRORS: Final = (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError)

_EVENT_FIELDS: Final = frozenset(Event.__struct_fields__) - {"extra"}
_SOC_FIELDS: Final = frozenset(SocEvent.__struct_fields__) - {"extra"}
_ENTITY_FIELDS: Final = frozenset(Entity.__struct_fields__)
_NUMBERS: Final = {"ts", "ingest_ts", "score"}
_INTEGERS: Final = {"source_device", "source_layer", "token_id", "clearance"}
_LISTS: Final = {"techniques", "evidence", "flags"}
#: What every event has.
_IDENTITY: Final = frozenset(("event_id", "ts"))
_PARSERS: Final = (("severity", parse_severity), ("category", parse_category))
_DOCUMENTS: Final = {"payload", "entities", "techniques", "evidence", "flags"}


def encode(event: Event) -> bytes:
    """Return the wire form: compact JSON in UTF-8; raises EventInvalid for what JSON cannot say."""
    try:
        return _encode(event) if event.extra is UNSET else _encode(event.to_dict())
    except (UnicodeEncodeError, RecursionError, TypeError, OverflowError) as exc:
        raise EventInvalid("not_json", f"the event cannot be written as JSON: {exc}") from None


def encode_bounded(event: Event, max_bytes: int = MAX_EVENT_BYTES) -> bytes:
    """Return the wire form; raises EventInvalid when it is larger than its readers accept."""
    raw = encode(event)
    check_size(raw, max_bytes)
    return raw


def encode_object(fields: dict[str, Any]) -> bytes:
    """Return a plain object as JSON; raises EventInvalid for what JSON cannot say."""
    check_finite(fields)
    try:
        return _encode(fields)
    except (UnicodeEncodeError, RecursionError, TypeError, OverflowError) as exc:
        raise EventInvalid("not_json", f"the event cannot be written as JSON: {exc}") from None


def encode_checked(event: Event) -> bytes:
    """Return the wire form of an event that a program made, held to the same limits as foreign input."""
    check(event)
    raw = encode(event)
    # The encoder writes NaN and the infinities as null: no null, none of them.
    if b"null" in raw:
        check_finite([event.payload, event.extra])
    decode(raw)
    return raw


def decode(raw: bytes, *, max_bytes: int = MAX_EVENT_BYTES, fallback: Fallback | None = None) -> Event:
    """Return the event that ``raw`` says; raises EventInvalid with its cause when it says none.

    ``fallback`` supplies id and time to foreign documents that carry none.
    """
    event = decode_wire(raw, max_bytes)
    if event is None:
        return _from_fields(parse_object(raw, max_bytes=max_bytes), fallback, Event, _EVENT_FIELDS)
    return event


def decode_wire(raw: bytes, max_bytes: int = MAX_EVENT_BYTES) -> Event | None:
    """Return the event whose wire form is exactly ``raw``; None when the slow path has to say what ``raw`` is.

    Raises EventInvalid when it is too large.
    """
    check_size(raw, max_bytes)
    try:
        event = _decode(raw)
        return event if _is_clean(event, raw) else None
    except _DECODER_ERRORS:
        return None


def decode_soc(raw: bytes) -> SocEvent:
    """Return the SOC event that ``raw`` says; raises EventInvalid when it says none."""
    check_size(raw, MAX_FUSED_BYTES)
    try:
        event = _decode_soc(raw)
        if _is_clean(event, raw):
            return event
    except _DECODER_ERRORS:
        pass
    fields = parse_object(raw, max_bytes=MAX_FUSED_BYTES)
    missing = sorted({"original_severity", "escalation", "signals"} - fields.keys())
    if missing:
        raise EventInvalid("bad_field", f"not a SOC event: {', '.join(missing)} missing")
    fields.setdefault("shrink_metrics", None)
    fields.setdefault("l8_enrichment", {})
    fields["original_severity"] = parse_severity(fields["original_severity"])[0]
    return cast("SocEvent", _from_fields(fields, None, SocEvent, _SOC_FIELDS))


class Fallback(msgspec.Struct, frozen=True):
    """Identity and time for a foreign document without them: those of its stream entry."""

    #: ``STREAM/entry-id``: unique, and the same at every reading.
    place: str
    #: Unix seconds.
    ts: float


def decode_entry(fields: dict[bytes, bytes], *, max_bytes: int, fallback: Fallback) -> Event:
    """Return the event of a stream entry: the field ``event`` as JSON, or flat fields by foreign hands."""
    document = fields.get(EVENT_FIELD.encode())
    if document is not None and len(fields) == 1:
        return decode(document, max_bytes=max_bytes, fallback=fallback)
    check_size(b"".join(part for pair in fields.items() for part in pair), max_bytes)
    try:
        texts = {name.decode(): value.decode() for name, value in fields.items()}
    except UnicodeDecodeError as exc:
        raise EventInvalid("bad_utf8", f"a flat field is not UTF-8: {exc}") from None
    if document is not None:
        flat = parse_object(texts.pop(EVENT_FIELD).encode(), max_bytes=max_bytes)
        twice = sorted(flat.keys() & texts.keys())
        if twice:
            raise EventInvalid("duplicate_key", f"both in the document and beside it: {', '.join(twice)}")
        flat.update(_typed(texts))
    else:
        flat = _typed(texts)
    return _from_fields(flat, fallback, Event, _EVENT_FIELDS)


def _typed(texts: dict[str, str]) -> dict[str, Any]:
    """Give flat text fields the types of the event's fields; unknown ones stay text."""
    flat: dict[str, Any] = {}
    for name, text in texts.items():
        try:
            if name in _INTEGERS:
                flat[name] = int(text, 0)
            elif name in _NUMBERS:
                flat[name] = float(text)
            elif name in _LISTS and text[:1] != "[":
                flat[name] = [part.strip() for part in text.split(",") if part.strip()]
            elif name in _DOCUMENTS:
                flat[name] = _parse(text.encode()) if text[:1] in {"{", "["} else {"text": text}
            else:
                flat[name] = text
        except EventInvalid:
            raise
        except ValueError:
            raise EventInvalid("bad_field", f"{name}={text[:40]!r} is not a number") from None
    return flat


def parse_object(raw: bytes, *, max_bytes: int = MAX_EVENT_BYTES) -> dict[str, Any]:
    """Return the JSON object ``raw`` is, exactly: no key twice, no NaN, no lone surrogate, no deep nesting."""
    check_size(raw, max_bytes)
    try:
        document = _decode_any(raw)
        if not (_is_said_once(document, raw) and (_has_few_levels(raw) or _is_within([document], MAX_DEPTH))):
            document = _parse(raw)
    except _DECODER_ERRORS:
        document = _parse(raw)
    if not isinstance(document, dict):
        raise EventInvalid("not_an_object", f"the document is {type(document).__name__}, not an object")
    return document


def check_size(raw: bytes, max_bytes: int) -> None:
    """Raise EventInvalid when a document is too large."""
    if len(raw) > max_bytes:
        raise EventInvalid("too_large", f"{len(raw)} bytes, at most {max_bytes} are accepted")


def _is_clean(event: Event, raw: bytes) -> bool:
    return _encode(event) == raw and event.extra is UNSET and (_has_few_levels(raw) or _is_shallow(event))


def _is_shallow(event: Event) -> bool:
    """Return whether the documents in an event, itself the first level, are not too deep."""
    documents: list[Any] = [event.payload]
    if isinstance(event, SocEvent):
        documents += [event.signals, event.l8_enrichment, event.shrink_metrics or {}]
        documents.append(list(event.escalation))
    return _is_within(documents, MAX_DEPTH - 1)


def _is_said_once(document: Any, raw: bytes) -> bool:  # noqa: ANN401 - any JSON value
    """Return whether an encoder wrote ``raw``, one that is known: no key is in it twice then."""
    return _encode(document) == raw or (b'": ' in raw and _encode_spaced(document).encode() == raw)


def _has_few_levels(raw: bytes) -> bool:
    # Fewer openers than levels allowed: it cannot be too deep, and counting bytes is nearly free.
    return raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH


def _is_within(containers: Sequence[Any], levels: int) -> bool:
    """Return whether objects and arrays, as a decoder makes them, have at most so many levels."""
    while containers:
        if not levels:
            return False
        levels -= 1
        containers = [
            value
            for one in containers
            for value in (one.values() if one.__class__ is dict else one)
            if value.__class__ is dict or value.__class__ is list
        ]
    return True


def _parse(raw: bytes) -> Any:  # noqa: ANN401 - any JSON value
    try:
        document = json.loads(
            raw.decode(),
            object_pairs_hook=_unique_keys,
            parse_constant=_not_finite,
            parse_float=_finite,
            parse_int=_integer,
        )
    except EventInvalid:
        raise
    except UnicodeDecodeError as exc:
        raise EventInvalid("bad_utf8", str(exc)) from None
    except RecursionError:
        raise EventInvalid("too_deep", f"nested deeper than {MAX_DEPTH}") from None
    except ValueError as exc:
        raise EventInvalid("malformed_json", str(exc)) from None
    _check_tree(document)
    return document


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise EventInvalid("duplicate_key", f"{twice[:80]!r} occurs twice in one object")
    return found


def _not_finite(text: str) -> NoReturn:
    raise EventInvalid("not_finite", f"{text} is not a number in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise EventInvalid("not_finite", f"{text[:40]} is beyond a double")
    return value


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # Python's own limit, 4,300 digits: beyond it conversion takes quadratic time
        raise EventInvalid("bad_number", f"an integer of {len(text)} digits") from None


def _check_tree(document: Any) -> None:  # noqa: ANN401 - any JSON value
    """Refuse lone surrogates and deep nesting, without recursion."""
    level = [document]
    depth = 0
    while level:
        below: list[Any] = []
        for value in level:
            if isinstance(value, str):
                _check_text(value)
            elif isinstance(value, dict):
                for key in value:
                    _check_text(key)
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
        if any(isinstance(value, dict | list) for value in level):
            depth += 1
            if depth > MAX_DEPTH:
                raise EventInvalid("too_deep", f"nested deeper than {MAX_DEPTH}")
        level = below


def check_finite(document: Any) -> None:  # noqa: ANN401 - any JSON value
    """Raise EventInvalid for a NaN or an infinity anywhere: encoders write both as null."""
    level = [document]
    while level:
        below: list[Any] = []
        for value in level:
            if isinstance(value, float) and not math.isfinite(value):
                raise EventInvalid("not_finite", f"{value} is not a number in JSON")
            if isinstance(value, dict):
                below.extend(value.values())
            elif isinstance(value, list | tuple):
                below.extend(value)
        level = below


def _check_text(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise EventInvalid("lone_surrogate", "a string holds half of a surrogate pair") from None


def _from_fields(
    fields: dict[str, Any], fallback: Fallback | None, kind: type[Event], known_fields: frozenset[str]
) -> Event:
    """Build an event from loose fields: defaults for what is missing, flags for what was mended."""
    foreign = fields.keys() - known_fields
    extra = {name: value for name, value in fields.items() if name in foreign} if foreign else {}
    known = {name: value for name, value in fields.items() if name not in foreign}
    if "source_device" not in known:
        raise EventInvalid("bad_field", "source_device is missing")
    if fallback is not None:
        known.setdefault("ts", fallback.ts)
        known.setdefault("ingest_ts", fallback.ts)
        if "event_id" not in known:
            known["event_id"] = ids.derived_id(fallback.ts, "entry", fallback.place)
    if not known.keys() >= _IDENTITY:
        raise EventInvalid("bad_field", f"{', '.join(sorted(_IDENTITY - known.keys()))} missing")
    known.setdefault("ingest_ts", known["ts"])
    flags = known.get("flags", [])
    known["flags"] = [*(flags if isinstance(flags, list) else [flags])]
    for name, parse in _PARSERS:
        known[name], flag = parse(known.get(name))
        if flag and flag not in known["flags"]:
            known["flags"].append(flag)
    _fill_defaults(known)
    try:
        event = msgspec.convert(known, kind)
    except (msgspec.ValidationError, OverflowError) as exc:
        raise EventInvalid("bad_field", _wrong(known, str(exc))) from None
    check(event)  # NaN lies within all bounds
    if any(isinstance(entity, dict) and entity.keys() - _ENTITY_FIELDS for entity in known.get("entities", ())):
        extra["entities"] = known["entities"]  # with what we do not know of them
    return event.replace(extra=extra) if extra else event


def _wrong(known: dict[str, Any], problem: str) -> str:
    """Return what is wrong with a field, and its value where one can be shown."""
    name = problem.rpartition("`$.")[2].rstrip("`")
    value = known.get(name)
    if isinstance(value, int) and abs(value) >= 1 << 64:  # it may have too many digits to print
        value = "a huge number"
    return problem if value is None else f"{name}={value!r:.60}: {problem}"


def _fill_defaults(known: dict[str, Any]) -> None:
    """Add the documented defaults of fields that a foreign document lacks."""
    device, layer = known["source_device"], known.get("source_layer")
    if isinstance(device, int) and not isinstance(device, bool):
        if device not in devices.DEVICES:
            shown = device if abs(device) < 1 << 32 else "a huge number"  # it may have too many digits to print
            raise EventInvalid("bad_field", f"source_device={shown} is not 0-{devices.LAST_DEVICE}")
        layer = known.setdefault("source_layer", devices.device(device).layer or 3)
        known.setdefault("token_id", devices.token_id(device))
    known.setdefault("clearance", devices.clearance(layer) if isinstance(layer, int) else 0)
    known.setdefault("token_id", 0)
    for name, default in (("payload", {}), ("source", ""), ("compartment", "GENERAL")):
        known.setdefault(name, default)
