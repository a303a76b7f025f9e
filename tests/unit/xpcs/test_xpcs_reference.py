"""Coordinates at the reference time: the same residuals, and a global search that finds the best fit."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import xpcs_sets
from campaign.science import fit
from campaign_xpcs.api.search import searched
from campaign_xpcs.data.cmaes_config import CMAESWrapperConfig
from campaign_xpcs.data.maps import two_time_maps
from campaign_xpcs.model.problem import two_time_problem
from campaign_xpcs.model.reference import can_refer, reference_problem

RESIDUALS = eqx.filter_jit(lambda problem, theta: problem.residuals(theta))


def made(size, **changes):
    given = {"shear_model": "homodyne-compat", "values": xpcs_sets.NEAR} | changes
    return two_time_problem(two_time_maps(**xpcs_sets.make(*size)), **given)


@pytest.mark.parametrize("mode", ["laminar_flow", "static_isotropic"])
def test_the_same_residuals(mode):
    problem = made((4, 12), mode=mode, values={})
    start = {k: v for k, v in xpcs_sets.TRUE.items() if k in problem.space.names}
    other, begin = reference_problem(problem, start)
    t_ref = np.sqrt(0.1 * 1.1)
    assert begin["D_ref"] == pytest.approx(2000.0 * t_ref**-0.3, rel=1e-12)
    assert begin["D_ref_share"] == pytest.approx(100.0 / begin["D_ref"], rel=1e-12)
    assert other.given({**dict(zip(other.space.names, other.space.initial)), **begin}) == pytest.approx(start, rel=1e-9)
    n = problem.n_linear
    theirs = jnp.asarray([*problem.space.initial[:n], *start.values()])
    ours = jnp.asarray([*problem.space.initial[:n], *begin.values()])
    np.testing.assert_allclose(RESIDUALS(other, ours), RESIDUALS(problem, theirs), rtol=1e-9, atol=1e-9)
    far, begin = reference_problem(problem, start | {"D0": 1e5, "D_offset": -9e4, "alpha": 2.0})
    inside = [far.space[name].lower <= value <= far.space[name].upper for name, value in begin.items()]
    assert all(inside)


def test_what_is_held_is_searched_as_it_is():
    assert can_refer(made((4, 12)))
    assert not can_refer(made((4, 12), fixed=["D_offset"]))


@pytest.mark.long
def test_a_search_by_cmaes_finds_the_best_fit_from_random_places():
    """4 of 4 here; benchmarks/xpcs_search.py has 20 searches."""
    problem = made((10, 30))
    least = fit(problem, "varpro").loss * (1.0 + 1e-5)
    config = CMAESWrapperConfig(preset="cmaes-fast")
    names = list(xpcs_sets.TRUE)
    low, high = (np.array([getattr(problem.space[name], end) for name in names]) for end in ("lower", "upper"))
    for unit in np.random.default_rng(5).random((4, len(names))):
        place = dict(zip(names, (low + unit * (high - low)).tolist(), strict=True))
        found = searched(problem, place, config)
        assert fit(problem, "varpro", {name: found.theta[name] for name in names}).loss <= least
