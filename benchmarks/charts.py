"""Bars and curves as SVG, which read well on light and on dark pages."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.results import Row

WIDTH, NAMES, NUMBERS = 720, 130, 150
ROW, BAR, HEAD = 24, 14, 46
LEFT, BOTTOM, STEP, RISE = 60, 280, 120, 56  # of curves
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 14px }
.bar { fill: #8c959f } .ours { fill: #0969da } .spread { stroke: #24292f; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .bar { fill: #6e7681 } .ours { fill: #4493f8 } .spread { stroke: #e6edf3 }
}
"""
CURVES = """
.axis { stroke: #8c959f; fill: none } .ideal { stroke: #8c959f; stroke-dasharray: 5 4; fill: none }
.curve { stroke-width: 2.5; fill: none }
.c0 { stroke: #0969da } .c1 { stroke: #bc4c00 } .c2 { stroke: #1a7f37 }
@media (prefers-color-scheme: dark) {
  .c0 { stroke: #4493f8 } .c1 { stroke: #db6d28 } .c2 { stroke: #3fb950 }
}
"""


def chart(title: str, rows: Sequence[Row], *, single: bool) -> str:
    """Return a chart with a bar for each client, the fastest one on top; lines show the spread.

    With *single* the times are those of single calls.
    """
    shown = sorted((row for row in rows if row.times), key=lambda row: row.median)
    longest = max((max(row.times) for row in shown), default=1.0) or 1.0
    room = WIDTH - NAMES - NUMBERS
    parts = [f'<text class="title" x="8" y="22">{escape(title)}</text>']
    for index, row in enumerate(shown):
        top = HEAD + index * ROW
        middle, text = top + BAR / 2, top + BAR - 2
        ends = [
            NAMES + room * time / longest for time in (row.median, min(row.times), max(row.times))
        ]
        kind = "bar ours" if row.client.startswith("aioobs") else "bar"
        told = said(row.median, single=single) + (f" · {row.ratio:.2f} ×" if row.ratio else "")
        size = f'width="{ends[0] - NAMES:.1f}" height="{BAR}" rx="2"'
        across = f'x1="{ends[1]:.1f}" x2="{ends[2]:.1f}" y1="{middle}" y2="{middle}"'
        parts += [
            f'<text x="{NAMES - 8}" y="{text}" text-anchor="end">{escape(row.client)}</text>',
            f'<rect class="{kind}" x="{NAMES}" y="{top}" {size}/>',
            f'<line class="spread" {across}/>',
            f'<text x="{max(ends) + 8:.1f}" y="{text}">{told}</text>',
        ]
    return framed(parts, HEAD + len(shown) * ROW + 4)


def curves(title: str, lines: Mapping[str, Sequence[float]], unit: str) -> str:
    """Return a chart of how many times as fast 1, 2, 3, … are; dashes show what would be ideal."""
    most = max(map(len, lines.values()))
    right = LEFT + STEP * (most - 1)

    def path(kind: str, values: Sequence[float]) -> str:
        points = [
            f"{LEFT + STEP * i},{BOTTOM - RISE * value:.1f}" for i, value in enumerate(values)
        ]
        return f'<polyline class="{kind}" points="{" ".join(points)}"/>'

    middle = f'x="{(LEFT + right) // 2}" y="{BOTTOM + 40}" text-anchor="middle"'
    parts = [
        f'<text class="title" x="8" y="22">{escape(title)}</text>',
        f"<text {middle}>{escape(unit)}</text>",
        path("axis", [0.0] * most),
        path("ideal", [count + 1.0 for count in range(most)]),
    ]
    for count in range(most):
        x, y = LEFT + STEP * count, BOTTOM - RISE * (count + 1)
        parts += [
            f'<text x="{x}" y="{BOTTOM + 20}" text-anchor="middle">{count + 1}</text>',
            f'<text x="{LEFT - 12}" y="{y + 4}" text-anchor="end">{count + 1} ×</text>',
        ]
    for index, (name, values) in enumerate(lines.items()):
        x, y = right + 40, 60 + index * ROW
        parts += [
            path(f"curve c{index}", values),
            f'<line class="curve c{index}" x1="{x}" x2="{x + 26}" y1="{y - 4}" y2="{y - 4}"/>',
            f'<text x="{x + 34}" y="{y}">{escape(name)}</text>',
        ]
    return framed([f"<style>{CURVES}</style>", *parts], BOTTOM + 52)


def framed(parts: Sequence[str], height: int) -> str:
    """Return a picture with the colours of light and of dark pages."""
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><style>{STYLE}</style>'
    return "\n".join([head, *parts, "</svg>", ""])


def said(seconds: float, *, single: bool) -> str:
    """Return a time with its unit."""
    if single:
        return f"{seconds * 1e6:,.{1 if seconds < 1e-5 else 0}f} µs"
    return f"{seconds:,.2f} s" if seconds >= 1 else f"{seconds * 1e3:,.1f} ms"
