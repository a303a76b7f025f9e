"""Profiles, resampling, leaving data out, comparison of models."""

from dataclasses import replace

import numpy as np
import pytest

from campaign_cosmology import (
    CosmologyWarning,
    bootstrap,
    build_params,
    compare,
    jackknife,
    leave_one_dataset_out,
    profile,
    run_fit,
    select,
)
from campaign_cosmology import profile_error as error_of
from campaign_cosmology.judge.identifiability import curvature
from campaign_cosmology.judge.robustness import data_blocks
from campaign_cosmology.model.objective import _both
from campaign_cosmology.model.space import model_parameters

FREE = ("H0", "Om0", "Obh2")
BEST = {"H0": 68.63524392108138, "Om0": 0.3010206713161032, "Obh2": 0.02253757822292477}
SIGMA = {"H0": 0.30501763615491756, "Om0": 0.0037937630684904034, "Obh2": 0.00012285902201468747}


@pytest.fixture(scope="module")
def joint():
    return select("lcdm", ["cmb", "bao_ani"], FREE, build_params("lcdm"))


@pytest.fixture(scope="module")
def left_out(joint):
    """The fits without CMB and without BAO."""
    return leave_one_dataset_out(joint, BEST)


@pytest.fixture(scope="module")
def without_bins(joint):
    """(their spread, the fits without a bin of BAO each)."""
    return jackknife(joint, BEST)


def test_profile_errors_agree_with_the_curvature_where_chi2_is_a_parabola(joint):
    for name, sigma in SIGMA.items():
        error = error_of(joint, BEST, name)
        assert error.upper - error.best == pytest.approx(sigma, rel=0.02)
        assert error.best - error.lower == pytest.approx(sigma, rel=0.02)


def test_profile_is_lowest_at_the_best_fit_and_minimised_over_the_others(joint):
    values = BEST["H0"] + np.array([-0.6, -0.3, 0.0, 0.3, 0.6])
    found = profile(joint, BEST, "H0", values)
    assert found.delta_chi2[2] == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(found.delta_chi2, ((values - BEST["H0"]) / SIGMA["H0"]) ** 2, rtol=0.05, atol=1e-6)
    slope = np.gradient(found.others["Om0"], found.values)
    assert np.all(slope < 0)  # H0 and Om0 are anticorrelated (−0.97)
    with pytest.raises(ValueError, match="not free"):
        profile(joint, BEST, "ns", [0.96])
    with pytest.raises(ValueError, match="valid: 20 to 150"):
        profile(joint, BEST, "H0", [10.0])


def test_a_profile_at_a_bound_has_one_side(joint):
    free = (*FREE, "k_sat")
    selection = select("pbuf", ["cmb", "bao_ani"], free, build_params("pbuf"))
    best = {"H0": 61.981905763444665, "Om0": 0.30265252811340154, "Obh2": 0.022411822442188437, "k_sat": 0.1}
    error = error_of(selection, best, "k_sat")
    assert error.lower is None
    # the unbounded parabola of the golden fit: −0.058 ± 0.408, chi2 10.7749, crosses 11.9120 near 0.38–0.45
    assert 0.36 < error.upper < 0.48


def test_leaving_a_data_set_out_is_the_fit_without_it(left_out):
    without_cmb, without_bao = left_out
    assert (without_cmb.label, without_bao.label) == ("cmb:cmb3", "bao_ani:desi-dr2")
    assert without_bao.chi2 == pytest.approx(0.0, abs=1e-9)
    assert without_bao.params["H0"] == pytest.approx(67.47716388682032, rel=1e-6)
    assert without_bao.params["Om0"] == pytest.approx(0.31641292542156285, rel=1e-5)
    assert without_bao.shifts["H0"] == pytest.approx((67.47716388682032 - BEST["H0"]) / SIGMA["H0"], rel=1e-3)
    assert without_cmb.n_data == 13
    assert without_cmb.chi2 == pytest.approx(10.2835, abs=0.02)  # Ω_r moves a little with H0 along the valley
    with pytest.raises(ValueError, match="leaves no data"):
        leave_one_dataset_out(select("lcdm", ["cmb"], FREE, build_params("lcdm")), BEST)


def test_what_the_rest_does_not_fix_runs_to_a_bound_and_has_no_shift(left_out):
    """BAO know H0·r_d alone: without the CMB Obh2 ends at its bound, and H0 minus 68.6 in sigmas means nothing."""
    without_cmb, without_bao = left_out
    assert without_cmb.bounds_reached == {"Obh2": "upper"}
    assert set(without_cmb.shifts.values()) == {None}
    assert without_bao.bounds_reached == {}
    assert without_bao.shifts["H0"] == pytest.approx((67.4771639 - BEST["H0"]) / SIGMA["H0"], rel=0.01)


def test_leaving_rows_out_is_their_marginal_likelihood(joint, without_bins):
    """Against scipy on the reduced table: DESI DR2 without the bin z = 0.51."""
    from dataclasses import replace

    from campaign_cosmology.data.tables import table
    from campaign_cosmology.model.objective import ProblemObjective
    from campaign_cosmology.model.optimizers import minimize
    from campaign_cosmology.model.problem import make_setup, problem_from_setup
    from campaign_cosmology.physics.background import Expansion

    full = table("bao_ani")
    keep = full.z != 0.51
    cut = replace(
        full,
        quantity=tuple(q for q, k in zip(full.quantity, keep, strict=True) if k),
        z=full.z[keep],
        z_helio=full.z_helio[keep],
        value=full.value[keep],
        anchor=full.anchor[keep],
        covariance=full.covariance[np.ix_(keep, keep)],
    )
    setup = make_setup((table("cmb"), cut), Expansion(), "PLANCK18", "AAN21")
    objective = ProblemObjective(problem_from_setup(setup, joint.objective.problem.space), joint.objective.base)
    expected = minimize(objective, np.array(list(BEST.values())))
    _, fits = without_bins
    (fit,) = [f for f in fits if f.label.endswith("z=0.51")]
    assert fit.chi2 == pytest.approx(expected.fun, abs=1e-8)
    assert fit.params["H0"] == pytest.approx(expected.x[0], rel=1e-7)


