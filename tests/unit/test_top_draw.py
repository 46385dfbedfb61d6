"""``dsmil top``: frames fit their terminal, whatever is in them."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from dsmil.cli._top_cells import bars, count, cut, rate, span
from dsmil.cli._top_draw import PICK_NAMES, Frame, draw
from dsmil.cli._top_model import Alarm, Group, Part, Stream, View

EVIL = "\x1b[31mred\rover\u202eback\x9b31m[bold red]markup[/] 宽宽宽 \x07\nforged line"
SIZES = [(80, 24), (160, 50), (40, 10), (300, 100), (120, 30), (150, 12), (10, 3), (1, 1)]


def view(text: str = "text", many: int = 3, **given: Any) -> View:
    alarms = [
        Alarm(
            ts=float(i),
            event_id=text,
            severity="HIGH",
            original_severity="LOW",
            escalated=True,
            category=text,
            title=f"{i} {text}",
            flow=text,
        )
        for i in range(many)
    ]
    group = Group(name=text, lag=5, pending=1, out_per_s=1234567.0, curve=[0.0, 3.0, 9.0])
    fields: dict[str, Any] = {
        "at": 1_700_000_000.0,
        "version": text,
        "uptime_s": 100_000.0,
        "broker": {"address": text, "used_memory": 95, "maxmemory": 100, "durability": text, "version": text},
        "store": {
            "rows": {"raw": 1, "soc": 2},
            "file_bytes": 1,
            "used_bytes": 1,
            "limit_bytes": 9,
            "tmpfs_bytes": 8,
            "lasts_s": 60.0,
        },
        "shrink": {"age_s": 1.0, "fresh": True, "metrics": {"crisis_level": 0.5, "risk_acute_stress": text}},
        "streams": [Stream(name=text, length=10**9, in_per_s=None, groups=[group, group])] * many,
        "parts": [
            Part(
                device=52,
                name=text,
                service=text,
                state="ERROR",
                alive=True,
                age_s=3.0,
                per_s=4.0,
                dead=1,
                memory_mb=40.0,
                problems=text,
            )
        ]
        * many,
        "dead_letters": {"count": 1, "newest": {"cause": text, "detail": text, "service": text, "last_seen": 1.0}},
        "events": dict.fromkeys(PICK_NAMES, alarms),
    }
    return View(**(fields | given))


def printed(shown: View | None, frame: Frame, **colours: Any) -> str:
    """Return what reaches the terminal."""
    out = io.StringIO()
    screen = Console(file=out, width=frame.width, highlight=False, emoji=False, markup=False, **colours)
    screen.print(draw(shown, frame), soft_wrap=True)
    return out.getvalue().removesuffix("\n")


NOTHING: dict[str, Any] = {
    "streams": [],
    "parts": [],
    "events": {},
    "broker": {"address": "a", "error": EVIL},
    "store": {"path": "p", "error": EVIL},
    "shrink": None,
    "dead_letters": {"count": None, "newest": None},
    "version": None,
}
VIEWS = {"usual": view(), "none": None, "nothing": view(**NOTHING), "hostile": view(EVIL), "many": view(many=60)}


@pytest.mark.parametrize("width,height", SIZES)  # noqa: PT006 - as pytest shows it
@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("overlay", [False, True])
def test_a_frame_fills_its_terminal_exactly(name: str, width: int, height: int, overlay: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    lines = printed(VIEWS[name], Frame(width=width, height=height, help=overlay, silent_s=3.0)).split("\n")
    assert len(lines) == height
    assert {cell_len(line) for line in lines} == {width}
    assert not {ch for line in lines for ch in line if ord(ch) < 0x20 or 0x7F <= ord(ch) < 0xA0 or ch == "\u202e"}
    assert not any(line.startswith("forged") for line in lines)


@given(st.text(max_size=200), st.integers(1, 200), st.integers(1, 60))
def test_any_text_fits(text: str, width: int, height: int) -> None:
    lines = printed(view(text), Frame(width=width, height=height)).split("\n")
    assert len(lines) == height
    assert {cell_len(line) for line in lines} == {width}


@pytest.mark.parametrize("width", [80, 200])
def test_what_is_left_out_is_what_is_well(width: int) -> None:
    """On a small terminal the queue that grows and the part that died must not be among "... more"."""
    idle = Group(name="idle", lag=0, pending=0, out_per_s=0.0, curve=[])
    late = msgspec.structs.replace(idle, name="late", lag=7)
    streams = [Stream(name=f"S{n}", length=0, in_per_s=0.0, groups=[idle, idle]) for n in range(9)]
    streams[-1].groups.append(late)
    well = Part(
        device=1,
        name="well",
        service="well",
        state="ACTIVE",
        alive=True,
        age_s=1.0,
        per_s=0.0,
        dead=0,
        memory_mb=1.0,
        problems="",
    )
    ill, gone = (msgspec.structs.replace(well, service=name) for name in ("ill", "gone"))
    parts = [*[well] * 20, msgspec.structs.replace(ill, problems="x"), msgspec.structs.replace(gone, alive=False)]
    shown = printed(view(streams=streams, parts=parts), Frame(width=width, height=24))
    assert "more" in shown
    assert all(word in shown for word in ("S8", "late", "ill", "gone"))


@given(st.text(max_size=50), st.integers(0, 60))
def test_cut_never_takes_more_room(text: str, width: int) -> None:
    assert cell_len(cut(text, width)) <= width


def test_markup_in_events_is_only_text() -> None:
    assert "[bold red]" in printed(view("[bold red]x[/]"), Frame(width=160, height=50))


def test_at_the_usual_size_everything_is_there() -> None:
    shown = printed(view(), Frame(width=80, height=24))
    for word in ("broker", "store", "shrink", "letters", "stream", "lag", "beat", "severity", "▲", "q quit"):
        assert word in shown, word
    assert shown.count("▲") >= 3


def test_small_terminals_say_what_they_leave_out() -> None:
    shown = printed(view(many=60), Frame(width=80, height=24))
    assert "more" in shown
    assert "HIGH" in shown, "events are there whatever the tables are"


def test_a_broker_that_is_away_is_red_and_pauses_show() -> None:
    shown = printed(view(**NOTHING), Frame(width=80, height=24, paused=True), force_terminal=True)
    assert "\x1b[1;31m" in shown
    assert "PAUSED" in shown


def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    shown = printed(view(), Frame(width=80, height=24), force_terminal=True)
    assert "[31m" not in shown
    assert "41m" not in shown


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (count(None), "?"),
        (count(9999), "9999"),
        (count(12_345), "12.3k"),
        (count(2.5e6), "2.5M"),
        (count(1e13), "10000.0G"),
        (rate(None), "-"),
        (rate(0), "0"),
        (rate(0.25), "0.2"),
        (span(None), "-"),
        (span(59), "59 s"),
        (span(3 * 60), "3 min"),
        (span(3660), "1 h 01 min"),
        (span(90_000), "1 d 1 h"),
        (bars([], 3), "   "),
        (bars([0, 4, 8], 4), " ▁▅█"),
    ],
)
def test_figures(shown: str, wanted: str) -> None:
    assert shown == wanted
