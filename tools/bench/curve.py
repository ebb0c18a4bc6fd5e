"""A curve of percentages over counts, the counts on a logarithmic axis, as one SVG file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

LEFT: Final = 60
TOP: Final = 50
WIDTH: Final = 560
HEIGHT: Final = 300
_GRID: Final = "#ddd"
_CURVE: Final = "#1f5fa8"


def draw_curve(title: str, below: str, points: Sequence[tuple[int, float]]) -> str:
    """Return an SVG of at least two points (count, percent), counts rising."""
    first, last = math.log(points[0][0]), math.log(points[-1][0])

    def place(count: int, percent: float) -> tuple[float, float]:
        across = (math.log(count) - first) / (last - first)
        return round(LEFT + WIDTH * across, 1), round(TOP + HEIGHT * (1 - percent / 100), 1)

    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="12" '
            f'width="{LEFT + WIDTH + 40}" height="{TOP + HEIGHT + 60}">'
        ),
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="28" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for percent in range(0, 101, 20):
        _, y = place(points[0][0], percent)
        lines += [
            f'<line x1="{LEFT}" y1="{y}" x2="{LEFT + WIDTH}" y2="{y}" stroke="{_GRID}"/>',
            f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{percent}</text>',
        ]
    path = []
    for count, percent in points:
        x, y = place(count, percent)
        path.append(f"{x},{y}")
        lines += [
            f'<text x="{x}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{count}</text>',
            f'<circle cx="{x}" cy="{y}" r="3" fill="{_CURVE}"/>',
        ]
    lines += [
        f'<polyline points="{" ".join(path)}" fill="none" stroke="{_CURVE}" stroke-width="2"/>',
        (
            f'<text x="{LEFT + WIDTH // 2}" y="{TOP + HEIGHT + 42}" text-anchor="middle">'
            f"{escape(below)}</text>"
        ),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
