"""Small SVG drawings for the HTML page of a fit: pulls and profiles. Strings in, strings out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

import numpy as np

_ROW = 18  # px, height of one pull
_MIDDLE, _SIGMA, _WIDEST = 400.0, 55.0, 4.0  # px of zero, px a sigma, sigmas that are drawn


def _svg(title: str, width: int, height: float, parts: Iterable[str]) -> str:
    return (
        f"<h3>{escape(title)}</h3>"
        f'<svg viewBox="0 0 {width} {height:g}" role="img" aria-label="{escape(title)}" width="100%">'
        f"{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(kind: str, x1: float, x2: float, y1: float, y2: float, more: str = "") -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"{more}/>'


def _ticks(low: float, high: float) -> list[float]:
    """Four to ten round numbers between two."""
    power = 10.0 ** np.floor(np.log10((high - low) / 4.0))
    step = next(power * k for k in (1.0, 2.0, 2.5, 5.0, 10.0) if (high - low) / (power * k) <= 8.0)
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return [float(np.round(i * step, 12)) for i in range(first, last + 1)]


def pulls_drawing(name: str, pulls: Mapping[str, float]) -> str:
    """Bars of (model − data)/σ on an axis of ±4; a longer one ends there, its number is next to it."""
    width, bottom = 680, _ROW * len(pulls) + 6
    parts = []
    for sigma in range(-4, 5):
        x = _MIDDLE + sigma * _SIGMA
        parts.append(_line("axis" if sigma == 0 else "grid", x, x, 0, bottom))
        parts.append(_text(x, bottom + 14, f"{sigma:+d}" if sigma else "0", "middle"))
    for i, (label, pull) in enumerate(pulls.items()):
        length = min(abs(pull), _WIDEST) * _SIGMA
        x = _MIDDLE if pull >= 0 else _MIDDLE - length
        kind = "more" if pull >= 0 else "less"
        parts.append(f'<rect class="{kind}" x="{x:.1f}" y="{_ROW * i + 4}" width="{length:.1f}" height="11"/>')
        parts.append(_text(_MIDDLE - 4.2 * _SIGMA, _ROW * i + 14, label, "end"))
        parts.append(_text(width - 2, _ROW * i + 14, f"{pull:+.2f}", "end"))
    return _svg(f"Pulls of {name}: (model − data) / σ", width, bottom + 20, parts)


def profile_drawing(parameter: str, values: np.ndarray, delta: np.ndarray) -> str:
    """Δχ² along one parameter, with the levels 1 and 4 and ticks on both axes."""
    width, height, left, right, base = 680, 300, 56.0, 660.0, 252.0
    low, high, top = float(values[0]), float(values[-1]), max(float(np.max(delta)), 1.2) * 1.05

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    def y(value: float) -> float:
        return base - value / top * (base - 12.0)

    parts = [_line("axis", left, right, base, base), _line("axis", left, left, base, 12)]
    for tick in _ticks(low, high):
        parts += [_line("axis", x(tick), x(tick), base, base + 5), _text(x(tick), base + 19, f"{tick:g}", "middle")]
    for tick in _ticks(0.0, top):
        parts += [_line("grid", left, right, y(tick), y(tick)), _text(left - 7, y(tick) + 4, f"{tick:g}", "end")]
    for level, name in ((1.0, "Δχ² = 1"), (4.0, "Δχ² = 4")):
        if level <= top:
            parts.append(_line("axis", left, right, y(level), y(level), ' stroke-dasharray="5 4"'))
            parts.append(_text(0.5 * (left + right), y(level) - 4, name, "middle"))
    points = " ".join(f"{x(float(v)):.1f},{y(float(d)):.1f}" for v, d in zip(values, delta, strict=True))
    parts.append(f'<polyline class="curve" points="{points}"/>')
    parts.append(_text(0.5 * (left + right), base + 40, parameter, "middle"))
    parts.append(_text(6, 10, "Δχ²"))
    return _svg(f"Profile of {parameter}", width, height, parts)
