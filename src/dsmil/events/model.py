"""The event: one observation or finding, never edited, only replaced."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from dsmil.errors import EventInvalid
from dsmil.events import devices, ids

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_TS: Final = float(1 << 38)  # 48 bits of milliseconds, the room of a time-ordered UUID
#: Longest event id: room for foreign ones, no more.
MAX_ID: Final = 200
_MAX_INTEGER: Final = (1 << 63) - 1


class Severity(StrEnum):
    """How bad the evidence is, ordered: LOW < MEDIUM < HIGH < CRITICAL."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"

    @property
    def rank(self) -> int:
        """Place in the order, 1 (LOW) to 4 (CRITICAL)."""
        return _RANK[self]

    def raised(self, levels: int = 1) -> Severity:
        """Return the severity ``levels`` higher, CRITICAL at most."""
        return _BY_RANK[min(self.rank + levels, len(_BY_RANK) - 1)]

    # That of enumerations is written in Python, and severities are keys on the hot path.
    __hash__ = str.__hash__

    # The values are text because SQL, JSON and people read them; their order is not that of the alphabet.
    def __lt__(self, other: object) -> bool:
        """Order by rank."""
        return self.rank < _rank_of(other)

    def __le__(self, other: object) -> bool:
        """Order by rank."""
        return self.rank <= _rank_of(other)

    def __gt__(self, other: object) -> bool:
        """Order by rank."""
        return self.rank > _rank_of(other)

    def __ge__(self, other: object) -> bool:
        """Order by rank."""
        return self.rank >= _rank_of(other)


def _rank_of(other: object) -> int:
    """Return the rank of a severity or its name; TypeError else, or plain text would be compared as text."""
    if isinstance(other, str) and other in _RANK:
        return _RANK[Severity(other)]
    raise TypeError(f"a severity cannot be compared with {other!r}")


_RANK: Final[dict[Severity, int]] = {severity: rank for rank, severity in enumerate(Severity, start=1)}
_BY_RANK: Final[tuple[Severity, ...]] = (Severity.LOW, *Severity)
#: Names that other systems use, accepted on input.
SEVERITY_ALIASES: Final = {"INFO": Severity.LOW, "MODERATE": Severity.MEDIUM}


class EventCategory(StrEnum):
    """What an event is about."""

    AUTH = "AUTH"
    NETWORK = "NETWORK"
    SYSTEM = "SYSTEM"
    APP = "APP"
    INTEL = "INTEL"
    SECURITY = "SECURITY"
    CRYPTO = "CRYPTO"
    SOC = "SOC"


