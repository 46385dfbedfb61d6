"""Bar charts as SVG, written by hand: two colours, no library."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 760, 250, 110, 30, 44
_OURS, _OTHERS = "#1f6feb", "#9aa4af"


def bars(title: str, rows: Sequence[tuple[str, float, float, float, bool]], unit: str) -> str:
    """Return a chart of rows (name, median, least, most, ours), longest first as given."""
    most = max((row[3] for row in rows), default=1.0) or 1.0
    height = _TOP + _ROW * len(rows) + 14
    scale = (_WIDTH - _LEFT - _RIGHT) / most
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
        f' role="img" aria-label="{escape(title, quote=True)}" font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="24" font-size="15" font-weight="bold" fill="#1b1f24">{escape(title)}</text>',
    ]
    for n, (name, value, low, high, ours) in enumerate(rows):
        y = _TOP + n * _ROW
        end = _LEFT + value * scale
        middle = y + _ROW / 2 - 4
        parts += [
            f'<text x="{_LEFT - 8}" y="{middle + 5:.1f}" text-anchor="end" fill="#1b1f24">{escape(name)}</text>',
            f'<rect x="{_LEFT}" y="{y}" width="{max(value * scale, 1):.1f}" height="{_ROW - 8}"'
            f' fill="{_OURS if ours else _OTHERS}"/>',
            f'<line x1="{_LEFT + low * scale:.1f}" x2="{_LEFT + high * scale:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"'
            ' stroke="#1b1f24" stroke-width="1.5"/>',
            f'<text x="{max(end, _LEFT + high * scale) + 6:.1f}" y="{middle + 5:.1f}" fill="#1b1f24">'
            f"{_number(value)} {escape(unit)}</text>",
        ]
    return "\n".join([*parts, "</svg>", ""])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 10 else f"{value:.0f}"
