"""The drawing of a market day as SVG: prices, energies, and what the trade was worth."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from tools.agents.day_template import TARIFFS
from tools.agents.market_day import DayResult

LEFT: Final = 70
WIDTH: Final = 640
HEIGHT: Final = 150
GAP: Final = 60
TOP: Final = 60
COLOURS: Final = ("#1f4e9c", "#c1440e", "#0b6e4f", "#8a2be2")
_GRID: Final = "#ddd"
_LINES: Final = 4
_TEXT: Final = 'font-family="sans-serif" font-size="12"'

Curve = tuple[str, Sequence[float | None]]
"""Name and values; a gap where there is None."""


def draw_day(result: DayResult) -> str:
    """Return an SVG document of three panels over the day's intervals."""
    intervals = list(result.record.intervals.values())
    times = [figures.local_time for figures in intervals]
    prices = [_million(figures.price_micro_per_kwh) for figures in intervals]
    retail = _million(TARIFFS.retail_micro_per_kwh)
    feed_in = _million(TARIFFS.feed_in_micro_per_kwh)
    panels: list[tuple[str, list[Curve]]] = [
        (
            "tokens per kWh",
            [
                ("local price", prices),
                ("retail", [retail] * len(times)),
                ("feed-in", [feed_in] * len(times)),
            ],
        ),
        (
            "kWh in an interval",
            [
                ("traded", [_million(each.volume_milli_wh) for each in intervals]),
                ("from upstream", [_million(each.from_upstream_milli_wh) for each in intervals]),
                ("to upstream", [_million(each.to_upstream_milli_wh) for each in intervals]),
            ],
        ),
        (
            "welfare, tokens in an interval",
            [
                ("reached", [_million(each.welfare_micro) for each in intervals]),
                ("optimum", [_million(each.optimum_micro) for each in intervals]),
            ],
        ),
    ]
    height = TOP + len(panels) * (HEIGHT + GAP)
    title = f"A market day of {len(result.members)} homes, {result.plan.mechanism}"
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" {_TEXT} '
            f'width="{LEFT + WIDTH + 130}" height="{height}">'
        ),
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="28" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (unit, curves) in enumerate(panels):
        parts += _panel(TOP + number * (HEIGHT + GAP), unit, times, curves)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(top: int, unit: str, times: Sequence[str], curves: Sequence[Curve]) -> list[str]:
    values = [value for _, each in curves for value in each if value is not None]
    high = max([*values, 0.0]) or 1.0
    parts = [f'<text x="{LEFT}" y="{top - 8}">{escape(unit)}</text>']
    for line in range(_LINES + 1):
        y = top + HEIGHT * line / _LINES
        parts += [
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{LEFT + WIDTH}" y2="{y:.1f}" stroke="{_GRID}"/>',
            (
                f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
                f"{high * (1 - line / _LINES):.3g}</text>"
            ),
        ]
    across = WIDTH / max(len(times) - 1, 1)
    for place in range(0, len(times), max(1, len(times) // 8)):
        parts.append(
            f'<text x="{LEFT + place * across:.1f}" y="{top + HEIGHT + 18}" '
            f'text-anchor="middle">{escape(times[place])}</text>'
        )
    for number, (name, each) in enumerate(curves):
        colour = COLOURS[number]
        parts += _strokes(top, high, across, each, colour)
        parts.append(
            f'<text x="{LEFT + WIDTH + 12}" y="{top + 14 + 16 * number}" fill="{colour}">'
            f"{escape(name)}</text>"
        )
    return parts


def _strokes(
    top: int, high: float, across: float, values: Sequence[float | None], colour: str
) -> list[str]:
    """Return a curve, broken where there is no value."""
    strokes: list[list[str]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            strokes.append([])
        else:
            y = top + HEIGHT * (1 - value / high)
            strokes[-1].append(f"{LEFT + place * across:.1f},{y:.1f}")
    return [
        f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for points in strokes
        if points
    ]


def _million(value: int | None) -> float | None:
    return None if value is None else value / 1_000_000
