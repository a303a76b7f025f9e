"""A campaign that ran for real, drawn by the command line: pictures that are not blank, on one page."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from campaign.analysis.handle import open_campaign
from campaign.cli.main import run
from campaign.report import source
from campaign.report.panels import chosen, draw, installed
from campaign.report.report import make_report

MANIFEST = {
    "schema": "campaign/1",
    "name": "drawn",
    "description": "Fits & <posteriors>",
    "seed": 3,
    "stages": [
        {
            "name": "fit",
            "problem": {"name": "decay", "n": 40},
            "engine": {"name": "trf"},
            "expand": {"grid": {"problem.sigma": [0.02, 0.05], "problem.data_seed": {"range": [0, 12, 1]}}},
        },
        {
            "name": "sample",
            "start": {"from": "fit", "pick": "best", "by": ["problem.sigma"]},
            "engine": {"name": "ensemble", "walkers": 16, "steps": 600},
        },
    ],
}
DRAWN = {
    "fit": {"estimates", "paths", "along", "parameters", "convergence"},
    "sample": {"estimates", "along", "corner", "ranks", "walkers", "mixing"},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    assert run(["submit", str(folder / "manifest.json"), "-d", str(folder / "r"), "--executor", "inline", "-q"]) == 0
    return folder / "r"


def said(capsys, *arguments):
    code = run(["report", *map(str, arguments), "--json"])
    assert code == 0
    return json.loads(capsys.readouterr().out)


def is_blank(picture):
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    return np.all(pixels == pixels[0, 0], axis=-1).mean() > 0.985


def test_the_page_and_its_pictures(results, tmp_path, capsys):
    answer = said(capsys, results, "--png", tmp_path / "pictures")
    drawn = {s: {p["panel"] for p in answer["panels"] if p["stage"] == s and p["state"] == "drawn"} for s in DRAWN}
    assert drawn == DRAWN
    assert not [p for p in answer["panels"] if p["state"] == "failed"]
    skipped = {(p["stage"], p["panel"]): p["reason"] for p in answer["panels"] if p["state"] == "skipped"}
    assert skipped["fit", "corner"] == "there is no trace.theta[step,walker,parameter]"
    assert len(answer["files"]) == sum(map(len, DRAWN.values()))
    text = (results / "report.html").read_text()
    inside = [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', text)]
    files = [Path(name).read_bytes() for name in answer["files"]]
    assert inside == files
    assert not [name for name, data in zip(answer["files"], files, strict=True) if is_blank(data)]
    assert "Fits &amp; &lt;posteriors&gt;" in text
    assert "24 runs of trf on decay over problem.sigma, problem.data_seed: 24 converged." in text
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)  # nothing to load
    assert "<script" not in text


def test_what_a_picture_shows_is_what_the_table_says(results):
    handle = open_campaign(results)
    fit, sample = make_report(handle, installed()[0])
    drawings = {d.panel.name: d.figure for d in sample.drawings + fit.drawings if d.figure is not None}
    axes = drawings["parameters"].axes
    names = [p.name for p in fit.run.program.free]
    assert [a.get_title().split(" = ")[0] for a in axes] == names
    for a, name in zip(axes, names, strict=True):
        assert a.lines[0].get_ydata()[-1] == pytest.approx(fit.run.row[f"theta.{name}"], rel=1e-12)
        unit = fit.run.program.unit(name)
        assert a.get_ylabel() == (f"{name} [{unit}]" if unit else name)
    table = handle.runs(where="stage == 'fit'")
    middle = drawings["along"].axes[0].lines[0].get_ydata()
    first = table[table["problem.sigma"] == 0.02].sort_values("problem.data_seed")
    np.testing.assert_array_equal(middle.astype(float), first["theta.amplitude"])
    last = ["amplitude", "rate [1/s]", "offset", "drift [1/s]"]
    assert [a.get_xlabel() for a in drawings["corner"].axes][-4:] == last
    for name in drawings.keys() - {"corner"}:  # there only the outer drawings are labelled
        assert all(a.get_xlabel() and a.get_ylabel() for a in drawings[name].axes), name


def test_of_a_long_chain_every_nth_step_is_drawn_and_the_picture_says_so(results, monkeypatch):
    handle = open_campaign(results)
    whole = make_report(handle, installed()[0])[1].run
    monkeypatch.setattr(source, "MAX_DRAWN", whole.trace["theta"].nbytes // 3)
    sample = make_report(handle, installed()[0])[1]
    drawings = {d.panel.name: d.figure for d in sample.drawings}
    assert sample.run.stride == 3
    for name in ("walkers", "ranks", "corner"):
        assert drawings[name].get_suptitle() == "one of 3 steps", name
    assert drawings["mixing"].get_suptitle() == "autocorrelation of the last 200 of 600 steps"
    steps, theta = whole.steps, np.asarray(whole.trace["theta"])
    line = drawings["walkers"].axes[0].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), steps[::3])
    np.testing.assert_allclose(line.get_ydata(), np.median(theta[::3, :, 0], axis=1), rtol=1e-12)


def test_one_panel_of_one_run(results, tmp_path, capsys):
    handle = open_campaign(results)
    run_id = handle.runs(where="stage == 'fit'")["run_id"].iloc[5]
    page = tmp_path / "one.html"
    answer = said(capsys, results, "--run", run_id[:10], "--panel", "parameters", "-o", page)
    assert answer["panels"] == [{"panel": "parameters", "stage": "fit", "run_id": run_id, "state": "drawn"}]
    assert answer["page"] == str(page)
    assert page.read_text().count("<img") == 1


def test_signals_by_recipes(results, tmp_path, capsys):
    recipe = [{"name": "signal", "of": ["theta.amplitude", "theta.offset"], "how": "sum", "label": "y(0)"}]
    (tmp_path / "signals.json").write_text(json.dumps(recipe))
    answer = said(capsys, results, "--signals", tmp_path / "signals.json", "--panel", "signals", "--png", tmp_path)
    assert {(p["stage"], p["state"]) for p in answer["panels"]} == {("fit", "drawn"), ("sample", "drawn")}
    (tmp_path / "signals.json").write_text("[{]")
    assert run(["report", str(results), "--signals", str(tmp_path / "signals.json")]) == 3
    assert "is not JSON" in capsys.readouterr().err


def test_an_unknown_panel_and_run(results, capsys):
    assert run(["report", str(results), "--panel", "cornr"]) == 3
    assert "unknown panel `cornr`\nhint: did you mean `corner`?" in capsys.readouterr().err
    assert run(["report", str(results), "--run", "zz"]) == 3
    assert "no run begins with `zz`" in capsys.readouterr().err


def test_a_panel_that_is_asked_for_and_does_not_apply_says_why(results, capsys):
    assert run(["report", str(results), "--panel", "corner"]) == 0
    assert "not drawn: corner of fit: there is no trace.theta[step,walker,parameter]" in capsys.readouterr().err


def test_a_panel_draws_on_a_part_of_a_figure(results):
    """An injected subfigure: nothing new is made, so several panels share a sheet."""
    from campaign.report.canvas import new_figure, png

    (fit, _) = make_report(open_campaign(results), ())
    sheet = new_figure((8, 8))
    upper, lower = sheet.subfigures(2, 1)
    for part, name in ((upper, "parameters"), (lower, "convergence")):
        (panel,) = chosen(installed()[0], [name])
        assert draw(panel, fit.run).png is not None
        panel.draw(fit.run, part)
    assert len(sheet.axes) == 4 + 2
    assert not is_blank(png(sheet))
