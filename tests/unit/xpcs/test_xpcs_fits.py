"""Fits of small sets: what scaling costs, what angles and frames say of errors, where a fit begins, what is fixed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xpcs_sets
from campaign.science import InvalidValue, fit, fits, multistart
from campaign_xpcs.data.maps import two_time_maps
from campaign_xpcs.judge.comparing import absorbed, f_test
from campaign_xpcs.judge.quality import newton_decrement, quality
from campaign_xpcs.judge.rates import rate_bands
from campaign_xpcs.judge.resampling import angle_jackknife, frame_bootstrap
from campaign_xpcs.model.options import TRUTH
from campaign_xpcs.model.problem import two_time_problem
from campaign_xpcs.model.simulated import simulated_maps
from campaign_xpcs.model.starts import drawn_starts, find_starts

SIZE = (10, 60)
STILL = {"D_offset": 100.0, "gamma_dot_t_offset": 1e-4}  # at their truth: with them the rest is well known


def problem(**changes):
    given = {"shear_model": "homodyne-compat", "values": xpcs_sets.NEAR | STILL, "fixed": list(STILL)} | changes
    return two_time_problem(two_time_maps(**xpcs_sets.make(*SIZE)), **given)


@pytest.fixture(scope="module")
def own():
    made = problem()
    return made, fit(made, "varpro")


def test_a_subset_is_within_its_errors_and_keeps_the_order(own):
    made, found = own
    assert tuple(found.theta) == made.space.names
    for name in ("D0", "alpha", "gamma_dot_t0", "beta", "phi0"):
        assert abs(found.theta[name] - xpcs_sets.TRUE[name]) < 3.0 * found.stderr[name]
    assert found.theta["D_offset"] == 100.0
    assert "D_offset" not in found.stderr
    assert quality(made, found).word == "good"


def test_both_triangles_would_state_errors_too_small_by_the_root_of_two(own):
    """JᵀJ of all N² − N points is twice that of the pairs; our errors are those of the pairs."""
    made, found = own
    free = [made.space.index(name) for name in found.stderr]
    theta = jnp.asarray([found.theta[name] for name in made.space.names])
    half = np.asarray(jax.jit(jax.jacfwd(made.residuals))(theta))[:, free]
    whole = np.concatenate([half, half])
    scale = np.linalg.norm(half, axis=0)
    error = np.sqrt(np.diag(np.linalg.inv((whole / scale).T @ (whole / scale)))) / scale
    np.testing.assert_allclose(np.array(list(found.stderr.values())) / error, np.sqrt(2.0), rtol=1e-6)


def test_the_newton_decrement_is_what_is_left_to_gain(own):
    """One error of phi0 off the optimum, ln L can rise by ½ of what that costs with all else held."""
    made, found = own
    assert newton_decrement(made, found) < 1e-6
    moved = {**found.theta, "phi0": found.theta["phi0"] + 0.5 * found.stderr["phi0"]}
    off = type(found)(**{k: getattr(found, k) for k in found.__slots__} | {"theta": moved})
    theta = jnp.asarray([moved[name] for name in made.space.names])
    left = found.loss + float(made.log_likelihood(theta))
    assert newton_decrement(made, off) == pytest.approx(-left, rel=0.05)


def test_scaling_that_is_too_simple_is_rejected(own):
    """Contrasts of these sets vary by ±10 % as sin 2φ: one for all is wrong, a series of order 2 is right."""
    _, full = own
    averaged, fourier = (fit(problem(scaling=name), "varpro") for name in ("averaged", "fourier"))
    assert f_test(averaged, full).is_rejected
    assert full.metric["dof"] + 18 == averaged.metric["dof"]
    enough = f_test(fourier, full)
    assert enough.p_value > 1e-3
    assert enough.n_restrictions == 10
    for name in ("gamma_dot_t0", "phi0"):
        assert abs(fourier.theta[name] - full.theta[name]) < full.stderr[name]
        assert fourier.stderr[name] <= full.stderr[name] * (1.0 + 1e-6)
    phi = np.deg2rad(xpcs_sets.angles(SIZE[0]))
    basis = np.stack([np.ones_like(phi), np.cos(phi), np.sin(phi), np.cos(2 * phi), np.sin(2 * phi)], axis=1)
    assert fourier.derived["basis_condition"] == pytest.approx(np.linalg.cond(basis), rel=1e-9)
    assert fourier.metric["rank"] == fourier.metric["n_free"] == 15
    assert 0.0 < absorbed(full) < 1.0
    with pytest.raises(InvalidValue, match="larger model second"):
        f_test(full, averaged)


def test_bands_against_central_differences(own):
    made, found = own
    band = rate_bands(made, found)["D"]
    index, t = [list(found.stderr).index(name) for name in ("D0", "alpha")], np.maximum(band.times_s, 0.05)
    D0, alpha = found.theta["D0"], found.theta["alpha"]
    slope = np.stack([t**alpha, D0 * np.log(t) * t**alpha], axis=1)
    covariance = found.arrays["covariance"][np.ix_(index, index)]
    np.testing.assert_allclose(band.stderr**2, np.einsum("ti,ij,tj->t", slope, covariance, slope), rtol=1e-8)
    np.testing.assert_allclose(band.value, D0 * t**alpha + 100.0, rtol=1e-12)


def test_resampled_errors_are_those_of_independent_points(own):
    """Noise of these sets is independent, so errors that do not use that are of like size.

    Not of D0: few angles carry it, the others show shear alone.
    """
    made, found = own
    jack = angle_jackknife(made, found)
    assert jack.names == made.space.names[20:]
    boot = frame_bootstrap(made, found, n=24, block=5, seed=1)
    assert boot.n_failed == 0
    for resampled, low, high in ((jack, 0.3, 3.0), (boot, 0.8, 5.0)):
        errors = dict(zip(resampled.names, resampled.stderr, strict=True))
        for name in ("gamma_dot_t0", "beta", "phi0"):
            assert low < errors[name] / found.stderr[name] < high
    with pytest.raises(InvalidValue, match="blocks"):
        frame_bootstrap(made, found, block=20)


def test_a_search_needs_no_start(own):
    """From nothing but the data to the optimum; and no start is singular."""
    found = find_starts(two_time_maps(**xpcs_sets.make(*SIZE)), shear_model="homodyne-compat", seed=3)
    assert found.n_agree >= 8
    assert (np.abs(found.theta[:, 4]) > 0).all()
    again = find_starts(two_time_maps(**xpcs_sets.make(*SIZE)), shear_model="homodyne-compat", seed=3)
    np.testing.assert_array_equal(found.theta, again.theta)
    whole = problem(fixed=[])
    start, near = (fit(whole, "varpro", own) for own in (found.best, xpcs_sets.NEAR))
    assert start.loss == pytest.approx(near.loss, rel=1e-8)


def test_of_ends_that_agree_the_best_has_no_floor():
    """Few data: the lowest χ² is where D(t) is floored, by 0.04, which says nothing."""
    maps = simulated_maps(
        TRUTH, phi_deg=np.array([-170.0, -50.0, 70.0]), n_times=30, dt_s=0.1, q=0.0054, gap=2e6, seed=3
    )
    found = find_starts(maps)
    assert found.chi2[0] > found.chi2.min()
    assert found.chi2[0] < found.chi2.min() + 10.0
    own = found.best
    times = np.maximum(maps.times_s, 0.5 * maps.dt_s)
    assert (own["D0"] * times ** own["alpha"] * 0.95 + own["D_offset"] > 0).all()


def test_an_end_at_a_bound_is_no_rounding_error_beyond_it():
    """exp(ln 10⁵) is 10⁵ + 3·10⁻¹¹, where no fit may start."""
    truth = {"D0": 2000.0, "alpha": -0.3, "D_offset": 100.0, "contrast": 0.3, "offset": 1.0}
    angles, mode = np.array([-180.0, -60.0, 60.0]), "static_isotropic"
    maps = simulated_maps(truth, phi_deg=angles, n_times=30, dt_s=0.1, q=0.0054, sigma=0.03, mode=mode, seed=1)
    ends = find_starts(maps, mode=mode).theta[:, 0]
    assert np.exp(np.log(1e5)) > 1e5
    assert ends.max() == 1e5


@pytest.mark.long
def test_logarithmic_starts_find_what_uniform_ones_do_not():
    """24 starts of each kind, with the same 60 steps: benchmarks/xpcs_search.py has 96, and CMA-ES."""
    maps, whole = two_time_maps(**xpcs_sets.make(*SIZE)), problem(fixed=[])
    least = fit(whole, "varpro", xpcs_sets.NEAR).loss * (1.0 + 1e-5)
    options = {"max_steps": 60}
    drawn = fits(whole, "varpro", drawn_starts(maps, 24, shear_model="homodyne-compat"), engine_options=options)
    even = multistart(whole, "varpro", 24, scale="linear", screen=1.0, refine=0, engine_options=options).fits
    found, few = (sum(one.loss <= least for one in own) for own in (drawn, even))
    assert found >= 0.45 * 24
    assert found >= 4 * few


def test_the_default_start_is_not_singular():
    for mode in ("laminar_flow", "static_isotropic"):
        space = problem(mode=mode, values={}, fixed=[]).space
        assert space["alpha"].initial != 0.0
        assert mode != "laminar_flow" or space["beta"].initial != 0.0
