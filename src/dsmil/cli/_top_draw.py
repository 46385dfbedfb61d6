"""Drawing ``dsmil top``: a view becomes lines that fit the terminal. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.text import Text

from dsmil.cli._events import STYLES
from dsmil.cli._shared import safe, size
from dsmil.cli._top_cells import Column, bars, count, cut, fitted, heading, line, rate, span
from dsmil.cli._top_model import CURVE_POINTS, Alarm, Group, Part, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dsmil.cli._top_model import View

PICK_NAMES: Final = {"all": "all", "high": "HIGH and CRITICAL", "escalated": "escalated"}
#: Columns from which the two tables stand side by side.
_WIDE: Final = 150
#: Lines from which there is room between the panes.
_TALL: Final = 30
_LEAST_EVENTS: Final = 4
_NO_LIMIT_EVENTS: Final = 20
_STATES: Final = {"ONLINE": "green", "BUSY": "yellow", "OFFLINE": "dim"}
_HELP: Final = (
    "q  quit",
    "p  pause: the frame stands still; figures are still taken",
    "+  refresh less often        -  refresh more often",
    "s  events: all, HIGH and CRITICAL, escalated",
    "?  this help",
    "",
    "lag: entries that a group has not read    pending: in work, or waiting for a retry",
    "dead: dead letters since the part started    ▲: severity was raised",
)


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """How to show it."""

    width: int
    #: Lines; None for as many as it takes.
    height: int | None = None
    interval_s: float = 1.0
    pick: str = "all"
    paused: bool = False
    help: bool = False
    #: Seconds since the last answer, when it is overdue.
    silent_s: float | None = None
    #: Whether there is a keyboard.
    keys: bool = True


def draw(view: View | None, frame: Frame) -> Text:
    """Return the frame: lines of exactly its width, and exactly its height when it has one."""
    lines = _head(view, frame)
    if view is not None:
        room = None if frame.height is None else frame.height - len(lines) - frame.keys
        lines += _body(view, frame, room)
    if frame.height is not None:
        keep = max(frame.height - frame.keys, 0)
        lines = lines[:keep] + [Text()] * (keep - len(lines))
    if frame.keys:
        lines.append(_foot(frame))
    return Text("\n", no_wrap=True).join(fitted(each, frame.width) for each in lines)


def _head(view: View | None, frame: Frame) -> list[Text]:
    title = Text("dsmil top", style="bold")
    if view is None:
        return [title, Text("looking ...")]
    left = f"  {safe(view.version or '')}  up {span(view.uptime_s)}" if view.version else "  no instance of ours"
    title.append(left, style="not bold")
    clock = datetime.fromtimestamp(view.at, UTC).strftime("%H:%M:%S UTC")
    state = Text()
    if frame.silent_s is not None:
        state.append(f"no answer for {frame.silent_s:.0f} s  ", style="bold red")
    if frame.paused:
        state.append("PAUSED  ", style="bold yellow")
    state.append(clock)
    gap = max(frame.width - title.cell_len - state.cell_len, 1)
    return [
        title.append(" " * gap).append_text(state),
        _broker(view.broker),
        _store(view.store),
        _shrink(view.shrink),
        _letters(view),
    ]


def _said(name: str, text: str, style: str = "") -> Text:
    return Text(f"{name:<8}").append(text, style=style)


def _broker(broker: dict[str, Any]) -> Text:
    if "error" in broker:
        return _said("broker", safe(f"{broker['error']} ({broker['address']})"), "bold red")
    limit = size(broker["maxmemory"]) if broker["maxmemory"] else "no limit"
    memory = f"{size(broker['used_memory'])} / {limit}"
    facts = f"memory {memory}  fsync {broker['durability']}  {broker['version']}  {broker['address']}"
    full = bool(broker["maxmemory"]) and broker["used_memory"] > 0.9 * broker["maxmemory"]
    return _said("broker", safe(facts), "bold red" if full else "")


def _store(store: dict[str, Any]) -> Text:
    if "error" in store:
        return _said("store", safe(store["error"]), "bold red")
    rows = f"{count(store['rows']['raw'])} raw + {count(store['rows']['soc'])} SOC rows"
    tmpfs = f" / tmpfs {size(store['tmpfs_bytes'])}" if store["tmpfs_bytes"] else ""
    room = (
        f"file {size(store['file_bytes'])}{tmpfs}  used {size(store['used_bytes'])} / {size(store['limit_bytes'])}"
    )
    lasts = f"  full in {span(store['lasts_s'])}" if store["lasts_s"] is not None else ""
    return _said("store", safe(f"{rows}  {room}{lasts}"))


def _shrink(reading: dict[str, Any] | None) -> Text:
    if reading is None:
        return _said("shrink", "no reading (optional)", "dim")
    metrics = reading["metrics"] if isinstance(reading["metrics"], dict) else {}
    shown = [
        f"{label} {metrics[name]:.2f}"
        for label, name in (("stress", "risk_acute_stress"), ("crisis", "crisis_level"))
        if isinstance(metrics.get(name), int | float)
    ]
    recorded = "  recorded" if metrics.get("recorded") else ""
    old = "" if reading["fresh"] else "  OUT OF DATE"
    text = f"{'  '.join(shown) or 'no known metric'}  {span(reading['age_s'])} old{recorded}{old}"
    return _said("shrink", text, "" if reading["fresh"] else "dim")


def _letters(view: View) -> Text:
    total, newest = view.dead_letters["count"], view.dead_letters["newest"]
    if not newest:
        return _said("letters", f"{count(total)} dead letters", "" if total is None else "green")
    age = span(max(view.at - newest["last_seen"], 0.0))
    why = f"{newest['cause']} ({newest['service']}, {age} ago): {newest['detail']}"
    return _said("letters", safe(f"{count(total)} dead letters, newest {why}"), "yellow")


def _body(view: View, frame: Frame, room: int | None) -> list[Text]:
    gap = [Text()] if frame.height is None or frame.height >= _TALL else []
    wide = frame.width >= _WIDE
    width = (frame.width - 2) // 2 if wide else frame.width
    left, right = _streams(view.streams, width), _parts(view.parts, width)

    def shorter(most_left: int | None, most_right: int | None) -> tuple[list[Text], list[Text]]:
        return (
            _short(left, most_left, width, lambda: _streams(_behind_first(view.streams), width)),
            _short(right, most_right, width, lambda: _parts(_troubled_first(view.parts), width)),
        )

    if wide:
        most = None if room is None else max(room - _LEAST_EVENTS - 2 * len(gap), 2)
        tables = _beside(*shorter(most, most), width)
    else:
        spare = None if room is None else max(room - _LEAST_EVENTS - 3 * len(gap), 4)
        if spare is not None and len(left) + len(right) > spare:
            share = max(min(len(right), spare // 2), spare - len(left))
            left, right = shorter(spare - share, share)
        tables = [*left, *gap, *right]
    lines = [*gap, *tables, *gap]
    rest = _NO_LIMIT_EVENTS if room is None else max(room - len(lines) - 1, 0)
    if frame.help:
        return [*lines, Text("help", style="bold"), *map(Text, _HELP)]
    return [*lines, *_events(view.events.get(frame.pick, []), frame, rest)]


def _behind_first(streams: Sequence[Stream]) -> list[Stream]:
    """Return streams and their groups, those with the longest queue first: what is left out is what is well."""

    def behind(group: Group) -> int:
        return -((group.lag or 0) + (group.pending or 0))

    ordered = [msgspec.structs.replace(one, groups=sorted(one.groups, key=behind)) for one in streams]
    return sorted(ordered, key=lambda one: min(map(behind, one.groups), default=1))


def _troubled_first(parts: Sequence[Part]) -> list[Part]:
    """Return parts, those in trouble first."""
    return sorted(parts, key=lambda part: part.alive and not part.problems)


def _short(lines: list[Text], most: int | None, width: int, urgent: Callable[[], list[Text]]) -> list[Text]:
    """Return a table in at most so many lines; a cut one begins with what is ``urgent`` and says what it lacks."""
    if most is None or len(lines) <= most:
        return lines
    left_out = fitted(Text(f"... {len(lines) - most + 1} more", style="dim"), width)
    return [*urgent()[: max(most - 1, 0)], left_out]


def _beside(left: Sequence[Text], right: Sequence[Text], half: int) -> list[Text]:
    blank = Text(" " * half)
    return [
        Text()
        .append_text(left[i] if i < len(left) else blank)
        .append("  ")
        .append_text(right[i] if i < len(right) else blank)
        for i in range(max(len(left), len(right)))
    ]


def _elastic(columns: list[Column], width: int) -> list[Column]:
    """Return columns in which those of width 0 share what the others leave."""
    open_ones = [c for c in columns if not c.width]
    left = max(width - sum(c.width for c in columns) - len(columns) + 1, len(open_ones))
    share = left // max(len(open_ones), 1)
    first = left - share * (len(open_ones) - 1)
    widths = iter([first] + [share] * len(open_ones))
    return [msgspec.structs.replace(c, width=c.width or next(widths)) for c in columns]


def _streams(streams: Sequence[Stream], width: int) -> list[Text]:
    columns = _elastic(
        [
            Column("stream", 10),
            Column("length", 7, right=True),
            Column("in/s", 6, right=True),
            Column("group", 0),
            Column("lag", 6, right=True),
            Column("pending", 7, right=True),
            Column("out/s", 6, right=True),
            Column("last minute", CURVE_POINTS),
        ],
        width,
    )
    lines = [heading(columns)]
    for stream in streams:
        groups: Sequence[Group | None] = stream.groups or [None]
        for i, group in enumerate(groups):
            head = ("", "", "") if i else (stream.name, count(stream.length), rate(stream.in_per_s))
            if group is None:
                lines.append(line(columns, (*head, *[""] * 5)))
                continue
            figures = (count(group.lag), count(group.pending), rate(group.out_per_s))
            curve = bars(group.curve, CURVE_POINTS)
            styles = ["", "", "", "", "yellow" if group.lag else "", "", "", "cyan"]
            lines.append(line(columns, (*head, group.name, *figures, curve), styles))
    if not streams:
        lines.append(fitted(Text("no streams to be seen", style="dim"), width))
    return lines


def _parts(parts: Sequence[Part], width: int) -> list[Text]:
    columns = _elastic(
        [
            Column("dev", 3, right=True),
            Column("part", 17),
            Column("state", 7),
            Column("beat", 6, right=True),
            Column("events/s", 8, right=True),
            Column("dead", 5, right=True),
            Column("memory", 8, right=True),
            Column("errors", 0),
        ],
        width,
    )
    lines = [heading(columns)]
    for part in parts:
        memory = "-" if part.memory_mb is None else size(part.memory_mb * 1024**2)
        state = _STATES.get(part.state, "bold red")
        beat = span(part.age_s)
        values = (part.device, part.service or part.name, part.state, beat, rate(part.per_s), count(part.dead))
        styles = ["", "", state, "", "", "yellow" if part.dead else "", "", "red" if part.alive else "dim"]
        lines.append(line(columns, (*values, memory, part.problems), styles))
    if not parts:
        lines.append(fitted(Text("no heartbeats to be seen", style="dim"), width))
    return lines


def _events(events: Sequence[Alarm], frame: Frame, rest: int) -> list[Text]:
    columns = _elastic(
        [Column("time", 8), Column("severity", 8), Column("", 1), Column("category", 9), Column("", 0)],
        frame.width,
    )
    head = line(columns, ("time", "severity", "", "category", f"event, last in first: {PICK_NAMES[frame.pick]}"))
    head.stylize("bold")
    lines = [head]
    for event in events[:rest]:
        room = columns[-1].width
        entity = cut(event.flow, room // 2)
        title = cut(event.title, room - len(entity) - 2) if entity else event.title
        at = datetime.fromtimestamp(event.ts, UTC).strftime("%H:%M:%S") if 0 <= event.ts < 1e11 else "-"  # noqa: PLR2004 - the year 5138
        mark = "▲" if event.escalated else ""
        values = (at, event.severity, mark, event.category, f"{title}  {entity}" if entity else title)
        lines.append(line(columns, values, ["dim", STYLES.get(event.severity, ""), "bold yellow"]))
    if not events:
        lines.append(Text("no such event yet", style="dim"))
    return lines


def _foot(frame: Frame) -> Text:
    made = Text(style="reverse")
    pick = PICK_NAMES[frame.pick]
    for key, what in (
        ("q", "quit"),
        ("p", "go on" if frame.paused else "pause"),
        ("+/-", f"every {frame.interval_s:g} s"),
        ("s", f"events: {pick}"),
        ("?", "help"),
    ):
        made.append(f" {key}", style="bold").append(f" {what} ")
    return made
