"""A run that reads all runs of an earlier stage: sixteen shards, fitted apart, combined exactly."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr

from campaign.analysis.verify import verify
from campaign.drive.doors import plan, resume, submit
from campaign.errors import Damage, ManifestError, UnknownName
from campaign.manifest.ranges import axis_values
from campaign.store.gather import gather
from campaign.store.layout import Layout
from running import assert_same, table, write_manifest

MANIFEST = Path(__file__).parents[2] / "manifests" / "combine.json"
NAMES = ["x0", "x1", "x2"]


def shards(n: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Means (n, 3) and covariances (n, 3, 3) of the shards: sd 1, 2, 3; correlation ρ^|i−j|."""
    sd, lag = np.array([1.0, 2.0, 3.0]), np.abs(np.subtract.outer(np.arange(3), np.arange(3)))
    rho = np.linspace(-0.3, 0.75, 16)[:n]
    means = np.repeat(np.linspace(0.5, 2.0, 16)[:n, None], 3, axis=1)
    return means, np.outer(sd, sd) * rho[:, None, None] ** lag


def exact(means: np.ndarray, covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """C = (Σ C_i⁻¹)⁻¹, m = C Σ C_i⁻¹ m_i."""
    weights = np.linalg.inv(covariances)
    covariance = np.linalg.inv(weights.sum(axis=0))
    return covariance @ np.einsum("kij,kj->i", weights, means), covariance


def document() -> dict[str, Any]:
    return json.loads(MANIFEST.read_text())


def arrays(directory: Path, stage: str) -> Any:
    (program,) = (p for p in (directory / "traces.zarr" / stage).iterdir() if p.is_dir())
    return zarr.open_group(program, mode="r")


def rows(directory: Path, stage: str) -> Any:
    frame = pq.read_table(directory / "tables" / "summary.parquet").to_pandas()
    return frame[frame["stage"] == stage].reset_index(drop=True)


@pytest.fixture(scope="module")
def inline(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("combine") / "c"
    assert submit(MANIFEST, directory, executor="inline").state == "done"
    return directory


def test_the_combined_mean_and_covariance_are_the_precision_weighted_ones(inline):
    mean, covariance = exact(*shards())
    whole = arrays(inline, "whole")
    np.testing.assert_allclose(whole["mean"][0], mean, rtol=1e-9)
    np.testing.assert_allclose(whole["covariance"][0], covariance, rtol=1e-9)
    (row,) = rows(inline, "whole").to_dict("records")
    np.testing.assert_allclose([row[f"derived.mean_{name}"] for name in NAMES], mean, rtol=1e-9)
    np.testing.assert_allclose([row[f"derived.stderr_{name}"] for name in NAMES], np.diag(covariance) ** 0.5, rtol=1e-9)
    means, covariances = shards()
    differences = means - mean
    spread = np.einsum("ki,kij,kj->", differences, np.linalg.inv(covariances), differences)
    assert row["derived.spread"] == pytest.approx(spread, rel=1e-9)
    assert row["tag.n_members"] == 16
    assert verify(Layout(inline)) == []


def test_workers_of_dask_read_the_same(inline, tmp_path):
    assert submit(MANIFEST, tmp_path / "c", executor="dask", workers=2).state == "done"
    assert_same(table(tmp_path / "c"), table(inline))


def test_an_engine_that_fits_finds_the_same(tmp_path):
    manifest = document()
    manifest["stages"][1]["engine"] = {"name": "trf"}
    submit(write_manifest(tmp_path, manifest), tmp_path / "c", executor="inline")
    mean, covariance = exact(*shards())
    (row,) = rows(tmp_path / "c", "whole").to_dict("records")
    np.testing.assert_allclose([row[f"theta.{name}"] for name in NAMES], mean, rtol=1e-9)
    np.testing.assert_allclose(arrays(tmp_path / "c", "whole")["covariance"][0], covariance, rtol=1e-8)
    assert row["metric.dof"] == 16 * 3 - 3


def test_samples_of_the_shards_combine_to_their_noise(tmp_path):
    """Each shard sampled, with some 500 independent samples: the combined errors are right within 10 %."""
    manifest = document()
    manifest["stages"][0]["engine"] = {"name": "ensemble", "walkers": 32, "steps": 2000}
    submit(write_manifest(tmp_path, manifest), tmp_path / "c", executor="inline")
    mean, covariance = exact(*shards())
    whole = arrays(tmp_path / "c", "whole")
    error = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(
        np.asarray(whole["covariance"][0]) / np.outer(error, error), covariance / np.outer(error, error), atol=0.1
    )
    assert np.all(np.abs(np.asarray(whole["mean"][0]) - mean) < 0.2 * error)


def test_when_the_source_grows_the_group_run_is_a_new_run(tmp_path):
    manifest = document()
    values = manifest["stages"][0]["expand"]["zip"]
    short = {path: {"list": axis_values(axis, path, "", []).data.tolist()[:12]} for path, axis in values.items()}
    manifest["stages"][0]["expand"] = {"zip": {path: axis["list"] for path, axis in short.items()}}
    submit(write_manifest(tmp_path, manifest), tmp_path / "c", executor="inline")
    (before,) = rows(tmp_path / "c", "whole").to_dict("records")
    np.testing.assert_allclose(before["derived.mean_x0"], exact(*shards(12))[0][0], rtol=1e-9)
    report = submit(write_manifest(tmp_path, document()), tmp_path / "c", executor="inline")
    assert [(s.stage, s.n_new, s.n_removed) for s in report.stages] == [("shards", 4, 0), ("whole", 1, 1)]
    (after,) = rows(tmp_path / "c", "whole").to_dict("records")
    assert after["run_id"] != before["run_id"]
    np.testing.assert_allclose(after["derived.mean_x0"], exact(*shards())[0][0], rtol=1e-9)
    again = resume(tmp_path / "c", executor="inline")
    assert [s.n_new for s in again.stages] == [0, 0]


def test_a_plan_counts_before_the_source_ran_and_says_the_cost_after(inline, tmp_path):
    _, whole = plan(MANIFEST, tmp_path / "none")
    assert (whole.n_runs, whole.waits_for, whole.cost) == (1, "shards", None)
    other = document()
    other["stages"][1]["problem"]["parameters"] = ["x0"]
    _, whole = plan(write_manifest(tmp_path, other), inline)
    assert whole.n_new == 1
    assert whole.cost is not None
    # float64: loss, theta[1], mean[1], covariance[1, 1]
    assert whole.cost.trace_bytes == 4 * 8


def test_stages_of_a_chain_are_counted_before_the_first_has_run(tmp_path):
    chain = document()
    third = {"name": "third", "start": {"from": "whole", "pick": "all"}, "problem": {"name": "gaussian", "d": 3}}
    fourth = {"name": "fourth", "start": {"from": "third", "pick": {"best": 2}}, "exclude": ["tag.rank > 2"]}
    engine = {"engine": {"name": "trf"}}
    chain["stages"] += [
        {**third, **engine, "expand": {"grid": {"problem.mean": [0.0, 1.0, 2.0]}}},
        {**fourth, **engine},
    ]
    found = plan(write_manifest(tmp_path, chain), tmp_path / "none")
    assert [(stage.n_runs, stage.waits_for) for stage in found] == [
        (16, None),
        (1, "shards"),
        (3, "whole"),
        (2, "third"),
    ]


def test_what_a_group_reads(inline):
    """Every kind of field, in the order that is asked for."""
    layout, frame = Layout(inline), rows(inline, "shards")
    chosen = frame["run_id"].tolist()[::-3]
    at = frame.index[::-3]
    fields = (
        "theta.*",
        "stderr.x1",
        "loss",
        "covariance",
        "theta",
        "trace.loss",
        "parameter",
        "problem.mean",
        "outcome",
    )
    found = gather(layout, "shards", chosen, fields)
    assert set(found) == {"theta.x0", "theta.x1", "theta.x2", *fields[1:]}
    means, covariances = shards()
    np.testing.assert_allclose(found["theta.x1"], means[at, 1], rtol=1e-9)
    np.testing.assert_allclose(found["stderr.x1"], 2.0, rtol=1e-9)
    np.testing.assert_allclose(found["covariance"], covariances[at], rtol=1e-9)
    np.testing.assert_array_equal(found["loss"], frame["loss"].to_numpy()[at])
    assert found["parameter"].tolist() == [NAMES] * len(chosen)
    np.testing.assert_array_equal(found["problem.mean"], frame["problem.mean"].to_numpy()[at])
    assert found["outcome"].tolist() == ["converged"] * len(chosen)
    for i, n_steps in enumerate(frame["n_steps"].to_numpy()[at]):
        np.testing.assert_allclose(found["theta"][i, n_steps - 1], means[at[i]], atol=1e-6)
        assert np.isnan(found["theta"][i, n_steps:]).all()
    assert found["trace.loss"].shape == found["theta"].shape[:2]
    with pytest.raises(UnknownName, match=r"no field `covarianc`.*") as caught:
        gather(layout, "shards", chosen, ("covarianc",))
    assert "covariance" in (caught.value.hint or "")
    with pytest.raises(Damage, match="1 of 1 runs of stage `shards` are not in the table"):
        gather(layout, "shards", ["f" * 32], ("loss",))


SPREAD = """
import equinox as eqx
import jax
import jax.numpy as jnp

from campaign.problem.base import Problem
from campaign.registry import Options, ProblemPlugin
from campaign.space import Parameter, ThetaSpace

SPACE = ThetaSpace((Parameter(name="unused", initial=0.0),))


class SpreadOptions(Options):
    power: float = 1.0


class Spread(Problem):
    space: ThetaSpace = eqx.field(static=True)
    values: jax.Array
    power: jax.Array

    def derived(self, theta):
        return {"lowest": jnp.min(self.values) ** self.power, "n": jnp.asarray(float(self.values.shape[0]))}


def build(options, gathered):
    return Spread(SPACE, jnp.asarray(gathered["theta.rate"]), jnp.asarray(options.power))


SPREAD = ProblemPlugin(
    name="spread.py:SPREAD", version="1", options=SpreadOptions, build=build, space=lambda _: SPACE, gather=(FIELD,)
)
"""


def spread(folder: Path, field: str = "theta.*", **first: Any) -> Path:
    (folder / "spread.py").write_text(SPREAD.replace("FIELD", repr(field)))
    decay = {"problem": {"name": "decay", "n": 40}, "engine": {"name": "trf"}, "trace": False}
    axes = {"problem.sigma": [0.01, 0.05], "problem.data_seed": {"range": [0, 4, 1]}}
    fit = {"name": "fit", **decay, "expand": {"grid": axes}, **first}
    whole = {
        "name": "whole",
        "problem": {"name": "spread.py:SPREAD"},
        "engine": {"name": "evaluate"},
        "start": {"from": "fit", "pick": "group", "by": ["problem.sigma"]},
        "expand": {"grid": {"problem.power": [1.0, 2.0]}},
    }
    return write_manifest(folder, {"schema": "campaign/1", "name": "spread", "stages": [fit, whole]})


def test_groups_options_and_a_problem_in_a_file(tmp_path):
    report = submit(spread(tmp_path), tmp_path / "c", executor="inline")
    assert report.state == "done"
    fit, whole = rows(tmp_path / "c", "fit"), rows(tmp_path / "c", "whole")
    lowest = fit.groupby("problem.sigma")["theta.rate"].min()
    assert len(whole) == 4
    for row in whole.to_dict("records"):
        expected = lowest[row["problem.sigma"]] ** row["problem.power"]
        assert row["derived.lowest"] == pytest.approx(expected, rel=1e-14)
        assert row["derived.n"] == 4
    meta = json.loads((tmp_path / "c" / "runs" / whole["run_id"][0] / "meta.json").read_text())
    assert meta["axes"]["members"] == whole["members"][0]


@pytest.mark.parametrize("field", ["theta.rte", "metric.*s", "trace.covarianc"])
def test_a_field_that_is_not_there_stops_the_planning(tmp_path, field):
    with pytest.raises(
        ManifestError, match=rf"/stages/1/problem/name: .* reads `{re.escape(field)}`, which the runs of stage"
    ):
        submit(spread(tmp_path, field, trace=True), tmp_path / "c", executor="inline")


def test_a_group_without_an_ok_run_fails_with_its_reason(tmp_path):
    # every fit of sigma 0.05 starts where the model overflows
    axes = [{"problem.sigma": 0.01}, {"problem.sigma": 0.05, "start.rate": -1e9}]
    manifest = spread(tmp_path, expand={"list": axes})
    assert submit(manifest, tmp_path / "c", executor="inline").exit_code == 4
    whole = rows(tmp_path / "c", "whole")
    failed = whole[whole["status"] == "failed"]
    assert set(failed["message"]) == {"no run of stage `fit` with problem.sigma = 0.05 ended ok"}
    assert sorted(whole["status"]) == ["failed", "failed", "ok", "ok"]
