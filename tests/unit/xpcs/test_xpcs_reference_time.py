"""Coordinates about the rates at t_ref: there and back, their Jacobian, and what chains make of them."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.science import fit
from campaign_xpcs.model import parameters
from campaign_xpcs.model.marginal import marginal_problem
from campaign_xpcs.model.problem import two_time_problem
from campaign_xpcs.model.reference_time import reference_time
from campaign_xpcs.model.simulated import simulated_maps

TRUTH = {"D0": 2000.0, "alpha": -0.3, "D_offset": 100.0}
FLOW = {"gamma_dot_t0": 2e-3, "beta": 0.4, "gamma_dot_t_offset": 1e-4, "phi0": -5.0}
TIMES, DT = jnp.arange(30) * 0.5, jnp.asarray(0.5)
THERE = eqx.filter_jit(lambda chart, u: chart.to_theta(u))
BACK = eqx.filter_jit(lambda chart, theta: chart.to_u(theta))
VOLUME = eqx.filter_jit(lambda chart, u: chart.log_jacobian(u))
SLOPES = eqx.filter_jit(lambda chart, u: jax.jacfwd(chart.to_theta)(u))


def chart_of(values, **options):
    mode = "laminar_flow" if "beta" in values else "static_isotropic"
    space = parameters.space(parameters.physical(mode), values=values, **options)
    free = space.subset(space.free_names)
    return free, reference_time(free, space.names, jnp.asarray(space.initial), TIMES, DT)


CASES = {
    "static": ({**TRUTH}, {}),
    "flow": ({**TRUTH, **FLOW}, {}),
    "table": ({**TRUTH, **FLOW}, {"priors": "table"}),
    "offset held": ({**TRUTH, **FLOW}, {"fixed": ["D_offset"]}),
    "exponent held": ({**TRUTH, **FLOW}, {"fixed": ["alpha", "gamma_dot_t0"]}),
    "exponent below 0": ({**TRUTH}, {"bounds": {"alpha": (-1.5, -0.1)}}),
    "floored start": ({**TRUTH, "D_offset": -5000.0}, {}),
    "no bounds": ({**TRUTH}, {"bounds": {"D_offset": (-np.inf, np.inf), "alpha": (-np.inf, np.inf)}}),
}


@pytest.mark.parametrize("case", CASES)
def test_there_and_back_and_the_volume(case):
    values, options = CASES[case]
    space, chart = chart_of(values, **options)
    start = jnp.asarray(space.initial)
    np.testing.assert_allclose(THERE(chart, BACK(chart, start)), start, rtol=1e-9)
    rng = np.random.default_rng(0)
    for shift in rng.normal(0.0, 0.1, (5, len(space))):
        u = BACK(chart, start) + shift
        theta = THERE(chart, u)
        assert (np.asarray(theta) > space.lower).all()
        assert (np.asarray(theta) < space.upper).all()
        expected = jnp.linalg.slogdet(SLOPES(chart, u))[1]
        assert float(VOLUME(chart, u)) == pytest.approx(float(expected), rel=1e-9, abs=1e-7)
        np.testing.assert_allclose(BACK(chart, theta), u, atol=1e-5)


def test_the_rate_and_its_slope_stay_along_the_offset():
    """Along v of the offset, with the others still, J(t_ref) and dJ/d ln t hardly move: the valley is straight."""
    space, chart = chart_of(TRUTH)
    at, t_ref = space.index("D_offset"), float(np.sqrt(0.5 * 14.5))
    here = BACK(chart, jnp.asarray(space.initial))
    for step in (-0.1, 0.1, 0.3):
        D0, alpha, offset = np.asarray(THERE(chart, here.at[at].add(step / chart.unit[at])))
        assert abs(offset - 100.0) > 300.0
        power = D0 * t_ref**alpha
        assert power + offset == pytest.approx(2000.0 * t_ref**-0.3 + 100.0, rel=0.01)
        assert alpha * power == pytest.approx(-0.3 * 2000.0 * t_ref**-0.3, rel=0.05)


def test_what_has_no_chart():
    held = {"fixed": ["D0", "alpha", "gamma_dot_t0", "beta"]}
    assert chart_of({**TRUTH, **FLOW}, **held)[1] is None


def posterior(with_chart: bool):
    """Maps that know D0, alpha and D_offset to 8 %, 0.05 and 170 only."""
    angles = np.linspace(-180.0, 180.0, 3, endpoint=False)
    mode = "static_isotropic"
    scales = {"contrast": 0.3, "offset": 1.0}
    maps = simulated_maps(
        {**scales, **TRUTH}, phi_deg=angles, n_times=24, dt_s=1.0, q=0.0054, sigma=0.004, mode=mode, seed=3
    )
    inner = dataclasses.replace(two_time_problem(maps, mode=mode), has_chart=with_chart)
    return marginal_problem(inner, space=parameters.space(parameters.physical(mode)))


def on_a_grid(problem) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations by a sum over J(t_ref), slope and offset, where the posterior is a narrow box."""
    t_ref = np.sqrt(23.0)
    rate = 2000.0 * t_ref**-0.3 + 100.0
    power = rate - np.linspace(-1500.0, 800.0, 61)
    J, s, P = np.meshgrid(rate * np.linspace(0.9, 1.1, 41), np.linspace(-530.0, -210.0, 41), power, indexing="ij")
    offset = J - P  # at a fixed P the offset moves with J
    alpha = s / P
    D0 = P * t_ref**-alpha
    theta = np.stack([D0, alpha, offset], axis=-1).reshape(-1, 3)
    value = eqx.filter_jit(lambda p, t: jax.lax.map(p.log_likelihood, t))(problem, jnp.asarray(theta))
    volume = -np.log(P) + np.log(t_ref) * -alpha  # |∂(D0, α, c)/∂(J, s, P)| = t_ref^−α / P
    weight = np.asarray(value) + volume.ravel()
    inside = (np.abs(theta[:, 1]) < 2) & (theta[:, 0] > 100) & (theta[:, 0] < 1e5)
    weight = np.where(inside, np.exp(weight - weight.max()), 0.0)
    mean = np.average(theta, axis=0, weights=weight)
    return mean, np.sqrt(np.average((theta - mean) ** 2, axis=0, weights=weight))


@pytest.mark.long
def test_chains_mix_where_the_offset_is_free():
    """The same posterior as a sum over a grid, in more effective draws of fewer gradients than without the chart."""
    own = {"chains": 4, "warmup": 400, "steps": 1400, "mass": "dense", "metric": "fisher", "target_accept": 0.85}
    with_chart, without = (fit(posterior(one), "nuts", TRUTH, seed=1, engine_options=own) for one in (True, False))
    mean, sd = on_a_grid(posterior(True))
    draws = np.asarray(with_chart.trace["theta"])[400:].reshape(-1, 3)
    error = 5.0 / np.sqrt(with_chart.metric["ess_bulk_min"])
    assert (np.abs(draws.mean(axis=0) - mean) / sd).max() < error
    np.testing.assert_allclose(draws.std(axis=0), sd, rtol=0.15)
    assert with_chart.outcome == "converged"
    assert with_chart.metric["divergences"] == 0
    assert with_chart.metric["ess_bulk_min"] > 2.0 * without.metric["ess_bulk_min"]
    assert with_chart.n_evaluations < without.n_evaluations
