"""Bars with their spread, as SVG: enough of a plot to need no library for it."""

from collections.abc import Mapping
from xml.sax.saxutils import escape

WIDTH, LABEL, ROW, BAR, TOP = 900, 420, 30, 18, 44
INK, FILL = "#24292f", "#4f83cc"
FONT = f'font-family="sans-serif" font-size="13" fill="{INK}"'
VALUE = 90
"""Room for the number behind the longest bar."""


def bars(title: str, values: Mapping[str, tuple[float, float, float]]) -> str:
    """A bar for each name: its median, with a line from the least to the most value."""
    most = max((highest for _, _, highest in values.values()), default=0.0) or 1.0
    scale = (WIDTH - LABEL - VALUE) / most
    height = TOP + ROW * len(values) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" {FONT}>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="24" font-size="16" font-weight="bold">{escape(title)}</text>',
    ]
    for row, (name, (least, median, highest)) in enumerate(values.items()):
        parts += _bar(name, TOP + ROW * row, least * scale, median * scale, highest * scale, median)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(name: str, y: float, least: float, median: float, highest: float, value: float) -> list[str]:
    middle = y + BAR / 2
    return [
        f'<text x="{LABEL - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
        f'<rect x="{LABEL}" y="{y}" width="{median:.1f}" height="{BAR}" fill="{FILL}"/>',
        f'<path d="M{LABEL + least:.1f} {middle}H{LABEL + highest:.1f}" stroke="{INK}"/>',
        f'<text x="{LABEL + max(median, highest) + 6:.1f}" y="{y + 14}">{value:,.4g}</text>',
    ]