def test_jackknife_covers_the_bins_and_their_spread_is_the_errors_size(joint, without_bins):
    labels = [label for label, _ in data_blocks(joint)]
    assert labels == [f"bao_ani:desi-dr2 z={z}" for z in (0.295, 0.51, 0.706, 0.934, 1.321, 1.484, 2.33)]
    spread, fits = without_bins
    assert len(fits) == spread.n == 7
    assert 0.3 * SIGMA["H0"] < spread.stderr["H0"] < 3 * SIGMA["H0"]


def test_bootstrap_spread_is_the_curvature_error(joint):
    spread = bootstrap(joint, BEST, 60)
    for name, sigma in SIGMA.items():
        assert spread.stderr[name] == pytest.approx(sigma, rel=4 / np.sqrt(2 * 60))
        assert spread.mean[name] == pytest.approx(BEST[name], abs=4 * sigma / np.sqrt(60))
    assert np.corrcoef(spread.samples.T)[0, 1] < -0.9
    again = bootstrap(joint, BEST, 2)
    np.testing.assert_allclose(again.samples, spread.samples[:2], rtol=1e-9)
    with pytest.raises(ValueError, match="2 or more"):
        bootstrap(joint, BEST, 1)


def test_a_selection_is_checked():
    params = build_params("lcdm")
    with pytest.raises(ValueError, match="it is one of the model `pbuf`"):
        select("lcdm", ["cmb"], ["k_sat"], params)
    with pytest.raises(KeyError, match="`H0` is missing"):
        select("lcdm", ["cmb"], ["H0"], {})
    assert select("lcdm", ["cmb"], ["Om0", "H0"], params).free == ("H0", "Om0")


def test_models_are_compared_with_their_caveats():
    lcdm = run_fit("lcdm", ["cmb", "bao_ani"], optimization_params=FREE)
    with pytest.warns(CosmologyWarning, match="k_sat ended at its lower bound"):
        pbuf = run_fit("pbuf", ["cmb", "bao_ani"], optimization_params=[*FREE, "k_sat"])
    comparison = compare(pbuf, lcdm)
    assert comparison.delta_aic == pytest.approx(-1.8191653556118688, abs=1e-7)
    assert comparison.delta_bic == pytest.approx(-1.0465766333720907, abs=1e-7)
    assert any("k_sat is at its lower bound" in caveat for caveat in comparison.caveats)
    with pytest.raises(ValueError, match="data_sha256"):
        compare(lcdm, run_fit("lcdm", ["cmb"]))
    with pytest.raises(ValueError, match="mode `individual`"):
        compare(lcdm, run_fit("lcdm", ["cmb", "bao_ani"], mode="individual"))


def test_curvature_of_a_known_jacobian():
    """One free direction, one degenerate pair, one dead parameter."""
    parameters = tuple(p for p in model_parameters("lcdm") if p.name in ("H0", "Om0", "Obh2", "ns"))
    x = np.array([70.0, 0.3, 0.02, 0.96])
    jacobian = np.zeros((5, 4))
    jacobian[0, 1] = 1 / 0.01  # Om0 measured to 0.01
    jacobian[1, 0], jacobian[1, 2] = 1 / 65.0, 1 / 0.0475  # only H0/65 + Obh2/0.0475 (half ranges) is measured …
    jacobian[1, [0, 2]] *= 50.0  # … to 1/50
    report = curvature(parameters, x, jacobian)
    assert report.stderr["Om0"] == pytest.approx(0.01, rel=1e-12)
    assert report.stderr["H0"] is None
    assert report.unidentified == ["H0", "Obh2", "ns"]
    assert report.n_effective == 2
    assert {"H0", "Obh2"} in [set(d) for d in report.directions]
    held = curvature(parameters, np.array([20.0, 0.3, 0.02, 0.96]), jacobian)
    assert held.bounds_reached == {"H0": "lower"}
    assert held.stderr["Obh2"] is None  # H0 is at its bound because nothing holds it
    assert held.unidentified == ["H0", "Obh2", "ns"]
    assert held.stderr["Om0"] == pytest.approx(0.01, rel=1e-12)
    narrow = tuple(replace(p, lower=0.5 * p.initial, upper=1.5 * p.initial) for p in parameters)
    assert curvature(narrow, x, jacobian) == report  # not with the bounds that a fit was given


def test_two_fits_that_differ_in_their_bounds_compile_once():
    params = build_params("lcdm")
    objectives = [
        select("lcdm", ["bao_ani"], FREE, params, bounds=bounds).objective for bounds in (None, {"H0": (50.0, 90.0)})
    ]
    assert objectives[0].parameters != objectives[1].parameters
    sizes = []
    for one in objectives:
        one.linearised(one.start)
        sizes.append(_both._cached._cache_size())
    assert sizes[0] == sizes[1]
