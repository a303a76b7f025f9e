"""What a problem says of itself, and what it refuses."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xpcs_sets
from campaign.science import InvalidValue, Prior, UnknownName
from campaign_xpcs.data.maps import two_time_maps
from campaign_xpcs.model.problem import two_time_problem

RESIDUALS = eqx.filter_jit(lambda problem, theta: problem.residuals(theta))
SLOPES = eqx.filter_jit(lambda problem, theta: jax.jacfwd(problem.residuals)(theta))
COLUMNS = eqx.filter_jit(lambda problem, theta, start, size: problem.linear_columns(theta, start, size))
MAPS = two_time_maps(**xpcs_sets.make(6, 12))


def test_names_and_their_order():
    names = two_time_problem(MAPS).space.names
    assert names[:7] == (*(f"contrast[{k}]" for k in range(6)), "offset[0]")
    assert names[12:] == tuple(xpcs_sets.TRUE)
    assert two_time_problem(MAPS, mode="static_isotropic").space.names[12:] == ("D0", "alpha", "D_offset")
    assert len(two_time_problem(MAPS, scaling="fourier").space) == 10 + 7
    assert two_time_problem(MAPS, scaling="averaged").space.names[:2] == ("contrast", "offset")
    assert len(two_time_problem(MAPS, scaling="fixed").space) == 7


def test_linear_groups():
    assert two_time_problem(MAPS).linear()[5] == ("contrast[5]", "offset[5]")
    assert two_time_problem(MAPS, scaling="averaged").linear() == (("contrast", "offset"),)
    assert two_time_problem(MAPS, scaling="averaged", fixed=["offset"]).linear() == (("contrast",),)
    assert len(two_time_problem(MAPS, scaling="fourier").linear()[0]) == 10
    assert two_time_problem(MAPS, scaling="fixed").linear() == ()


@pytest.mark.parametrize("scaling", ["individual", "averaged", "fourier", "fixed"])
def test_residuals_are_linear_in_them(scaling):
    """r(c) − r(0) is linear in c, and a group changes its own stretch."""
    problem = two_time_problem(MAPS, scaling=scaling, fixed_scaling=(0.3, 1.0))
    theta = jnp.asarray(problem.space.initial)

    def r(values):
        return RESIDUALS(problem, values)

    for k, group in enumerate(problem.linear()):
        at = jnp.asarray([problem.space.index(name) for name in group])
        step = theta.at[at].add(0.1)
        once, twice = r(step) - r(theta), r(theta.at[at].add(0.2)) - r(theta)
        np.testing.assert_allclose(twice, 2.0 * once, rtol=1e-9, atol=1e-9)
        if scaling == "individual":
            assert (np.flatnonzero(np.abs(once) > 1e-9) // 66 == k).all()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"fixed": ["offset"]},
        {"scaling": "averaged", "fixed": ["contrast"]},
        {"scaling": "fourier"},
        {"mode": "static_isotropic", "rows": np.arange(3, 60, 2)},
    ],
)
def test_linear_columns_are_the_residuals(given):
    """a + Σ c Φ, at some pairs of all angles; of all pairs, of a part, and of pairs that each angle has of its own."""
    problem = two_time_problem(MAPS, **given)
    theta = jnp.asarray(problem.space.initial).at[: problem.n_linear].multiply(1.1)
    expected = np.asarray(RESIDUALS(problem, theta)).reshape(6, -1)[:, 5:25]
    groups = [[problem.space.index(name) for name in group] for group in problem.linear()]
    own = [problem]
    if problem.first is not None:
        pairs = (jnp.tile(frames, (6, 1)) for frames in (problem.first, problem.second))
        own.append(eqx.tree_at(lambda p: (p.first, p.second), problem, tuple(pairs)))
    for one in own:
        phi, rest = COLUMNS(one, theta, jnp.asarray(5), 20)
        c = np.broadcast_to(np.asarray(theta)[np.array(groups)], (6, phi.shape[1]))
        np.testing.assert_allclose(rest + np.sum(phi * c[:, :, None], axis=1), expected, rtol=1e-9, atol=1e-9)


def test_masked_points_are_zero_and_counted():
    mask = np.ones(MAPS.c2.shape, bool)
    mask[2, 3, 7] = mask[2, 7, 3] = False
    c2 = MAPS.c2.copy()
    c2[2, 3, 7] = c2[2, 7, 3] = np.nan
    given = {"phi_deg": MAPS.phi_deg, "q": MAPS.q, "dt_s": MAPS.dt_s, "gap": MAPS.gap, "sigma": 0.01}
    problem = two_time_problem(two_time_maps(c2, mask=mask, diagonal_width=1, **given))
    r = np.asarray(RESIDUALS(problem, jnp.asarray(problem.space.initial)))
    assert np.count_nonzero(r == 0.0) == 1 + 6 * 11
    assert float(problem.n_masked) == 67
    assert np.isfinite(SLOPES(problem, jnp.asarray(problem.space.initial))).all()


@pytest.mark.parametrize(("alpha", "gamma"), [(-2.0, 1e-6), (2.0, 1e-6), (-2.0, 0.5), (2.0, 0.5)])
def test_slopes_are_finite_and_right_at_the_ends_of_the_bounds(alpha, gamma):
    problem = two_time_problem(MAPS, values={"alpha": alpha, "gamma_dot_t0": gamma})
    theta = jnp.asarray(problem.space.initial)
    slopes = np.asarray(SLOPES(problem, theta))
    assert np.isfinite(slopes).all()

    def r(values):
        return RESIDUALS(problem, values)

    for name, step in (("D0", 1.0), ("alpha", 1e-5), ("gamma_dot_t0", 1e-9), ("phi0", 1e-5)):
        i = problem.space.index(name)
        rise = (r(theta.at[i].add(step)) - r(theta.at[i].add(-step))) / (2.0 * step)
        np.testing.assert_allclose(slopes[:, i], rise, rtol=2e-4, atol=2e-4 * np.abs(slopes[:, i]).max() + 1e-9)


def test_no_max_cuts_a_slope():
    """Where homodyne's floor takes over, c2 stops to depend on D0; here it does not."""
    problem = two_time_problem(MAPS, values={"D0": 200.0, "D_offset": -900.0})
    theta = jnp.asarray(problem.space.initial)
    slopes = np.asarray(SLOPES(problem, theta))
    assert np.abs(slopes[:, problem.space.index("D0")]).max() > 1e-7
    assert float(problem.derived(theta)["floored_D"]) == 1.0


