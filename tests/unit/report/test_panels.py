"""Panels: what they need, what becomes of those that lack it or fail, and how they are found."""

from importlib.metadata import EntryPoint

import numpy as np
import pytest

import planting as p
from campaign import registry
from campaign.analysis.handle import open_campaign
from campaign.analysis.select import find
from campaign.errors import UnknownName, UsageError
from campaign.report import panels, run_panels, stage_panels
from campaign.report.panels import Panel, chosen, draw
from campaign.report.signal_ensembles import runs_panel
from campaign.report.signal_panels import signals_panel
from campaign.report.signal_style import PanelRecipe
from campaign.report.signals import Recipe, signal
from campaign.report.source import run_source, stage_source
from campaign.store.records import publish_json, read_json


@pytest.fixture
def planted(tmp_path):
    """Ten runs of a fit with traces of `loss` and `theta`; the third failed, the last two are not finished."""
    fit = p.Planting(n_runs=10)
    layout = p.plant(tmp_path, fit)
    p.publish_traces(layout, fit, 0, 1)
    p.publish(layout, fit, 0, 1, changes={2: p.failed()})
    for path in layout.root.glob("programs/fit/*.json"):
        arrays = {"loss": {"dims": ["step"]}, "theta": {"dims": ["step", "parameter"]}}
        named = {"problem": {"name": "decay", "data": ["bao", "sn"]}, "engine": {"name": "trf", "max_steps": 9}}
        publish_json(path, read_json(path) | named | {"trace": arrays})
    handle = open_campaign(layout.root)
    return fit, stage_source(handle, handle.table(), "fit")


def run_of(fit, stage, i):
    return run_source(stage, find(stage.handle.layout, fit.run_id(i)))


def panel(*needs, of="run", drawing=lambda source, figure: None):
    return Panel(name="p", title="P", of=of, needs=needs, draw=drawing)


@pytest.mark.parametrize(
    ("need", "is_there"),
    [
        ("theta.k", True),
        ("theta.*", True),
        ("truth.*", False),
        ("trace.loss", True),
        ("trace.theta[step,parameter]", True),
        ("trace.theta[step, walker, parameter]", False),
        ("trace.jacobian", False),
        ("engine.name=trf", True),
        ("engine.name=ensemble", False),
        ("problem.data=sn*", True),
        ("problem.data=cmb*", False),
        ("problem.model=lcdm", False),
    ],
)
def test_needs_of_a_run(planted, need, is_there):
    fit, stage = planted
    drawing = draw(panel(need), run_of(fit, stage, 1))
    assert (drawing.png is not None) == is_there
    assert drawing.reason == ("" if is_there else f"there is no {need}")
    assert drawing.is_skipped != is_there
    assert not drawing.has_failed


@pytest.mark.parametrize(
    ("need", "is_there"), [("stderr.k", True), ("axis:any", False), ("axis:number", False), ("metric.rhat", False)]
)
def test_needs_of_a_stage(planted, need, is_there):
    _, stage = planted
    assert (draw(panel(need, of="stage"), stage).png is not None) == is_there


def test_a_panel_that_raises_is_an_answer(planted):
    fit, stage = planted

    def broken(source, figure):
        raise ZeroDivisionError("division by zero")

    drawing = draw(panel(drawing=broken), run_of(fit, stage, 1))
    assert drawing.has_failed
    assert drawing.reason == "ZeroDivisionError: division by zero"
    assert drawing.png is None


def test_a_drawing_that_cannot_be_rendered_is_an_answer(planted):
    fit, stage = planted
    drawing = draw(panel(drawing=lambda source, figure: figure.suptitle("$\\nothing$")), run_of(fit, stage, 1))
    assert drawing.has_failed
    assert "nothing" in drawing.reason


def test_a_panel_may_give_a_figure_of_its_own(planted):
    fit, stage = planted
    own = panels.draw(panel(), run_of(fit, stage, 1)).figure
    assert draw(panel(drawing=lambda source, figure: own), run_of(fit, stage, 1)).figure is own


def test_what_a_source_knows(planted):
    fit, stage = planted
    run = run_of(fit, stage, 3)
    assert run_of(fit, stage, 9) is None  # not finished
    assert run.row["theta.k"] == 1.5
    assert run.options("engine") == {"name": "trf", "max_steps": 9}
    assert [q.unit for q in run.program.free] == ["1/s"]
    assert len(run.steps) == run.row["n_steps"] == len(run.trace["loss"])
    assert stage.estimated == ("k",)
    assert stage.best["run_id"].tolist() == [fit.run_id(0)]  # of the lowest loss
    lengths = [len(loss) for loss in stage.arrays("loss", stage.rows)]
    assert lengths[:2] + lengths[3:8] == stage.rows["n_steps"].dropna().astype(int).tolist()[:2] + lengths[3:8]


