"""Drawings of data that can be worked out: lines are the data, labels carry units, titles the final value."""

import subprocess
import sys

import numpy as np
import pytest

from campaign.report import chains, figures
from campaign.report.canvas import label, new_figure, png, shape_of


@pytest.fixture
def axes():
    return new_figure((5, 4)).subplots()


RANDOM = np.random.default_rng(3)


def test_trace(axes):
    values = np.array([1.0, 2.0, 2.5])
    figures.trace(axes, np.arange(3), values, name="rate", unit="1/s", error=0.12)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), values)
    assert axes.get_title() == "rate = 2.50 ± 0.12"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "rate [1/s]")


def test_decrease_of_a_loss_that_reaches_its_least(axes):
    figures.decrease(axes, np.arange(3), np.array([5.0, 3.0, 2.0]))
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [3.0, 1.0, np.nan])
    assert axes.get_yscale() == "log"
    assert axes.get_title() == "loss = 2"


def test_bands_are_quantiles(axes):
    draws = np.tile(np.linspace(0.0, 1.0, 101), (50, 1))
    chains.quantile_bands(axes, np.arange(50), draws, name="x", n_burn_in=10)
    outer, inner = axes.collections[:2]
    for band, expected in ((outer, (0.05, 0.95)), (inner, (0.25, 0.75))):
        heights = band.get_paths()[0].vertices[:, 1]
        assert (heights.min(), heights.max()) == pytest.approx(expected)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), 0.5)


def test_rank_has_a_line_a_walker(axes):
    chains.rank(axes, RANDOM.normal(size=(400, 8)), name="x")
    assert len(axes.patches) == 8 + 1  # and the band
    share = float(axes.get_title().removeprefix("x: ").removesuffix(" % outside"))
    assert share < 15.0


def test_autocorr_states_tau(axes):
    chains.autocorr(axes, RANDOM.normal(size=(5000, 4)), name="x")
    tau = float(axes.get_title().removeprefix("x: τ = ").removesuffix(" steps"))
    assert tau == pytest.approx(1.0, abs=0.1)


def test_acceptance(axes):
    accepted = np.r_[np.zeros(100), np.full(100, 0.4)]
    chains.acceptance(axes, np.arange(200), accepted, n_burn_in=100)
    assert axes.get_title() == "acceptance = 0.400"


def test_corner_has_one_place_a_pair():
    figure = new_figure((6, 6))
    places = chains.corner(figure, RANDOM.normal(size=(4000, 3)), ["a", "b", "c"], ["m", "", "s"])
    assert len(figure.axes) == 6
    assert places[0, 1] is None
    assert [places[2, i].get_xlabel() for i in range(3)] == ["a [m]", "b", "c [s]"]
    assert places[1, 0].get_ylabel() == "b"
    assert png(figure)


def test_few_values_get_a_legend_many_a_colour_bar():
    lines = [(np.arange(3), np.arange(3) + i) for i in range(10)]
    few = new_figure((5, 4)).subplots()
    figures.lines_by_axis(few, lines, ["x", "y"] * 5, name="model")
    assert [text.get_text() for text in few.get_legend().get_texts()] == ["model = x", "model = y"]
    assert [len(c.get_segments()) for c in few.collections] == [5, 5]
    many = new_figure((5, 4)).subplots()
    figures.lines_by_axis(many, lines, np.linspace(0, 1, 10).tolist(), name="start.x", unit="m")
    assert len(many.collections[0].get_segments()) == 10
    assert many.figure.axes[1].get_ylabel() == "start.x [m]"


def test_residuals_count_their_squares(axes):
    figures.residuals(
        axes, np.arange(4), np.array([1.0, -2.0, 0.0, 1.0]), np.ones(4), x_label="t [s]", y_label="r [m]", of="data"
    )
    assert axes.get_title() == "data: Σ(r/σ)² = 6 of 4 data"


def test_a_posterior_prediction_covers_ninety_percent(axes):
    x = np.linspace(0, 1, 400)
    draws, data = RANDOM.normal(size=(4000, 400)), RANDOM.normal(size=400)
    figures.posterior_predictive(axes, x, draws, data, np.ones(400), x_label="t", y_label="y")
    assert float(axes.get_title().split(" ")[0]) == pytest.approx(90, abs=5)


def test_pulls_state_their_coverage(axes):
    figures.pulls(axes, RANDOM.normal(size=20_000), name="x")
    assert float(axes.get_title().split(" ")[1]) == pytest.approx(68.3, abs=1.0)


@pytest.mark.parametrize(("n", "shape"), [(1, (1, 1)), (3, (1, 3)), (4, (2, 2)), (5, (2, 3)), (7, (3, 3)), (9, (3, 3))])
def test_grids_have_few_holes(n, shape):
    assert shape_of(n) == shape


def test_labels_are_no_mathematics():
    axes = new_figure((3, 2)).subplots()
    axes.set_xlabel(label("cost$^2_$", "$"))
    axes.figure.canvas.draw()
    assert axes.get_xlabel() == r"cost\$^2_\$ [\$]"


def test_one_figure_gives_one_file():
    def draw():
        figure = new_figure((3, 2))
        figures.trace(figure.subplots(), np.arange(3), np.arange(3.0), name="x")
        return png(figure)

    assert draw() == draw()


def test_drawing_touches_neither_pyplot_nor_jax():
    program = """
import sys
import numpy as np
from campaign.report import page, panels, report, run_panels, signal_panels, signals, stage_panels
from campaign.report import figures
from campaign.report.canvas import new_figure, png
figure = new_figure((3, 2))
figures.trace(figure.subplots(), np.arange(3), np.arange(3.0), name="x")
png(figure)
found, wrong = panels.installed()
assert found and not wrong, wrong
print(sorted({"jax", "equinox", "matplotlib.pyplot"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"
