"""A run as plain files: what was recorded comes out bit for bit, and from the files alone the run can be repeated."""

from __future__ import annotations

import json

import numpy as np
import pytest

import campaign
import recording_engine
from campaign.analysis.run_meta import meta_schema, write_meta
from campaign.cli.main import run
from campaign.errors import Damage, UnknownName, UsageError
from campaign.export.save import save_run
from campaign.report.signal_files import load_signals
from campaign.report.signal_panels import plot_panels
from campaign.report.signal_source import of_folder
from campaign.report.signal_style import document
from campaign.report.signals import signals

RECIPES = [
    {"name": "x error", "of": ["theta.separation_as", "truth.separation_as"], "how": "difference"},
    {"name": "contrast", "of": ["theta.contrast"], "truth": "truth.contrast"},
    {"name": "contrast ppm", "of": ["theta.contrast", "truth.contrast"], "how": "ppm"},
    {"name": "zernikes", "of": ["theta.zernike_nm*"], "how": "stack"},
    {"name": "gradient", "of": ["grad_norm"]},
    {"name": "blocks", "of": ["block_grad_norm.*"], "how": "stack"},
]


def submitted(folder, *, trace=True, engine=None, name="r", code=0, **more):
    (folder / "star.py").write_text(recording_engine.PROBLEM)
    stage = {"name": "main", "problem": {"name": "star.py:star"}, "engine": engine or {"name": "slide"}, "trace": trace}
    stage |= {"expand": {"grid": {"problem.data_seed": [0, 1, 2, 3]}}} | more
    manifest = {"schema": "campaign/1", "name": "t", "seed": 4, "stages": [stage]}
    manifest |= {"execution": {"executor": "inline", "layout": "packed", "max_failures": "unlimited"}}
    (folder / f"{name}.json").write_text(json.dumps(manifest))
    assert run(["submit", str(folder / f"{name}.json"), "-d", str(folder / name), "-q"]) == code
    return folder / name


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Four runs of the engine that records everything, and their directory."""
    with pytest.MonkeyPatch.context() as patch:
        recording_engine.install(patch)
        folder = tmp_path_factory.mktemp("export")
        patch.chdir(folder)
        yield submitted(folder, trace={"diagnostics": "all"})


@pytest.fixture(scope="module")
def whole(results, tmp_path_factory):
    """One run with every artifact."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    recipes, _ = document(RECIPES)
    saved = save_run(results, "last", folder, artifacts=["all"], every=7, signals=recipes)
    return saved, folder


def loss_at(theta, seed):
    """½ r·r of the problem, by NumPy."""
    y = recording_engine.DESIGN @ recording_engine.TRUTH + np.random.default_rng(seed).normal(size=40)
    return 0.5 * np.sum((recording_engine.DESIGN @ theta - y) ** 2)


def test_the_three_files_that_are_always_there(results, tmp_path):
    saved = save_run(results, "last", tmp_path / "out")
    assert [path.name for path in saved.files] == ["trace.npz", "meta.json", "summary.json"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in saved.files}
    assert set(saved.left_out) == {"grads", "curvature", "precond"}
    trace, kept = campaign.load_trace(tmp_path / "out"), campaign.open(results).trace("last")
    for name in ("loss", "theta", "grad_norm", "step_norm", "base_lr", "accepted"):
        np.testing.assert_array_equal(trace[name], kept[name].values)
        assert trace[name].dtype == kept[name].dtype
    assert not trace.keys() & {"grad", "curvature", "lr_vec"}


def test_theta_is_where_the_loss_was_taken(whole):
    trace, summary = campaign.load_trace(whole[1]), campaign.load_summary(whole[1])
    seed = campaign.load_meta(whole[1])["problem"]["data_seed"]
    for theta, loss in zip(trace["theta"], trace["loss"], strict=True):
        np.testing.assert_allclose(loss, loss_at(theta, seed), rtol=1e-12)
    np.testing.assert_array_equal(trace["theta"][0], list(summary["param_summary"]["init"].values()))


def test_checkpoints_hold_their_own_loss(whole):
    seed = campaign.load_meta(whole[1])["problem"]["data_seed"]
    trace, summary = campaign.load_trace(whole[1]), campaign.load_summary(whole[1])
    best, final = (campaign.load_checkpoint(whole[1], which) for which in ("best", "final"))
    assert best.loss == trace["loss"].min() == summary["loss_best"]
    assert best.step == summary["best_step"]
    for place in (best, final):
        np.testing.assert_allclose(place.loss, loss_at(place.theta, seed), rtol=1e-12)
    assert final.theta.tolist() == list(summary["theta"].values())