class Entity(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something an event is about: a host, a user, an address."""

    #: ip, port, host, user, domain, url, file, process, ...
    type: str
    value: str
    #: Its part in the event: src, dest, sensor, ... Empty when it has none.
    role: str = ""


#: The documented ranges: a decoder holds to them, and :func:`check` what a program makes.
_Time = Annotated[float, Meta(ge=0, lt=MAX_TS)]
_Natural = Annotated[int, Meta(ge=0, le=_MAX_INTEGER)]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One event, as documented in ``docs/events.md``."""

    #: UUID; time-ordered when made here.
    event_id: Annotated[str, Meta(min_length=1, max_length=MAX_ID)]
    #: When it happened, Unix seconds.
    ts: _Time
    #: Device that saw or found it, 0-103.
    source_device: Annotated[int, Meta(ge=0, le=devices.LAST_DEVICE)]
    #: Layer of that device, 2-9.
    source_layer: Annotated[int, Meta(ge=devices.FIRST_LAYER, le=devices.LAST_LAYER)]
    category: EventCategory
    severity: Severity
    #: Free JSON object.
    payload: dict[str, Any]
    #: Feed or sensor, e.g. ``suricata``.
    source: str
    compartment: str
    #: 0x8000 + 3 * device + offset.
    token_id: _Natural
    #: Clearance of the layer: byte 0x0L four times.
    clearance: _Natural
    #: When the fabric received it, Unix seconds; set once, on entry.
    ingest_ts: _Time
    #: Shared by all revisions of a growing group.
    correlation_id: str = ""
    entities: tuple[Entity, ...] = ()
    #: ATT&CK technique ids.
    techniques: tuple[str, ...] = ()
    #: Confidence of whoever found it, 0-1.
    score: Annotated[float, Meta(ge=0, le=1)] | None = None
    #: Ids of the events it rests on.
    evidence: tuple[str, ...] = ()
    #: Where the raw record came from: ``file:line``, a peer, a unit.
    origin: str = ""
    #: What was mended on the way in, e.g. ``unknown_severity:WEIRD``.
    flags: tuple[str, ...] = ()
    #: Fields this version does not know; they survive a round trip.
    extra: dict[str, Any] | UnsetType = UNSET

    def replace(self, **changes: Any) -> Event:  # noqa: ANN401 - fields have many types
        """Return a copy with some fields changed."""
        return msgspec.structs.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the event as the plain object it is on the wire."""
        fields = cast("dict[str, Any]", msgspec.to_builtins(self, str_keys=True))
        fields.pop("extra", None)
        if self.extra is not UNSET:
            fields.update(self.extra)
        return fields


class SocEvent(Event, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What the SOC Router publishes: the Layer 3/4 output, its own id kept, and how it was judged."""

    #: Severity before escalation.
    original_severity: Severity
    #: Why severity was raised: {rule, metric, value, threshold, from, to} each; empty when it was not.
    escalation: tuple[dict[str, Any], ...]
    #: What the layers said: ``l3`` {decision, score, device_id}, ``l4`` {label, confidence, device_id}.
    signals: dict[str, Any]
    #: The operator-state reading used, with its age; None when there was none.
    shrink_metrics: dict[str, Any] | None
    #: Filled by Layer 8.
    l8_enrichment: dict[str, Any]


def parse_severity(value: object) -> tuple[Severity, str]:
    """Return the severity ``value`` means, and a flag: empty, or what was unknown.

    Unknown becomes HIGH: a detection must not be lost, nor sink to the bottom, over a spelling.
    """
    if isinstance(value, Severity):
        return value, ""
    name = value.strip().upper() if isinstance(value, str) else ""
    if name in SEVERITY_ALIASES:
        return SEVERITY_ALIASES[name], ""
    try:
        return Severity(name), ""
    except ValueError:
        return Severity.HIGH, _flag("severity", value)


def parse_category(value: object) -> tuple[EventCategory, str]:
    """Return the category ``value`` means, and a flag: empty, or what was unknown (SECURITY then)."""
    if isinstance(value, EventCategory):
        return value, ""
    try:
        return EventCategory(value.strip().upper() if isinstance(value, str) else ""), ""
    except ValueError:
        return EventCategory.SECURITY, _flag("category", value)


def create_event(
    source_device: int,
    source_layer: int,
    category: EventCategory | str,
    severity: Severity | str,
    payload: dict[str, Any],
    *,
    event_id: str | None = None,
    ts: float | None = None,
    source: str = "",
    compartment: str = "GENERAL",
    token_id: int | None = None,
    clearance: int | None = None,
    ingest_ts: float | None = None,
    correlation_id: str = "",
    entities: Iterable[Entity] = (),
    techniques: Iterable[str] = (),
    score: float | None = None,
    evidence: Iterable[str] = (),
    origin: str = "",
    flags: Iterable[str] = (),
) -> Event:
    """Return a checked event; everything not given has its documented default.

    ``ts`` and ``ingest_ts`` are Unix seconds, now by default. Raises EventInvalid when a value is out of
    its documented range.
    """
    # Most events are made of checked values, and by the million: only others are looked at.
    if severity.__class__ is not Severity or category.__class__ is not EventCategory:
        severity, severity_flag = parse_severity(severity)
        category, category_flag = parse_category(category)
        flags = (*flags, *(flag for flag in (severity_flag, category_flag) if flag))
    now = time.time()
    when = now if ts is None else ts
    if not event_id:
        _check_time("ts", when)
        event_id = ids.new_id(when)
    event = Event(
        event_id=event_id,
        ts=when,
        source_device=source_device,
        source_layer=source_layer,
        category=category,
        severity=severity,
        payload=payload,
        source=source,
        compartment=compartment,
        token_id=devices.token_id(source_device) if token_id is None else token_id,
        clearance=devices.clearance(source_layer) if clearance is None else clearance,
        ingest_ts=now if ingest_ts is None else ingest_ts,
        correlation_id=correlation_id,
        entities=tuple(entities),
        techniques=tuple(techniques),
        score=score,
        evidence=tuple(evidence),
        origin=origin,
        flags=tuple(flags),
    )
    check(event)
    return event


def check(event: Event) -> None:
    """Raise EventInvalid unless every field is within its documented range; a decoder has seen to that already."""
    if not (0 <= event.source_device <= devices.LAST_DEVICE):
        raise EventInvalid("bad_field", f"source_device={_shown(event.source_device)} is not 0-103")
    if not (devices.FIRST_LAYER <= event.source_layer <= devices.LAST_LAYER):
        raise EventInvalid("bad_field", f"source_layer={_shown(event.source_layer)} is not 2-9")
    if not isinstance(event.payload, dict):
        raise EventInvalid("bad_field", f"payload is {type(event.payload).__name__}, not an object")
    if not 0 < len(event.event_id) <= MAX_ID:
        raise EventInvalid("bad_field", f"event_id has {len(event.event_id)} characters, not 1-{MAX_ID}")
    _check_time("ts", event.ts)
    _check_time("ingest_ts", event.ingest_ts)
    if not 0 <= event.token_id <= _MAX_INTEGER:
        raise EventInvalid("bad_field", f"token_id={_shown(event.token_id)} is not within 0 and 2^63-1")
    if not 0 <= event.clearance <= _MAX_INTEGER:
        raise EventInvalid("bad_field", f"clearance={_shown(event.clearance)} is not within 0 and 2^63-1")
    if event.score is not None and not 0 <= event.score <= 1:
        raise EventInvalid("bad_field", f"score={_shown(event.score)} is not 0-1")


def _shown(number: object) -> str:
    """Return a number for an error text; an integer of thousands of digits cannot even be printed."""
    huge = isinstance(number, int) and number.bit_length() > 100  # noqa: PLR2004 - more than anybody would read
    return "a huge number" if huge else f"{number!r}"[:40]


def _check_time(name: str, value: float) -> None:
    if not 0 <= value < MAX_TS:  # false for NaN as well
        raise EventInvalid("bad_field", f"{name}={_shown(value)} is not Unix seconds between 1970 and 10680")


def _flag(field: str, value: object) -> str:
    if value is None:
        return f"missing_{field}"
    return f"unknown_{field}:{(value if isinstance(value, str) else repr(value))[:40]}"
