"""Engines through manifest, loop and store: what lies on disk is what can be worked out by hand."""

import json

import numpy as np
import pytest
import zarr

from campaign.drive.doors import submit

PROBLEM = '''
import equinox as eqx
import jax
import jax.numpy as jnp

from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace

SPACE = ThetaSpace((Parameter(name="a", initial=1.0, scale=0.1), Parameter(name="b", initial=0.0, scale=0.1)))


class _Line(Problem):
    """Residuals a x + b − slope x at x = 0 … 22; data that differ between runs, so leaves have a run axis."""

    space: ThetaSpace = eqx.field(static=True)
    data: jax.Array

    def residuals(self, theta):
        return theta[0] * jnp.arange(23.0) + theta[1] - self.data


class _LineByRows(_Line):
    n_residuals: int = eqx.field(static=True, default=23)

    def residual_rows(self, theta, start, size):
        x = start + jnp.arange(size)
        return theta[0] * x + theta[1] - jax.lax.dynamic_slice(self.data, (start,), (size,))


def Line(slope: float = 1.0):
    return _Line(SPACE, slope * jnp.arange(23.0))


def LineByRows(slope: float = 1.0):
    return _LineByRows(SPACE, slope * jnp.arange(23.0))
'''
SLOPES = [1.0, 1.01, 1.02]
X = np.arange(23.0)
DESIGN = np.stack([X, np.ones(23)], axis=1)


@pytest.fixture
def run(tmp_path):
    """Runs one engine on the three slopes: records in order of the axis, and the program's trace group."""
    (tmp_path / "line.py").write_text(PROBLEM)

    def one(problem, engine):
        manifest = {
            "schema": "campaign/1",
            "name": "engines",
            "problem": {"name": f"line.py:{problem}"},
            "engine": engine,
            "expand": {"grid": {"problem.slope": SLOPES}},
        }
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        submit(tmp_path / "manifest.json", tmp_path / "out", executor="inline")
        records = [json.loads(p.read_text()) for p in (tmp_path / "out" / "runs").glob("*/summary.json")]
        (group,) = [g for _, g in zarr.open_group(tmp_path / "out" / "traces.zarr" / "main", mode="r").groups()]
        by_run = {r["run_id"]: r for r in records}
        return [by_run[run_id] for run_id in group["run_id"][:]], group

    return one


@pytest.mark.parametrize(("problem", "n_steps"), [("Line", 1), ("LineByRows", 5)])
def test_jacobian(run, problem, n_steps):
    records, group = run(problem, {"name": "jacobian", "chunk": 5})
    assert group["jacobian"].metadata.dimension_names == ("run", "datum", "parameter")
    np.testing.assert_allclose(group["jacobian"][:], np.broadcast_to(DESIGN, (3, 23, 2)), rtol=1e-12)
    for record, residuals, slope in zip(records, group["residuals"][:], SLOPES, strict=True):
        np.testing.assert_allclose(residuals, (1.0 - slope) * X, rtol=1e-12, atol=1e-14)
        assert record["outcome"] == "converged"
        assert record["n_steps"] == n_steps
        expected = np.sqrt(np.diagonal(np.linalg.inv(DESIGN.T @ DESIGN)))
        np.testing.assert_allclose([record["stderr"]["a"], record["stderr"]["b"]], expected, rtol=1e-10)
        assert record["metric"]["dof"] == 21
    np.testing.assert_allclose(group["fisher"][:], np.broadcast_to(DESIGN.T @ DESIGN, (3, 2, 2)), rtol=1e-12)


def test_scan(run):
    grid = {"a": {"linspace": [0.9, 1.1, 41]}}
    records, group = run("Line", {"name": "scan", "chunk": 10, "grid": grid})
    assert group["log_likelihood"].metadata.dimension_names == ("run", "point")
    a = np.linspace(0.9, 1.1, 41)
    width = 1 / np.sqrt(np.sum(X**2))
    for record, curve, theta, slope in zip(records, group["log_likelihood"][:], group["theta"][:], SLOPES, strict=True):
        np.testing.assert_allclose(curve, -0.5 * ((a - slope) / width) ** 2, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(theta, np.stack([a, np.zeros(41)], axis=1), rtol=1e-12)
        assert record["theta"]["a"] == pytest.approx(slope, abs=1e-12)
        assert record["metric"]["interval_lower"] == pytest.approx(slope - width, abs=5e-4)
        assert record["metric"]["interval_upper"] == pytest.approx(slope + width, abs=5e-4)
        assert record["stderr"] == {"a": None, "b": None}
        assert record["nonfinite"] == []


def test_ensemble(run):
    records, group = run("Line", {"name": "ensemble", "walkers": 16, "steps": 4000, "thin": 2})
    assert group["theta"].metadata.dimension_names == ("run", "step", "walker", "parameter")
    assert group["theta"].shape == (3, 2000, 16, 2)
    expected = np.linalg.inv(DESIGN.T @ DESIGN)
    for record, chain, slope in zip(records, group["theta"][:], SLOPES, strict=True):
        kept = chain[500:].reshape(-1, 2)
        np.testing.assert_allclose([record["theta"]["a"], record["theta"]["b"]], kept.mean(axis=0), rtol=1e-12)
        sd = np.sqrt(np.diagonal(expected))
        error = sd / np.sqrt(record["metric"]["n_effective"])
        assert np.all(np.abs(kept.mean(axis=0) - [slope, 0.0]) < 4 * error)
        np.testing.assert_allclose([record["stderr"]["a"], record["stderr"]["b"]], sd, rtol=0.15)
        assert record["metric"]["rhat_max"] < 1.05
        assert record["message"] is None
    assert len({record["theta"]["a"] for record in records}) == 3
    np.testing.assert_allclose(group["covariance"][:], np.broadcast_to(expected, (3, 2, 2)), rtol=0.3, atol=2e-4)
