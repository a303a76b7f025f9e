"""Parts of the points: all of them have every point once, and their likelihoods add up."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import xpcs_sets
from campaign.science import InvalidValue
from campaign_xpcs.data.maps import two_time_maps
from campaign_xpcs.model.problem import two_time_problem
from campaign_xpcs.model.shards import shard_rows

RESIDUALS = eqx.filter_jit(lambda problem, theta: problem.residuals(theta))

ROWS = eqx.filter_jit(lambda problem, theta, start, size: problem.residual_rows(theta, start, size))


@pytest.mark.parametrize(("n", "k"), [(8, 3), (9, 5), (4, 6)])
def test_every_point_is_in_one_part(n, k):
    parts = [shard_rows(n, shard, k, seed=7) for shard in range(k)]
    assert len({len(part) for part in parts}) == 1
    together = np.concatenate(parts)
    assert sorted(together[together >= 0].tolist()) == list(range(n * (n - 1) // 2))
    assert not np.array_equal(parts[0], shard_rows(n, 0, k, seed=8))
    with pytest.raises(InvalidValue, match="no part"):
        shard_rows(n, k, k)


def test_chi2_of_the_parts_is_that_of_all():
    maps = two_time_maps(**xpcs_sets.make(3, 20))
    whole = two_time_problem(maps)
    theta = jnp.asarray(whole.space.initial)
    parts = [two_time_problem(maps, rows=shard_rows(20, k, 4)) for k in range(4)]
    found = sum(float(jnp.sum(RESIDUALS(part, theta) ** 2)) for part in parts)
    assert found == pytest.approx(float(jnp.sum(RESIDUALS(whole, theta) ** 2)), rel=1e-12)
    assert sum(float(part.n_masked) for part in parts) == 3 * (4 * 48 - 190)
    rows = ROWS(parts[1], theta, jnp.asarray(30), 70)
    np.testing.assert_allclose(rows, RESIDUALS(parts[1], theta)[30:100], rtol=1e-12)