def test_sparse_gradients_and_lines_of_steps(whole):
    grads, trace = campaign.load_grads(whole[1]), campaign.load_trace(whole[1])
    assert grads["steps"].tolist() == [0, 7, 14, 21, 28, 29]
    np.testing.assert_allclose(np.linalg.norm(grads["grad"], axis=1), trace["grad_norm"][grads["steps"]], rtol=1e-13)
    log = campaign.load_steps(whole[1])
    assert not log.is_cut
    assert [line["step"] for line in log.lines] == grads["steps"].tolist()
    for line in log.lines:
        assert line["loss"] == trace["loss"][line["step"]]
        assert set(line["block_grad_norms"]) == {"astrometry", "photometry", "wavefront"}
        squares = sum(norm**2 for norm in line["block_grad_norms"].values())
        np.testing.assert_allclose(squares, line["grad_norm"] ** 2, rtol=1e-13)
        assert line["lr"] == 0.5


def test_a_last_line_that_was_cut_is_left_out_and_said(whole, tmp_path):
    data = (whole[1] / "diag_steps.jsonl").read_bytes()
    (tmp_path / "diag_steps.jsonl").write_bytes(data[:-9])
    log = campaign.load_steps(tmp_path)
    assert log.is_cut
    assert len(log.lines) == 5
    (tmp_path / "diag_steps.jsonl").write_bytes(b'{"step": 0\n' + data)
    with pytest.raises(Damage, match="line 1"):
        campaign.load_steps(tmp_path)


def test_the_learning_rates_follow_from_the_files(whole):
    curvature, precond = campaign.load_curvature(whole[1]), campaign.load_precond(whole[1])
    meta = campaign.load_meta(whole[1])
    base_lr = meta["optimizer"]["base_lr"]
    np.testing.assert_array_equal(precond["lr_vec"], base_lr * (1.0 / curvature["curv_diag"]))
    np.testing.assert_array_equal(precond["lr_scale"], precond["precond"])
    assert precond["floored_mask"].tolist() == [False, True, False, False, False]
    assert precond["clipped_mask"].sum() == meta["optimizer"]["preconditioning"]["n_clipped"] == 0
    assert curvature["n_probes"] == 7
    np.testing.assert_array_equal(curvature["theta_ref"], np.zeros(5))


def test_the_metric_of_another_program_is_read(tmp_path):
    np.savez(tmp_path / "metric.npz", theta_ref=[0.0], metric_diag=[4.0], lr_scale=[0.25])
    assert campaign.load_curvature(tmp_path)["curv_diag"] == [4.0]
    assert campaign.load_precond(tmp_path)["lr_scale"] == [0.25]


def test_objects_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "trace.npz", loss=np.array([{}], dtype=object))
    with pytest.raises(Damage, match=r"trace\.npz cannot be read"):
        campaign.load_trace(tmp_path)
    with pytest.raises(UnknownName, match=r"grads\.npz is missing"):
        campaign.load_grads(tmp_path)


def test_meta_says_what_theta_is_and_which_files_there_are(whole):
    saved, folder = whole
    meta = campaign.load_meta(folder)
    assert meta["schema"] == "campaign-run/0"
    entries = meta["theta"]["index_map"]["entries"]
    assert [(e["name"], e["shape"], e["block"], e["unit"]) for e in entries] == [
        ("separation_as", [], "astrometry", "as"),
        ("contrast", [], "photometry", ""),
        ("zernike_nm", [3], "wavefront", "nm"),
    ]
    assert {one["filename"] for one in meta["manifest"].values()} == {
        path.name for path in saved.files if path.suffix != ".json"
    }
    assert meta["optimizer"]["name"] == "slide"
    assert meta["seeds"]["root"] == 4
    assert meta["seeds"]["noise"] == meta["problem"]["data_seed"]
    assert meta["objective"]["noise_model"] == "gaussian"
    assert meta["objective"]["prior"] == {"contrast": {"normal": [3.0, 100.0]}}
    assert meta["theta"]["theta_space"] == "primitive"
    assert meta["git"] is None  # the folder of the manifest is in no repository


def test_meta_is_valid_by_its_published_schema(whole, capsys):
    jsonschema = pytest.importorskip("jsonschema", reason="checks the schema with another implementation")
    assert run(["schema", "meta"]) == 0
    validator = jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out))
    meta = json.loads((whole[1] / "meta.json").read_text())
    assert list(validator.iter_errors(meta)) == []
    assert [error.json_path for error in validator.iter_errors(meta | {"theta": {"dim": "five"}})] != []


def test_the_run_is_repeated_from_its_meta_alone(whole):
    again, trace = campaign.rerun(whole[1]), campaign.load_trace(whole[1])
    np.testing.assert_array_equal(again.trace["theta"], trace["theta"])
    np.testing.assert_array_equal(again.trace["loss"], trace["loss"])
    assert again.theta == campaign.load_summary(whole[1])["theta"]


