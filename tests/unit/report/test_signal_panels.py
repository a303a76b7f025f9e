"""Several signals in a drawing, panels by recipes, signals of many runs: what is on the axes, and nothing beside."""

import logging

import matplotlib
import numpy as np
import pytest
from matplotlib._pylab_helpers import Gcf

from campaign.errors import InvalidValue
from campaign.report.canvas import new_figure, png
from campaign.report.numbers import summarised
from campaign.report.signal_ensembles import draw_runs, held
from campaign.report.signal_panels import plot_panels, plot_signal
from campaign.report.signal_style import PanelRecipe, document
from campaign.report.signals import Signal, SignalSet
from campaign.report.units import unit_in_name

STEPS = np.arange(20)


def of(name, values, **more):
    return Signal(name=name, label=more.pop("label", name), values=np.asarray(values, float), **more)


X = of("x", np.geomspace(1e-2, 1.234e-5, 20), unit="as", kind="residual", label="x error")
Y = of("y", -np.geomspace(1e-2, 4.0e-6, 20), unit="as", kind="residual", label="y error")
Z = of("z", np.outer(np.linspace(1, 0.1, 20), [3.0, -4.0, 1.0]), unit="nm", parts=("a", "b", "c"))
FOUND = SignalSet(signals={"x": X, "y": Y, "z": Z}, steps=STEPS, seconds=0.5 * (STEPS + 1))


def lines(axes):
    return [line for line in axes.lines if len(line.get_xdata()) > 2]


def panel(*signals, **more):
    return PanelRecipe(id=more.pop("id", "p"), signals=list(signals), **more)


def test_axes_that_are_given_are_drawn_on_and_no_figure_is_made(monkeypatch):
    own = list(new_figure((6, 3)).subplots(1, 2))
    monkeypatch.setattr("campaign.report.signal_panels.new_figure", lambda size: pytest.fail("a new figure"))
    figure, axes = plot_panels(FOUND, [panel("x"), panel("z")], axes=own)
    assert figure is own[0].figure
    assert axes == own
    assert [len(lines(one)) for one in own] == [1, 3]
    assert plot_signal(X, STEPS, own[0])[1] is own[0]


def test_nothing_is_left_open_and_no_window_is_needed(monkeypatch, tmp_path):
    monkeypatch.delenv("DISPLAY", raising=False)
    before = matplotlib.get_backend(auto_select=False)
    plot_panels(FOUND, [panel("x")], save=tmp_path / "new" / "folder" / "x.png")
    plot_signal(X, STEPS)
    assert Gcf.get_all_fig_managers() == []
    assert matplotlib.get_backend(auto_select=False) == before
    assert (tmp_path / "new" / "folder" / "x.png").read_bytes().startswith(b"\x89PNG")


def test_two_signals_share_a_unit_and_a_title():
    _, (axes,) = plot_panels(FOUND, [panel("x", "y", title="astrometry")], title_prefix="run 3: ")
    assert axes.get_title() == "run 3: astrometry  final Δ = 12.3 µas, -4 µas"
    assert axes.get_ylabel() == "run 3: astrometry [µas]"
    np.testing.assert_allclose(lines(axes)[0].get_ydata(), 1e6 * X.values)
    np.testing.assert_allclose(lines(axes)[1].get_ydata(), 1e6 * Y.values)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["x error", "y error"]
    assert sum(np.all(np.asarray(line.get_ydata()) == 0) for line in axes.lines) == 1  # one zero line


@pytest.mark.parametrize(
    ("summary", "name", "expected"),
    [("rms", "RMS", np.sqrt(26 / 3)), ("norm", "norm", np.sqrt(26)), ("mean_abs", "mean |x|", 8 / 3)],
)
def test_summaries_of_components(summary, name, expected):
    _, axes = plot_signal(Z, STEPS, mode="summary", summary=summary)
    (line,) = lines(axes)
    np.testing.assert_allclose(line.get_ydata()[0], 1e3 * expected)  # the ends are less than 1 nm
    assert axes.get_title() == f"z  final {name} = {100 * expected:.3g} pm"
    np.testing.assert_allclose(summarised(Z.values, summary)[0], expected)


def test_a_summary_leaves_out_what_is_not_finite():
    values = np.array([[3.0, 4.0], [np.nan, 2.0], [np.nan, np.nan]])
    np.testing.assert_allclose(summarised(values), [np.sqrt(12.5), 2.0, np.nan])


