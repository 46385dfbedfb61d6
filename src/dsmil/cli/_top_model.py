"""What ``dsmil top`` shows, made from one glance after another: no input, no output, no clock."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dsmil.cli._events import flow, said
from dsmil.events.streams import DEFAULT_GROUP

if TYPE_CHECKING:
    from dsmil.services.glance import Glance

#: How far back the small curves go, seconds.
CURVE_S: Final = 60.0
#: Points of a curve.
CURVE_POINTS: Final = 12
#: Growth of the store is measured over at least this long before anything is foretold from it, seconds.
_LEAST_GROWTH_S: Final = 10.0
#: Foretold times longer than this say nothing, seconds.
_LONGEST_S: Final = 100 * 86_400.0
#: Events of each pick that are kept.
KEPT_EVENTS: Final = 200


class Curve:
    """A number that only grows while its source lives, and how fast it grew in the last minute."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._points: deque[tuple[float, float]] = deque()

    def add(self, clock: float, total: float) -> None:
        """Take the number at a time; a smaller one than before means that its source began anew."""
        if self._points and clock <= self._points[-1][0]:
            return
        if self._points and total < self._points[-1][1]:
            self._points.clear()
        self._points.append((clock, total))
        while len(self._points) > 2 and self._points[1][0] <= clock - CURVE_S:  # noqa: PLR2004 - a span has two ends
            self._points.popleft()

    @property
    def rate(self) -> float | None:
        """Growth a second between the last two points; None before there are two."""
        return self._between(-2)

    def mean(self, least_s: float) -> float | None:
        """Growth a second over everything that is kept; None when that is shorter than ``least_s``."""
        if not self._points or self._points[-1][0] - self._points[0][0] < least_s:
            return None
        return self._between(0)

    def points(self) -> list[float]:
        """Return growth a second in each twelfth of the last minute, oldest first; none where nothing is known."""
        if len(self._points) < 2:  # noqa: PLR2004 - a span has two ends
            return []
        end, step = self._points[-1][0], CURVE_S / CURVE_POINTS
        first = self._points[0][0]
        found = []
        for i in range(CURVE_POINTS):
            till = end - step * (CURVE_POINTS - 1 - i)
            since = max(till - step, first)
            if till > since:
                found.append((self._at(till) - self._at(since)) / (till - since))
        return found

    def _between(self, index: int) -> float | None:
        if len(self._points) < 2:  # noqa: PLR2004 - a span has two ends
            return None
        (before, low), (after, high) = self._points[index], self._points[-1]
        return (high - low) / (after - before)

    def _at(self, clock: float) -> float:
        """Return the number at a time between two points, on the straight line between them."""
        before = self._points[0]
        for point in self._points:
            if point[0] >= clock:
                if point[0] == before[0]:
                    return point[1]
                share = (clock - before[0]) / (point[0] - before[0])
                return before[1] + share * (point[1] - before[1])
            before = point
        return before[1]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A service's place in a stream."""

    name: str
    #: Entries that it has not read; None when the broker does not know.
    lag: int | None
    pending: int
    out_per_s: float | None
    #: ``out_per_s`` over the last minute, oldest first, at most :data:`CURVE_POINTS`.
    curve: list[float]


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that somebody writes or reads."""

    name: str
    length: int
    in_per_s: float | None
    groups: list[Group]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A service, by its heartbeat."""

    device: int
    name: str
    service: str
    state: str
    alive: bool
    #: Seconds since the heartbeat; None when there was none.
    age_s: float | None
    per_s: float | None
    #: Dead letters since it started.
    dead: int
    memory_mb: float | None
    problems: str


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """A SOC event in one line."""

    ts: float
    event_id: str
    severity: str
    original_severity: str | None
    escalated: bool
    category: str
    title: str
    flow: str


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is shown; also the JSON of ``dsmil top --json``."""

    #: Unix seconds.
    at: float
    version: str | None
    uptime_s: float | None
    broker: dict[str, Any]
    store: dict[str, Any]
    shrink: dict[str, Any] | None
    streams: list[Stream]
    parts: list[Part]
    dead_letters: dict[str, Any]
    #: ``all``, ``high`` or ``escalated`` -> events, the last that came in first.
    events: dict[str, list[Alarm]]


class Model:
    """Remembers what rates, curves and the list of events need."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._curves: dict[tuple[str, ...], Curve] = {}
        self._parts: dict[int, float | None] = {}
        self._events: dict[str, list[Alarm]] = {}

    def take(self, glance: Glance) -> View:
        """Return what is to be shown after one more glance."""
        broker = {k: v for k, v in glance.broker.items() if k not in {"streams", "dead_letters", "letter"}}
        store = {k: v for k, v in glance.store.items() if k not in {"devices", "shrink"}}
        if "error" not in store:
            store["lasts_s"] = self._lasts(glance)
        return View(
            at=glance.at,
            version=glance.instance.version if glance.instance else None,
            uptime_s=max(glance.at - glance.instance.started, 0.0) if glance.instance else None,
            broker=broker,
            store=store,
            shrink=glance.store.get("shrink"),
            streams=[s for row in glance.broker.get("streams", ()) if (s := self._stream(glance.clock, row))],
            parts=[self._part(glance, row) for row in glance.store.get("devices", ())],
            dead_letters={
                "count": glance.broker.get("dead_letters"),
                "newest": glance.broker.get("letter"),
            },
            events=self._arrived(glance),
        )

    def _curve(self, *key: str) -> Curve:
        return self._curves.setdefault(key, Curve())

    def _stream(self, clock: float, row: dict[str, Any]) -> Stream | None:
        groups = [group for group in row["groups"] if group["name"] != DEFAULT_GROUP]
        added = self._curve(row["name"])
        added.add(clock, row["entries_added"])
        if not groups and not row["entries_added"]:
            return None
        return Stream(
            name=row["name"],
            length=row["length"],
            in_per_s=added.rate,
            groups=[self._group(clock, row, group) for group in groups],
        )

    def _group(self, clock: float, row: dict[str, Any], group: dict[str, Any]) -> Group:
        settled = self._curve(row["name"], group["name"])
        if group["lag"] is not None:
            settled.add(clock, max(row["entries_added"] - group["lag"] - group["pending"], 0))
        known = group["lag"] is not None
        return Group(
            name=group["name"],
            lag=group["lag"],
            pending=group["pending"],
            out_per_s=settled.rate if known else None,
            curve=settled.points() if known else [],
        )

    def _part(self, glance: Glance, row: dict[str, Any]) -> Part:
        told = row["metadata"] if isinstance(row["metadata"], dict) else {}
        problems = told.get("problems")
        problems = problems if isinstance(problems, dict) else {}
        beat = row["last_heartbeat"]
        # A heartbeat comes every few seconds; between two of them the rate stays what it was.
        curve = self._curve("part", str(row["device_id"]))
        if isinstance(beat, int | float):
            curve.add(beat, _count(told.get("processed")))
        return Part(
            device=row["device_id"],
            name=str(row["name"]),
            service=str(told.get("service") or ""),
            state=str(row["status"]) if row["alive"] else "OFFLINE",
            alive=row["alive"],
            age_s=max(glance.at - beat, 0.0) if isinstance(beat, int | float) else None,
            per_s=curve.rate if row["alive"] else None,
            dead=_count(told.get("dead")),
            memory_mb=row["memory_mb"],
            problems="; ".join(f"{name}: {text}" for name, text in problems.items()),
        )

    def _lasts(self, glance: Glance) -> float | None:
        """Return seconds until the store has grown to its limit at the pace of the last minute; None: unknown."""
        store = glance.store
        used = self._curve("store", store["path"])
        used.add(glance.clock, store["used_bytes"])
        growth = used.mean(_LEAST_GROWTH_S)
        if not growth:
            return None
        limit = min(store["limit_bytes"], store["tmpfs_bytes"] or store["limit_bytes"])
        left = max(limit - store["used_bytes"], 0) / growth
        return left if left < _LONGEST_S else None

    def _arrived(self, glance: Glance) -> dict[str, list[Alarm]]:
        if glance.anew:
            self._events = {}
        for pick, rows in glance.arrived.items():
            self._events[pick] = [*map(alarm, rows), *self._events.get(pick, ())][:KEPT_EVENTS]
        return dict(self._events)


def alarm(row: dict[str, Any]) -> Alarm:
    """Return the line of a row of ``soc_events_cache``; it may have been written by anybody's SQL."""
    severity, original = str(row["severity"]), row["original_severity"]
    context = row["context"] if isinstance(row["context"], dict) else {}
    return Alarm(
        ts=row["ts"],
        event_id=str(row["event_id"]),
        severity=severity,
        original_severity=None if original is None else str(original),
        escalated=original is not None and str(original) != severity,
        category=str(row["category"]),
        title=said(row),
        flow=flow(context.get("entities")),
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