def test_a_run_whose_steps_are_not_recorded_lacks_its_trace(planted):
    fit, stage = planted
    run = run_of(fit, stage, 1)
    run.__dict__["trace"] = run.trace.map(lambda array: array * np.nan)
    assert run.missing(["trace.loss[step]", "theta.k"]) == ("trace.loss[step]",)


def test_the_coordinate_of_steps_says_where_a_sparse_trace_ends(planted):
    """With every third step recorded, of 4 steps those with the numbers 0 and 3 are there."""
    import zarr

    fit, stage = planted
    run = run_of(fit, stage, 3)
    group = zarr.open_group(stage.handle.layout.trace_group("fit", run.program.name), mode="a")
    n = group["loss"].shape[1]
    group.create_array("step", data=3 * np.arange(n), dimension_names=["step"])
    again = run_of(fit, stage, 3)
    expected = [k for k in range(0, 3 * n, 3) if k < again.row["n_steps"]]
    assert again.steps.tolist() == expected
    assert len(again.trace["loss"]) == len(expected)


def test_signals_come_from_files_alone(planted):
    fit, stage = planted
    run = run_of(fit, stage, 3)
    path = np.asarray(run.trace["theta"])[:, 0]
    made = signal(Recipe(name="k", of=["theta.k"]), run)
    np.testing.assert_array_equal(made.values, path)
    assert made.unit == "1/s"
    error = signal(Recipe(name="e", of=["theta.k", "start.k"], how="difference"), run)
    np.testing.assert_allclose(error.values, path - 0.75)
    assert error.kind == "residual"
    lost = signal(Recipe(name="t", of=["theta.k", "truth.k"], how="difference"), run)
    assert lost.values.shape == path.shape
    assert np.isnan(lost.values).all()


@pytest.mark.parametrize("how", ["bands", "lines"])
def test_signals_over_all_runs(planted, how):
    _, stage = planted
    recipe = Recipe(name="k", of=["theta.k", "start.k"], how="difference")
    drawing = draw(runs_panel([recipe], [PanelRecipe(id="k", signals=["k"], of_runs=how)]), stage)
    assert drawing.png is not None, drawing.reason
    paths = [path[:, 0] for path in stage.arrays("theta", stage.good)]
    ends = [path[-1] - start for path, start in zip(paths, stage.good["start.k"], strict=True) if len(path)]
    title = drawing.figure.axes[0].get_title()
    assert title == f"k  final = {np.median(ends):.3g} median of {len(ends)}"


def test_a_signal_that_cannot_be_drawn_fails_alone(planted):
    fit, stage = planted
    wrong = signals_panel([Recipe(name="k", of=["theta.k"], unit="kg")])
    drawing = draw(wrong, run_of(fit, stage, 3))
    assert drawing.has_failed
    assert "is in `1/s`, not in `kg`" in drawing.reason


def test_the_stage_is_drawn(planted):
    _, stage = planted
    by_name = {one.name: one for one in stage_panels.PANELS}
    drawing = draw(by_name["paths"], stage)
    assert drawing.png is not None, drawing.reason
    (axes,) = [axes for axes in drawing.figure.axes if axes.get_xlabel() == "step"]
    assert axes.get_ylabel() == "loss − least loss of its group"


def test_names_are_unique_and_lead_somewhere():
    found, wrong = panels.installed()
    assert wrong == ()
    names = [one.name for one in found]
    ours = {one.name for one in (*run_panels.OPTIMISER, *run_panels.SAMPLER, *stage_panels.PANELS)}
    assert len(set(names)) == len(names)
    assert ours <= set(names)
    assert [one.name for one in chosen(found, ["corner", "ranks"])] == ["corner", "ranks"]
    with pytest.raises(UnknownName, match="unknown panel `cornr`; did you mean `corner`"):
        chosen(found, ["cornr"])
    with pytest.raises(UsageError, match="there are no panels"):
        chosen([], [])


def test_a_package_that_cannot_be_imported_is_named(monkeypatch):
    def entries(group):
        return {"good": EntryPoint("good", "campaign.report.run_panels:OPTIMISER", group),
                "bad": EntryPoint("bad", "no_such_package:PANELS", group),
                "twice": EntryPoint("twice", "campaign.report.run_panels:OPTIMISER", group)}  # fmt: skip

    registry.load.cache_clear()
    monkeypatch.setattr(registry, "_entries", entries)
    found, wrong = panels.installed()
    registry.load.cache_clear()
    assert {one.name for one in found} == {"parameters", "convergence"}
    assert "the panel `bad` (no_such_package:PANELS) cannot be imported" in wrong[0]
    assert all("has the name of another one" in message for message in wrong[1:])
    assert len(wrong) == 3
