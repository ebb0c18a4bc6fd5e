"""The changed bills as bars, in one SVG file that any browser shows."""

from __future__ import annotations

from html import escape
from typing import Final

from tools.amounts import format_tokens
from tools.output import printable

MAX_BARS: Final = 40
ROW_PX: Final = 26
NAME_PX: Final = 170
BAR_PX: Final = 260
WIDTH_PX: Final = NAME_PX + 2 * BAR_PX + 40
_XML: Final = 'xmlns="http://www.w3.org/2000/svg" font-family="sans-serif"'
_MORE: Final = "#b5432a"
_LESS: Final = "#2a7a4b"


def draw_bills(report: dict) -> str:
    """Return an SVG with a bar for each member: to the right who would pay more, left who less."""
    members = [entry for entry in report["members"] if entry["bill_change_micro"]][:MAX_BARS]
    most = max((abs(entry["bill_change_micro"]) for entry in members), default=1)
    height = 90 + ROW_PX * max(1, len(members))
    middle, bar = NAME_PX + BAR_PX, ROW_PX - 9
    title = f"Changed bills, heights {report['from']} to {report['to']}"
    lines = [
        f'<svg {_XML} width="{WIDTH_PX}" height="{height}" font-size="13">',
        f'<rect width="{WIDTH_PX}" height="{height}" fill="white"/>',
        _text(12, 24, title, 'font-size="16" font-weight="bold"'),
        _text(12, 44, "under " + "; ".join(report["changes"]), 'fill="#444"'),
        _text(middle - 8, 66, "pays less", f'text-anchor="end" fill="{_LESS}"'),
        _text(middle + 8, 66, "pays more (tokens)", f'fill="{_MORE}"'),
    ]
    if not members:
        lines.append(_text(12, 92, "No bill would change."))
    for row, entry in enumerate(members):
        change = entry["bill_change_micro"]
        top = 76 + ROW_PX * row
        length = max(1, abs(change) * (BAR_PX - 90) // most)
        left, color = (middle, _MORE) if change > 0 else (middle - length, _LESS)
        amount = ("+" if change > 0 else "-") + format_tokens(abs(change))
        end, anchor = (left + length + 6, "start") if change > 0 else (left - 6, "end")
        lines += [
            _text(12, top + 15, entry["name"]),
            f'<rect x="{left}" y="{top + 3}" width="{length}" height="{bar}" fill="{color}"/>',
            _text(end, top + 15, amount, f'text-anchor="{anchor}"'),
        ]
    bottom = height - 10
    lines.append(f'<line x1="{middle}" y1="72" x2="{middle}" y2="{bottom}" stroke="#888"/>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _text(x: int, y: int, words: str, style: str = "") -> str:
    return f'<text x="{x}" y="{y}" {style}>{escape(printable(words))}</text>'
