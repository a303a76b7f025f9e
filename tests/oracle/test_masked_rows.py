"""Rows that a problem masks are no data: the same fit as without them, and the same degrees of freedom."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import campaign
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace

SPACE = ThetaSpace((Parameter(name="rate", initial=0.5), Parameter(name="c0", initial=1.0)))


class Decay(Problem):
    """c0 exp(−rate t) with unknown errors; `counts` says which rows are data."""

    space: ThetaSpace = eqx.field(static=True)
    t: jax.Array
    y: jax.Array
    counts: jax.Array
    absolute_sigma = False

    @property
    def n_masked(self):
        return jnp.sum(~self.counts)

    def linear(self):
        return (("c0",),)

    def residuals(self, theta):
        return jnp.where(self.counts, theta[1] * jnp.exp(-theta[0] * self.t) - self.y, 0.0)


@pytest.mark.parametrize("engine", ["trf", "varpro", "scipy-trf"])
def test_masked_rows_are_no_data(engine):
    t = np.linspace(0.0, 5.0, 20)
    y = 2.0 * np.exp(-0.7 * t) + 0.1 * np.random.default_rng(0).standard_normal(20)
    counts = np.arange(20) % 3 != 0
    masked, whole = (
        campaign.fit(Decay(SPACE, jnp.asarray(t[rows]), jnp.asarray(y[rows]), jnp.asarray(counts[rows])), engine)
        for rows in (slice(None), counts)
    )
    n = int(counts.sum())
    assert masked.metric["n_data"] == whole.metric["n_data"] == n
    assert masked.metric["dof"] == n - 2
    slope = np.stack([-masked.theta["c0"] * t * np.exp(-masked.theta["rate"] * t), np.exp(-masked.theta["rate"] * t)])
    r = (masked.theta["c0"] * np.exp(-masked.theta["rate"] * t) - y)[counts]
    inverse = np.linalg.inv(slope[:, counts] @ slope[:, counts].T)
    expected = np.sqrt(np.diag(inverse) * (r @ r) / (n - 2))
    np.testing.assert_allclose([masked.stderr["rate"], masked.stderr["c0"]], expected, rtol=1e-5)
    np.testing.assert_allclose(masked.metric["reduced_chi2"], whole.metric["reduced_chi2"], rtol=1e-9)