def test_derived_numbers():
    problem = two_time_problem(MAPS, values=xpcs_sets.TRUE)
    found = problem.derived(jnp.asarray(problem.space.initial))
    t_ref = np.sqrt(0.1 * 1.1)
    assert float(found["D_ref"]) == pytest.approx(2000.0 * t_ref**-0.3, rel=1e-12)
    assert float(found["gamma_ref"]) == pytest.approx(2e-3 * t_ref**-0.2, rel=1e-12)
    assert float(found["floored_D"]) == 0.0


def test_default_errors_are_not_absolute():
    given = xpcs_sets.make(6, 12) | {"sigma": None}
    assert not two_time_problem(two_time_maps(**given)).absolute_sigma
    assert two_time_problem(MAPS).absolute_sigma


def test_values_bounds_and_priors():
    problem = two_time_problem(
        MAPS,
        values={"contrast": 0.2, "D0": 500.0},
        bounds={"contrast": (0.1, 0.4), "phi0": (-20.0, 20.0)},
        priors={"alpha": Prior("normal", (0.0, 1.0))},
    )
    assert problem.space["contrast[3]"].initial == 0.2
    assert problem.space["contrast[3]"].upper == 0.4
    assert problem.space["phi0"].lower == -20.0
    assert problem.space["alpha"].prior.numbers == (0.0, 1.0)
    table = two_time_problem(MAPS, priors="table", temper=4).space
    assert table["alpha"].prior.numbers == (0.5, 1.0, -2.0, 2.0)  # sd 0.5 · √4


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"mode": "static"}, UnknownName, "mode"),
        ({"scaling": "individul"}, UnknownName, "individual"),
        ({"shear_model": "homodyne"}, UnknownName, "shear model"),
        ({"integration": "simpson"}, UnknownName, "integration"),
        ({"values": {"D1": 1.0}}, UnknownName, "D1"),
        ({"values": {"D0": 1.0}}, InvalidValue, "D0"),
        ({"bounds": {"D0": [1.0]}}, InvalidValue, "bounds of `D0`"),
        ({"fixed": ["gamma"]}, UnknownName, "gamma"),
        ({"scaling": "fourier", "order": 3}, InvalidValue, "7 angles"),
        ({"scaling": "fixed", "fixed_scaling": ([0.3, 0.3], 1.0)}, InvalidValue, "fixed scaling"),
        ({"priors": "flat"}, UnknownName, "priors"),
    ],
)
def test_what_is_refused(given, error, said):
    with pytest.raises(error, match=said):
        two_time_problem(MAPS, **given)


def test_laminar_flow_needs_a_gap():
    with pytest.raises(InvalidValue, match="gap"):
        two_time_problem(two_time_maps(**xpcs_sets.make(3, 12) | {"gap": None}))
