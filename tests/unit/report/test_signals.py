"""Recipes of signals and how they are drawn: lines, units and titles that can be counted and read."""

import numpy as np
import pytest

from campaign.errors import InvalidValue
from campaign.report.canvas import new_figure
from campaign.report.signal_panels import draw_signal
from campaign.report.signals import HOW, Signal, recipes


def drawn(signal, mode="components"):
    axes = new_figure((4, 3)).subplots()
    draw_signal(axes, signal, np.arange(len(signal.values)), mode=mode)
    axes.figure.canvas.draw()
    return axes


def lines(axes):
    """Lines of data: those over all steps."""
    return [line for line in axes.lines if len(line.get_xdata()) > 2]


@pytest.mark.parametrize(("mode", "n"), [("components", 27), ("summary", 1), ("hybrid", 4)])
def test_modes_of_many_components(mode, n):
    values = np.random.default_rng(0).normal(size=(30, 27))
    axes = drawn(Signal(name="z", label="z", values=values, parts=tuple(f"z{i}" for i in range(27))), mode)
    assert len(lines(axes)) == n


def test_hybrid_shows_the_largest_at_the_end():
    values = np.zeros((5, 5))
    values[-1] = [1.0, -9.0, 0.0, 5.0, -7.0]
    axes = drawn(Signal(name="z", label="z", values=values, parts=tuple("abcde")), "hybrid")
    assert [line.get_label() for line in lines(axes)] == ["RMS", "b", "e", "d"]
    np.testing.assert_allclose(lines(axes)[0].get_ydata()[-1], np.sqrt(np.mean(values[-1] ** 2)))


def test_arcseconds_become_microarcseconds_in_line_label_and_title():
    values = np.array([3e-4, 5e-5, 1.234e-5])
    axes = drawn(Signal(name="x", label="x error", values=values, unit="as", kind="residual"))
    np.testing.assert_allclose(lines(axes)[0].get_ydata(), 1e6 * values)
    assert axes.get_ylabel() == "x error [µas]"
    assert axes.get_title() == "x error  final Δ = 12.3 µas"


def test_titles():
    assert drawn(Signal(name="x", label="x", values=np.array([1.0, 2.0, 3.14159]))).get_title() == "x  final = 3.14"
    many = Signal(name="x", label="x", values=np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0]]), parts=("a", "b"))
    assert drawn(many).get_title() == "x  final RMS = 3.54"


def test_all_nan_is_not_available_and_warns_nobody():
    axes = drawn(Signal(name="x", label="x", values=np.full(4, np.nan), unit="as", kind="residual"))
    assert axes.get_title() == "x  final Δ = n/a"


def test_a_residual_over_many_decades_has_a_symmetric_logarithm():
    signal = Signal(name="x", label="x", values=np.array([1e3, -1.0, 1e-4]), kind="residual")
    assert drawn(signal).get_yscale() == "symlog"
    assert drawn(Signal(name="x", label="x", values=np.array([1e3, 1.0, 1e-4]))).get_yscale() == "linear"


def test_the_truth_is_dashed():
    axes = drawn(Signal(name="x", label="x", values=np.array([1.0, 2.0, 3.0]), truth=2.5))
    (dashed,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert dashed.get_ydata()[0] == 2.5


@pytest.mark.parametrize(
    ("how", "expected"),
    [("sum", 7.0), ("mean", 3.5), ("norm", 5.0), ("rms", np.sqrt(12.5)), ("difference", -1.0), ("ratio", 0.75)],
)
def test_combinations(how, expected):
    np.testing.assert_allclose(HOW[how].combine(np.array([[3.0, 3.0], [4.0, 4.0]])), [expected] * 2)


def test_parts_in_a_million():
    np.testing.assert_allclose(HOW["ppm"].combine(np.array([[1.000002], [1.0]])), [2.0], rtol=1e-9)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"name": "x"}, "/0/of: Field required"),
        ([{"name": "x", "of": ["a"]}, {"name": "y", "of": ["a"], "how": "eval"}], "/1/how: Input should be"),
        ({"name": "x", "of": ["a"], "how": "difference"}, "/0: `difference` takes 2 of `of`, not 1"),
        ({"name": "x", "of": ["a"], "code": "1"}, "/0/code: Extra inputs are not permitted"),
        ("loss", "/0: Input should be"),
    ],
)
def test_recipes_that_are_not_valid(document, expected):
    with pytest.raises(InvalidValue) as caught:
        recipes(document)
    assert expected in str(caught.value)
