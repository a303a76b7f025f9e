"""The integral over contrast and offset, against a sum over a grid of both."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

import xpcs_sets
from campaign_xpcs.data.maps import two_time_maps
from campaign_xpcs.model import parameters
from campaign_xpcs.model.marginal import marginal_problem
from campaign_xpcs.model.problem import two_time_problem

SHAPES = eqx.filter_jit(lambda problem, theta: problem.shapes(theta))
LIKELIHOOD = eqx.filter_jit(lambda problem, theta: problem.log_likelihood(theta))
RESIDUALS = eqx.filter_jit(lambda problem, theta: problem.residuals(theta))
OTHER = jnp.asarray([1500.0, -0.4, 300.0, 1.8e-3, -0.1, 0.0, -3.0])
HERE = jnp.asarray([*xpcs_sets.TRUE.values()])


def of(scaling: str, prior: str):
    maps = two_time_maps(**xpcs_sets.make(2, 12, sigma=0.05))
    inner = two_time_problem(maps, shear_model="homodyne-compat", scaling=scaling)
    space = parameters.space(parameters.physical("laminar_flow"))
    return inner, marginal_problem(inner, space=space, prior=prior)


@pytest.mark.parametrize("prior", ["flat", "normal"])
def test_against_a_grid(prior):
    """A difference of ln L between two points, for one constant is left out."""
    inner, own = of("averaged", prior)
    c, o = np.meshgrid(np.linspace(-0.2, 0.9, 301), np.linspace(0.7, 1.3, 301), indexing="ij")

    def by_sum(physics):
        h = np.asarray(SHAPES(inner, jnp.concatenate([jnp.asarray([0.3, 1.0]), physics]))).ravel()
        d, w = np.asarray(inner.data).ravel(), 1.0 / 0.05
        r2 = sum(((c * hh + o - dd) * w) ** 2 for hh, dd in zip(h, d, strict=True))
        weight = ((c - 0.5) ** 2 + (o - 1.0) ** 2) / 0.25**2 if prior == "normal" else 0.0
        return logsumexp(-0.5 * (r2 + weight))

    expected = by_sum(OTHER) - by_sum(HERE)
    assert float(LIKELIHOOD(own, OTHER) - LIKELIHOOD(own, HERE)) == pytest.approx(expected, abs=1e-6)


def test_residuals_are_at_the_best_scales():
    inner, own = of("individual", "flat")
    contrast, offset = eqx.filter_jit(lambda problem, theta: problem.scales(theta))(own, OTHER)
    best = RESIDUALS(inner, jnp.concatenate([contrast, offset, OTHER]))
    assert float(jnp.sum(RESIDUALS(own, OTHER) ** 2)) == pytest.approx(float(jnp.sum(best**2)), rel=1e-12)
    for k in range(2):
        h = np.asarray(SHAPES(inner, jnp.concatenate([contrast, offset, OTHER])))[k]
        fitted = np.polyfit(h, np.asarray(inner.data)[k], 1)
        np.testing.assert_allclose([contrast[k], offset[k]], fitted, rtol=1e-9)
    assert own.n_profiled == 4
