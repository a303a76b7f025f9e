"""A block of runs, from its plan to its records: neighbours of what fails are untouched."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from campaign.drive.doors import submit
from campaign.errors import InvalidValue, ManifestError

MODEL = textwrap.dedent(
    '''
    """A line whose model breaks where the manifest says so."""

    from typing import Annotated

    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from campaign.problem.base import Problem
    from campaign.registry import Varying
    from campaign.space import Parameter, ThetaSpace

    SPACE = ThetaSpace((Parameter(name="slope", initial=1.0), Parameter(name="height", initial=0.0)))


    class Line(Problem):
        space: ThetaSpace = eqx.field(static=True)
        breaks: jax.Array
        data: jax.Array

        def residuals(self, theta):
            x = jnp.arange(6.0)
            model = theta[0] * x + theta[1]
            return jnp.where(self.breaks > 0, jnp.nan, model - self.data)

        def derived(self, theta):
            return {"at_six": 6.0 * theta[0] + theta[1]}


    def line(breaks: float = 0.0, fails: Annotated[int, Varying()] = 0) -> Line:
        if fails:
            raise ValueError(f"this one fails: {fails}")
        data = 2.0 * jnp.arange(6.0) + 1.0 + jnp.array([0.1, -0.1, 0.1, -0.1, 0.1, -0.1])
        return Line(space=SPACE, breaks=jnp.asarray(breaks), data=data)
    '''
)


def run(folder: Path, stage: dict, **more: object):
    (folder / "line.py").write_text(MODEL)
    document = {"schema": "campaign/1", "name": "lines", **stage, **more}
    (folder / "manifest.json").write_text(json.dumps(document))
    report = submit(folder / "manifest.json", folder / "c", executor="inline")
    return report, pq.read_table(folder / "c" / "tables" / "summary.parquet").to_pandas()


FIT = {"problem": {"name": "line.py:line"}, "engine": {"name": "trf"}}


def least_squares() -> np.ndarray:
    x = np.arange(6.0)
    y = 2.0 * x + 1.0 + np.array([0.1, -0.1, 0.1, -0.1, 0.1, -0.1])
    return np.polyfit(x, y, 1)


@pytest.mark.parametrize("first", [1, 3])  # 1: the very first run cannot be built
def test_runs_whose_build_raises_fail_with_the_reason_and_the_others_are_done(tmp_path: Path, first: int) -> None:
    points = [{"problem.fails": i if i % 10 == first else 0, "start.slope": i / 10} for i in range(1, 31)]
    report, table = run(tmp_path, FIT | {"expand": {"list": points}})
    assert report.state == "failed"
    failed = table[table["status"] == "failed"]
    assert sorted(failed["problem.fails"]) == [first, first + 10, first + 20]
    assert all("ValueError: this one fails" in message for message in failed["message"])
    done = table[table["status"] == "ok"]
    assert len(done) == 27
    np.testing.assert_allclose(done[["theta.slope", "theta.height"]], np.tile(least_squares(), (27, 1)), atol=1e-10)
    np.testing.assert_allclose(done["derived.at_six"], np.polyval(least_squares(), 6.0))


def test_a_problem_of_which_no_run_can_be_built_stops_the_planning(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be built: ValueError: this one fails: 1"):
        run(tmp_path, FIT | {"expand": {"grid": {"problem.fails": [1, 2]}}})
    assert not (tmp_path / "c").exists()


def test_a_model_that_gives_nan_fails_alone(tmp_path: Path) -> None:
    stage = FIT | {"expand": {"grid": {"problem.breaks": [0.0, 1.0], "start.slope": [0.5, 1.5, 2.5]}}}
    report, table = run(tmp_path, stage)
    assert report.exit_code == 4
    broken = table[table["problem.breaks"] == 1]
    assert set(broken["status"]) == {"failed"}
    assert set(broken["outcome"]) == {"nonfinite"}
    assert set(table[table["problem.breaks"] == 0]["status"]) == {"ok"}


def test_a_block_that_does_not_fit_into_memory_is_done_in_halves(tmp_path: Path, monkeypatch) -> None:
    from campaign.work import block as computing

    stage = FIT | {"expand": {"grid": {"start.slope": {"linspace": [0.0, 3.0, 13]}}}, "block": 13}
    _, reference = run(tmp_path, stage)
    real = computing.run_lanes
    sizes: list[int] = []

    def short_of_memory(compiled, batch, *arguments):
        sizes.append(len(batch.words))
        if len(batch.words) > 4:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 80000000000 bytes.")
        return real(compiled, batch, *arguments)

    monkeypatch.setattr(computing, "run_lanes", short_of_memory)
    (tmp_path / "again").mkdir()
    report, table = run(tmp_path / "again", stage)
    assert report.state == "done"
    assert max(sizes) == 13
    assert min(sizes) <= 4
    for name in ("run_id", "theta.slope", "stderr.slope", "loss", "n_steps"):
        assert list(table[name]) == list(reference[name])
    one, other = (traces(folder / "c") for folder in (tmp_path, tmp_path / "again"))
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def traces(directory: Path) -> dict[str, np.ndarray]:
    import zarr

    (folder,) = (p for p in (directory / "traces.zarr" / "main").iterdir() if p.is_dir())
    group = zarr.open_group(folder, mode="r")
    return {name: np.asarray(group[name]) for name in ("loss", "theta", "covariance")}


def test_a_stage_without_traces_writes_none(tmp_path: Path) -> None:
    report, table = run(tmp_path, FIT | {"expand": {"grid": {"start.slope": [0.0, 1.0]}}, "trace": False})
    assert report.state == "done"
    assert not (tmp_path / "c" / "traces.zarr").exists()
    assert set(table["outcome"]) == {"converged"}


def test_only_the_named_fields_are_traced(tmp_path: Path) -> None:
    stage = FIT | {"expand": {"grid": {"start.slope": [0.0, 1.0]}}, "trace": {"fields": ["loss"]}}
    run(tmp_path, stage)
    (folder,) = (p for p in (tmp_path / "c" / "traces.zarr" / "main").iterdir() if p.is_dir())
    assert (folder / "loss").is_dir()
    assert not (folder / "theta").exists()


def test_a_fixed_parameter_keeps_its_start(tmp_path: Path) -> None:
    stage = FIT | {"expand": {"grid": {"start.height": [0.0, 1.0, 2.0]}}}
    stage["problem"] = stage["problem"] | {"free": ["slope"]}
    _, table = run(tmp_path, stage)
    assert list(table["theta.height"]) == [0.0, 1.0, 2.0]
    x = np.arange(6.0)
    y = 2.0 * x + 1.0 + np.array([0.1, -0.1, 0.1, -0.1, 0.1, -0.1])
    for _, row in table.iterrows():
        slope = x @ (y - row["theta.height"]) / (x @ x)
        assert row["theta.slope"] == pytest.approx(slope, abs=1e-10)


def test_retrying_twice_plans_a_run_once(tmp_path: Path) -> None:
    from campaign.drive.doors import resume, retry

    run(tmp_path, FIT | {"expand": {"list": [{"problem.fails": 0}, {"problem.fails": 1}]}})
    assert retry(tmp_path / "c", []) == 1
    assert retry(tmp_path / "c", []) == 0
    resume(tmp_path / "c", executor="inline")
    table = pq.read_table(tmp_path / "c" / "tables" / "summary.parquet").to_pandas()
    assert sorted(table["attempt"]) == [0, 1]
    assert retry(tmp_path / "c", []) == 1


def test_predictions_have_the_coordinates_that_the_problem_names(tmp_path: Path) -> None:
    import xarray

    stage = {"problem": {"name": "decay", "n": 5, "duration": 8.0}, "engine": {"name": "evaluate"}}
    run(tmp_path, stage | {"expand": {"grid": {"start.rate": [0.5, 2.0]}}})
    (group,) = (tmp_path / "c" / "traces.zarr" / "main").glob("*/zarr.json")
    signal = xarray.open_zarr(group.parent)["signal"]
    assert signal.dims == ("run", "time")
    assert signal["time"].attrs["units"] == "s"
    np.testing.assert_array_equal(signal["time"], [0.0, 2.0, 4.0, 6.0, 8.0])
    amplitude, offset = signal.isel(time=0).values[0], 0.0  # start: amplitude 1, no offset, no drift
    expected = amplitude * np.exp(-np.outer([0.5, 2.0], signal["time"].values)) + offset
    np.testing.assert_allclose(signal.values, expected, rtol=1e-12, atol=1e-15)


def test_coordinates_that_do_not_fit_are_an_error(tmp_path: Path) -> None:
    model = MODEL.replace(
        "    def derived(self, theta):",
        "    def predict(self, theta):\n        return {'line': theta[0] * jnp.arange(6.0)}\n\n"
        "    def coordinates(self):\n        return {'line': {'x': jnp.arange(5.0)}}\n\n    def derived(self, theta):",
    )
    (tmp_path / "line.py").write_text(model)
    document = {"schema": "campaign/1", "name": "lines", **FIT, "engine": {"name": "evaluate"}}
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(InvalidValue, match=r"`line` with shape \(6,\), `coordinates` says \{'x': 5\}"):
        submit(tmp_path / "manifest.json", tmp_path / "c", executor="inline")
