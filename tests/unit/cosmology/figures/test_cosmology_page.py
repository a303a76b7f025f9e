"""The drawings of the HTML page, read back from their coordinates."""

import re

import numpy as np
import pytest

from campaign_cosmology.figures.drawings import profile_drawing, pulls_drawing


def ticks_of(drawing):
    """Label → x of the texts below the axis."""
    found = re.findall(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="middle">([^<]+)<', drawing)
    return {label: float(x) for x, label in found}


def test_bars_have_the_length_of_their_pulls_on_the_axis_they_stand_on():
    drawing = pulls_drawing("bao", {"one": 1.5, "two": -2.0, "three": -7.25})
    ticks = {
        m[1]: float(m[0]) for m in re.findall(r'<text x="([\d.]+)" y="\d+\.\d" text-anchor="middle">([^<]+)<', drawing)
    }
    bars = [
        tuple(map(float, m)) for m in re.findall(r'<rect class="\w+" x="([\d.]+)" y="\d+" width="([\d.]+)"', drawing)
    ]
    sigma = ticks["+1"] - ticks["0"]
    assert bars[0] == pytest.approx((ticks["0"], 1.5 * sigma))
    assert bars[1] == pytest.approx((ticks["-2"], 2 * sigma))
    assert bars[2] == pytest.approx((ticks["-4"], 4 * sigma))  # the end of the axis; the number is beside it
    assert "-7.25" in drawing


def test_a_profile_stands_on_its_axes():
    values = np.linspace(0.1, 1.9, 13)
    drawing = profile_drawing("k_sat", values, (values - 1.0) ** 2 * 9 / 0.81)
    ticks = {
        m[1]: float(m[0]) for m in re.findall(r'<text x="([\d.]+)" y="271.0" text-anchor="middle">([^<]+)<', drawing)
    }
    levels = dict(re.findall(r'y="([\d.]+)" text-anchor="end">([^<]+)<', drawing))
    curve = [tuple(map(float, p.split(","))) for p in re.search(r'points="([^"]+)"', drawing)[1].split()]
    lowest = min(curve, key=lambda p: -p[1])
    assert lowest[0] == pytest.approx(ticks["1"], abs=0.1)
    zero = next(float(y) for y, label in levels.items() if label == "0")
    assert lowest[1] == pytest.approx(zero - 4, abs=0.1)  # texts stand four pixels lower than their lines
    assert "Δχ² = 1" in drawing
    assert "Δχ² = 4" in drawing