@pytest.mark.parametrize(("by", "largest"), [("final", "c"), ("max", "a"), ("rms", "b")])
def test_the_largest_components_by_what(by, largest):
    values = np.zeros((10, 3))
    values[2, 0], values[1:9, 1], values[-1, 2] = 9.0, 5.0, 1.0
    _, axes = plot_signal(of("v", values, parts=("a", "b", "c")), np.arange(10), mode="hybrid", rank_by=by, n_largest=1)
    assert [line.get_label() for line in lines(axes)] == ["RMS", largest]


def test_a_unit_by_hand_wins():
    _, axes = plot_signal(X, STEPS, unit="mas")
    assert axes.get_ylabel() == "x error [mas]"
    np.testing.assert_allclose(lines(axes)[0].get_ydata(), 1e3 * X.values)
    _, axes = plot_signal(X, STEPS, unit="as")
    np.testing.assert_array_equal(lines(axes)[0].get_ydata(), X.values)


@pytest.mark.parametrize(("scale", "expected"), [("log", "log"), ("linear", "linear"), ("symlog", "symlog")])
def test_a_scale_by_hand_wins(scale, expected):
    assert plot_signal(X, STEPS, yscale=scale)[1].get_yscale() == expected


def test_a_logarithm_of_nothing_positive_stays_linear():
    assert plot_signal(of("v", -np.ones(5)), np.arange(5), yscale="log")[1].get_yscale() == "linear"


def test_along_the_time():
    _, (axes,) = plot_panels(FOUND, [panel("x", x="time")])
    np.testing.assert_array_equal(lines(axes)[0].get_xdata(), FOUND.seconds)
    assert axes.get_xlabel() == "time [s]"


def test_a_panel_without_its_signals_is_left_out_and_said(caplog):
    with caplog.at_level(logging.INFO, logger="campaign.report.signal_panels"):
        _, axes = plot_panels(FOUND, [panel("flux", id="photometry"), panel("x", "flux", id="partly")])
    assert len(axes) == 1
    assert "panel photometry: there is no signal flux" in caplog.text


def test_the_same_signals_give_the_same_picture():
    first, second = (png(plot_panels(FOUND, [panel("x", "y"), panel("z", mode="hybrid")])[0]) for _ in range(2))
    assert first == second


def test_documents():
    recipes = [{"name": "a", "of": ["loss"]}, {"name": "b", "of": ["theta.*"], "how": "stack", "mode": "summary"}]
    found, panels = document(recipes)
    assert [(one.signals, one.mode) for one in panels] == [(["a"], "components"), (["b"], "summary")]
    own = {"id": "both", "signals": ["a", "b"], "yscale": "log", "of_runs": "lines"}
    found, panels = document({"signals": recipes, "panels": [own]})
    assert [one.name for one in found] == ["a", "b"]
    assert panels == (PanelRecipe(**own),)
    with pytest.raises(InvalidValue, match="/0/yscale: Input should be"):
        document({"signals": recipes, "panels": [own | {"yscale": "cubic"}]})


@pytest.mark.parametrize(
    ("name", "unit"),
    [("x_position_as", "as"), ("x_error_uas", "µas"), ("angle_deg", "deg"), ("zernike_coeffs_nm[3]", "nm"),
     ("plate_scale_as_per_pix", "as/pix"), ("error_ppm", "ppm"), ("contrast", ""), ("bias_e", "e")],
)  # fmt: skip
def test_units_in_names(name, unit):
    assert unit_in_name(name) == unit


def ensemble(n=11):
    return [of("v", np.linspace(1.0, 0.1 * i, 5 + i % 3), kind="residual", label="error") for i in range(n)]


def test_bands_over_the_runs():
    axes = new_figure((4, 3)).subplots()
    draw_runs(axes, ensemble())
    (median,) = [line for line in axes.lines if len(line.get_xdata()) == 7]
    np.testing.assert_allclose(median.get_ydata()[-1], np.median(0.1 * np.arange(11)))
    assert len(axes.collections) == 2
    assert axes.get_title() == "error  final = 0.5 median of 11"


def test_a_line_a_run_coloured_by_an_axis():
    axes = new_figure((4, 3)).subplots()
    draw_runs(axes, ensemble(), ["a", "b"] * 5 + ["a"], how="lines", axis="tag.method")
    assert sum(len(collection.get_segments()) for collection in axes.collections) == 11
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["tag.method = a", "tag.method = b"]


def test_runs_without_a_number_are_left_out():
    axes = new_figure((4, 3)).subplots()
    draw_runs(axes, [of("v", np.full(4, np.nan))])
    assert axes.get_title() == "v  final = n/a"


def test_a_run_stays_where_it_ended():
    out = held([np.array([3.0, 2.0]), np.array([np.nan, 5.0, np.nan, 4.0])])
    np.testing.assert_array_equal(out, [[3.0, 5.0], [2.0, 5.0], [2.0, 5.0], [2.0, 4.0]])
