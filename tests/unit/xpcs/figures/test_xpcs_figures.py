"""Pictures: scales, masks, axes, bands; nothing is left open, and no window is made."""

import sys

import numpy as np
import pytest

from campaign_xpcs import figures
from campaign_xpcs.figures.maps import draw_data

N = 12
T = 0.1 * np.arange(N)


def maps():
    rng = np.random.default_rng(0)
    model = 1.0 + 0.3 * np.exp(-np.abs(np.subtract.outer(T, T)))
    noise = rng.normal(size=(N, N))
    residual = np.triu(noise, 1) + np.triu(noise, 1).T
    mask = ~np.eye(N, dtype=bool)
    mask[3, 7] = mask[7, 3] = False
    return model + 0.01 * residual, model, np.where(mask, residual, np.nan), mask


def test_maps_share_a_scale_and_the_residual_diverges():
    c2, model, residual, mask = maps()
    figure = figures.map_figure(T, c2, model, residual, mask, "φ = 3°")
    images = [axis.images[0] for axis in figure.axes if axis.images]
    assert images[0].get_clim() == images[1].get_clim()
    low, high = images[2].get_clim()
    assert low == -high
    assert images[2].get_cmap().name == "RdBu_r"
    for image in images[:3]:
        assert image.origin == "lower"
        assert image.get_extent() == pytest.approx((-0.05, 1.15, -0.05, 1.15))
        assert image.get_array().mask.sum() == N + 2
    assert figure.axes[0].get_xlabel() == "$t_1$ [s]"
    assert "φ = 3°" in figure.axes[0].get_title()


def test_time_1_goes_to_the_right():
    c2, _, _, mask = maps()
    c2 = c2.copy()
    c2[2, 9] = 5.0  # t1 = 0.2 s, t2 = 0.9 s
    figure = figures.new_figure(4, 4)
    draw_data(figure, T, c2, mask)
    shown = figure.axes[0].images[0].get_array()
    assert shown[9, 2] == 5.0


def test_rates_have_bands_and_truth():
    figure = figures.new_figure(8, 3)
    value = 1.0 + T
    rates = {"D": (value, 0.1 * value), "gamma_dot": (2 * value, 0 * value)}
    figures.draw_rates(figure, T, rates, {"D": value + 5.0})
    first, second = figure.axes
    band = first.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(1.1 * value[-1])
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["fit ± 1 standard error", "truth"]
    assert [text.get_text() for text in second.get_legend().get_texts()] == ["fit"]
    assert first.get_ylim()[1] > 6.0
    assert first.get_xlabel() == "$t$ [s]"


def test_angles_show_errors_and_what_is_to_be_expected():
    figure = figures.new_figure(9, 3)
    phi = np.array([0.0, 90.0])
    both = (np.array([0.3, 0.2]), np.array([0.01, 0.02]))
    figures.draw_angles(figure, phi, both, both, np.array([100.0, 120.0]), np.array([100, 100]))
    assert len(figure.axes) == 3
    assert figure.axes[2].lines[0].get_ydata().tolist() == [1.0, 1.2]
    band = figure.axes[2].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((1 - 2 * np.sqrt(0.02), 1 + 2 * np.sqrt(0.02)))


def test_residuals_and_their_autocorrelation():
    _, _, residual, _ = maps()
    figure = figures.new_figure(8, 3)
    figures.draw_residuals(figure, residual[None], np.array([0.5, 0.1]))
    assert figure.axes[1].lines[0].get_ydata().tolist() == [0.5, 0.1]
    assert sum(p.get_height() * p.get_width() for p in figure.axes[0].patches) == pytest.approx(1.0)


def test_a_posterior_marks_the_best_fit():
    draws = np.random.default_rng(0).normal(size=(500, 2))
    figure = figures.new_figure(4, 4)
    figures.draw_posterior(figure, ("D0", "alpha"), draws, {"D0": 0.3, "alpha": -0.2})
    lower_left = figure.axes[2]
    assert lower_left.get_xlabel() == "D0"
    assert lower_left.get_ylabel() == "alpha"
    assert [line.get_xdata()[0] for line in lower_left.lines[1:2]] == [0.3]


def test_no_window_is_made():
    assert "matplotlib.pyplot" not in sys.modules


def test_series_over_q_stand_side_by_side_and_wrong_models_are_open():
    figure = figures.new_figure(6, 4)
    q = np.array([0.01, 0.02])
    series = [
        ("a", q, np.array([1.0, 2.0]), np.array([0.1, 0.2])),
        ("b", q, np.array([3.0, 4.0]), np.array([0.3, 0.4])),
    ]
    figures.draw_wavevectors(figure, series, "D0", hollow=[False, True])
    (axis,) = figure.axes
    first, second = axis.containers
    assert first[0].get_ydata().tolist() == [1.0, 2.0]
    bars = first[2][0].get_segments()
    assert bars[1][:, 1].tolist() == pytest.approx([1.8, 2.2])
    assert (first[0].get_xdata() < second[0].get_xdata()).all()
    assert np.abs(second[0].get_xdata() - q).max() < 1e-3
    assert (first[0].get_markerfacecolor(), second[0].get_markerfacecolor()) == ("#0072B2", "none")
    assert axis.get_xlabel() == "$q$ [Å$^{-1}$]"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
