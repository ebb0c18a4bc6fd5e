"""A drawing of a dispatch as SVG: prices over the hours, or the powers of a single hour."""

from __future__ import annotations

from html import escape
from typing import Final

from market.dispatch_certificate import Certificate
from tools.cases.case import Case
from tools.solution_file import UNITS_PER_DOLLAR

WIDTH: Final = 760
HEIGHT: Final = 420
LEFT: Final = 70
RIGHT: Final = 620
TOP: Final = 40
BOTTOM: Final = 370
COLOURS: Final = ("#0b6e4f", "#c1440e", "#1f4e9c", "#8a2be2", "#b8860b", "#c2185b", "#00838f")


def draw_solution(case: Case, hours: tuple[int, ...], certificate: Certificate) -> str:
    """Return an SVG document: prices by hour, or for one hour the units' powers."""
    title = f"{case.name}, {case.limits}"
    if len(hours) == 1:
        names = [unit.name for unit in case.problem.units]
        powers = [power / 1_000 for power in certificate.intervals[0].powers_w]
        return _document(f"{title}, hour {hours[0]}: kW injected", _bars(names, powers))
    # Buses that have one price in every hour share a line.
    series: dict[tuple[float, ...], list[str]] = {}
    for place, bus in enumerate(case.problem.network.buses):
        prices = tuple(
            result.prices[place] * 1_000 / UNITS_PER_DOLLAR for result in certificate.intervals
        )
        series.setdefault(prices, []).append(bus.name)
    return _document(f"{title}: $/kWh by hour", _curves(hours, series))


def _curves(hours: tuple[int, ...], series: dict[tuple[float, ...], list[str]]) -> list[str]:
    low = min(0.0, *(min(prices) for prices in series))
    high = max(max(prices) for prices in series) or 1.0
    across = (RIGHT - LEFT) / max(len(hours) - 1, 1)
    parts = _axis(low, high)
    for place, hour in enumerate(hours):
        if place % max(1, len(hours) // 12) == 0:
            parts.append(_text(LEFT + place * across, BOTTOM + 18, str(hour), "middle"))
    for number, (prices, buses) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(
            f"{LEFT + place * across:.1f},{_height(price, low, high):.1f}"
            for place, price in enumerate(prices)
        )
        parts.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points}"/>'
        )
        label = " ".join(buses[:3]) + (" ..." if len(buses) > 3 else "")
        parts.append(_text(RIGHT + 12, TOP + 16 * number, label, "start", colour))
    return parts


def _bars(names: list[str], powers: list[float]) -> list[str]:
    low, high = min(0.0, *powers), max(0.0, *powers) or 1.0
    across = (WIDTH - LEFT - 20) / len(names)
    parts = _axis(low, high)
    zero = _height(0.0, low, high)
    for place, (name, power) in enumerate(zip(names, powers, strict=True)):
        top = _height(power, low, high)
        x = LEFT + place * across
        size = f'width="{across * 0.8:.1f}" height="{abs(top - zero):.1f}"'
        colour = COLOURS[0] if power > 0 else COLOURS[1]
        parts.append(f'<rect x="{x:.1f}" y="{min(top, zero):.1f}" {size} fill="{colour}"/>')
        parts.append(
            f'<text transform="translate({x + across / 2:.1f},{BOTTOM + 8}) rotate(45)" '
            f'font-size="9">{escape(name)}</text>'
        )
    return parts


def _axis(low: float, high: float) -> list[str]:
    parts = []
    for step in range(6):
        value = low + (high - low) * step / 5
        y = _height(value, low, high)
        parts.append(f'<path stroke="#ddd" d="M{LEFT},{y:.1f}H{RIGHT}"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{value:.3g}", "end"))
    return parts


def _height(value: float, low: float, high: float) -> float:
    return BOTTOM - (value - low) / (high - low) * (BOTTOM - TOP)


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"


def _document(title: str, parts: list[str]) -> str:
    look = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {look}>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
            *parts,
            "</svg>\n",
        ]
    )
