"""Two kinds of plots as SVG text: bars in groups, and lines over logarithmic axes."""

from __future__ import annotations

import math
from html import escape

COLORS = (
    "#5b6b7b",
    "#1b7f4d",
    "#2f9fd0",
    "#c2701b",
    "#b03a48",
    "#7d5ba6",
    "#8a8a2b",
    "#3f8f8f",
    "#a0522d",
    "#555555",
    "#d17ab3",
)
Series = dict[str, list[tuple[float, float]]]


def document(width: float, height: float, parts: list[str]) -> str:
    box = f'viewBox="0 0 {width:g} {height:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="sans-serif" font-size="12">'
    return (
        "\n".join(
            [head, f'<rect width="{width:g}" height="{height:g}" fill="white"/>', *parts, "</svg>"]
        )
        + "\n"
    )


def text(x: float, y: float, words: str, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, color: str = "#dddddd") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"/>'


def swatch(number: int, name: str, x: float, y: float) -> list[str]:
    color = COLORS[number % len(COLORS)]
    return [
        f'<rect x="{x:.1f}" y="{y - 9:.1f}" width="10" height="10" fill="{color}"/>',
        text(x + 14, y, name),
    ]


def legend(names: list[str], x: float, y: float) -> list[str]:
    parts = []
    for number, name in enumerate(names):
        parts += swatch(number, name, x, y)
        x += 30 + 7 * len(name)
    return parts


def bars(title: str, groups: dict[str, dict[str, float]], mark: float = 1.0) -> str:
    """A horizontal bar for each value, grouped; `mark` is drawn as a line through all of them."""
    names = list(dict.fromkeys(name for values in groups.values() for name in values))
    left, bar, gap, top = 110.0, 11.0, 12.0, 60.0
    width = max(760.0, left + 60 + sum(30 + 7 * len(name) for name in names))
    most = max([mark, *(value for values in groups.values() for value in values.values())])
    scale = (width - left - 60) / most
    parts, y = [text(10, 22, title, more=' font-size="15"'), *legend(names, left, 44)], top
    for group, values in groups.items():
        parts.append(text(left - 8, y + bar * len(values) / 2 + 4, group, "end"))
        for name, value in values.items():
            color = COLORS[names.index(name) % len(COLORS)]
            parts.append(
                f'<rect x="{left}" y="{y:.1f}" width="{value * scale:.1f}" height="{bar - 1}" fill="{color}"/>'
            )
            parts.append(
                text(left + value * scale + 4, y + bar - 2, f"{value:.2f}", more=' font-size="9"')
            )
            y += bar
        y += gap
    parts.append(line(left + mark * scale, top - 6, left + mark * scale, y, "#222222"))
    return document(width, y + 10, parts)


def decades(values: list[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def lines(title: str, series: Series, x_label: str, y_label: str) -> str:
    """Both axes logarithmic, so what grows linearly rises by one decade per decade."""
    points = [point for line_points in series.values() for point in line_points]
    x_low, x_high = decades([x for x, _ in points])
    y_low, y_high = decades([y for _, y in points])
    left, top, width, height = 70.0, 60.0, 620.0, 320.0

    def x_at(value: float) -> float:
        return left + (math.log10(value) - x_low) / (x_high - x_low) * width

    def y_at(value: float) -> float:
        return top + height - (math.log10(value) - y_low) / (y_high - y_low) * height

    parts = [text(10, 22, title, more=' font-size="15"')]
    for number, name in enumerate(series):
        parts += swatch(number, name, left + width + 16, top + 14 + 18 * number)
    for power in range(x_low, x_high + 1):
        parts += [line(x_at(10**power), top, x_at(10**power), top + height)]
        parts += [text(x_at(10**power), top + height + 16, f"{10.0**power:g}", "middle")]
    for power in range(y_low, y_high + 1):
        parts += [line(left, y_at(10**power), left + width, y_at(10**power))]
        parts += [text(left - 6, y_at(10**power) + 4, f"{10.0**power:g}", "end")]
    for number, line_points in enumerate(series.values()):
        color = COLORS[number % len(COLORS)]
        path = " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in line_points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x_at(x):.1f}" cy="{y_at(y):.1f}" r="3" fill="{color}"/>'
            for x, y in line_points
        ]
    parts += [
        text(left + width / 2, top + height + 34, x_label, "middle"),
        text(10, top - 8, y_label),
    ]
    names = max(map(len, series))
    return document(
        left + width + 40 + 7 * names, max(top + height + 46, top + 20 + 18 * len(series)), parts
    )