def test_meta_without_optional_keys_and_with_unknown_ones(whole, tmp_path):
    document = campaign.load_meta(whole[1])
    schema = meta_schema()
    least = {name: document[name] for name in schema["required"]}
    assert set(least) == {"schema", "run_id"}
    write_meta(tmp_path / "meta.json", least)
    assert campaign.load_meta(tmp_path)["run_id"] == document["run_id"]
    more = document | {"of_tomorrow": {"a": [1, {"b": None}]}}
    more["theta"] = more["theta"] | {"rotation": 3}
    write_meta(tmp_path / "meta.json", more)
    found = campaign.load_meta(tmp_path)
    assert {k: v for k, v in found.items() if k != "crc32"} == {k: v for k, v in more.items() if k != "crc32"}
    write_meta(tmp_path / "meta.json", least | {"schema": "campaign-run/9"})
    with pytest.raises(Damage, match="/schema"):
        campaign.load_meta(tmp_path)


def test_no_nan_reaches_json(whole, tmp_path):
    write_meta(tmp_path / "meta.json", campaign.load_meta(whole[1]) | {"x": {"y": float("nan"), "z": [float("inf")]}})
    text = (tmp_path / "meta.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["nonfinite"] == ["x.y", "x.z.0"]


def test_signals_from_files_alone_are_those_in_memory(whole):
    recipes, _ = document(RECIPES)
    kept, computed = load_signals(whole[1]), signals(recipes, of_folder(whole[1]))
    for name, one in kept.signals.items():
        np.testing.assert_array_equal(one.values, computed.signals[name].values)
        assert (one.unit, one.truth, one.kind) == (
            computed.signals[name].unit, computed.signals[name].truth, computed.signals[name].kind,
        )  # fmt: skip
    assert np.isfinite(kept.signals["blocks"].values).all()
    assert kept.signals["contrast"].truth == 3.0
    theta = campaign.load_trace(whole[1])["theta"]
    np.testing.assert_array_equal(kept.signals["x error"].values, theta[:, 0] - 10.0)
    np.testing.assert_array_equal(kept.signals["contrast ppm"].values, 1e6 * (theta[:, 1] / 3.0 - 1.0))


def test_the_same_picture_from_signals_alone(whole, tmp_path):
    recipes, panels = document(RECIPES)
    source = of_folder(whole[1])
    for found, name in ((signals(recipes, source), "a"), (load_signals(whole[1]), "b")):
        plot_panels(found, panels, save=tmp_path / "deep" / f"{name}.png")
    assert (tmp_path / "deep" / "a.png").read_bytes() == (tmp_path / "deep" / "b.png").read_bytes()


def test_other_content_is_not_replaced_unasked(results, tmp_path):
    save_run(results, "last", tmp_path)
    save_run(results, "last", tmp_path)  # the same content
    (tmp_path / "trace.npz").write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists with other content"):
        save_run(results, "last", tmp_path)
    assert (tmp_path / "trace.npz").read_bytes() == b"mine"
    save_run(results, "last", tmp_path, overwrite=True)
    assert "loss" in campaign.load_trace(tmp_path)


def test_default_outputs_are_small(results, tmp_path):
    saved = save_run(results, "last", tmp_path)
    assert sum(path.stat().st_size for path in saved.files) < 60_000  # 1,000 runs < 60 MB
    assert saved.files[-1].stat().st_size < 8_000


def test_the_command_says_what_is_absent(results, tmp_path, capsys, monkeypatch):
    recording_engine.install(monkeypatch)
    own = submitted(tmp_path, engine={"name": "trf"}, name="fit")
    capsys.readouterr()
    assert run(["export", str(own), "last", "-o", str(tmp_path / "o"), "--artifact", "curvature", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["absent"] == {
        "curvature": "the run recorded no `curvature`; name it in `trace`, or export with --again"
    }
    trace = campaign.load_trace(tmp_path / "o")
    np.testing.assert_array_equal(trace["theta"], campaign.open(own).trace("last")["theta"].values)
    with pytest.raises(UnknownName, match="unknown artifact `grad`"):
        save_run(own, "last", tmp_path / "p", artifacts=["grad"])


def test_again_writes_what_the_campaign_did_not_record(tmp_path, monkeypatch):
    recording_engine.install(monkeypatch)
    monkeypatch.chdir(tmp_path)
    own = submitted(tmp_path, trace={"fields": ["loss"]})
    plain = save_run(own, "last", tmp_path / "a", artifacts=["grads"])
    assert set(plain.absent) == {"grads"}
    assert "theta" not in campaign.load_trace(tmp_path / "a")
    save_run(own, "last", tmp_path / "b", artifacts=["grads"], again=True)
    np.testing.assert_array_equal(
        campaign.load_trace(tmp_path / "b")["loss"], campaign.load_trace(tmp_path / "a")["loss"]
    )
    assert campaign.load_grads(tmp_path / "b")["grad"].shape == (30, 5)
