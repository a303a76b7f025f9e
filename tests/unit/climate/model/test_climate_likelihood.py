"""Gaussian likelihoods against scipy's multivariate normal, their errors, and metrics."""

import numpy as np
import pytest
from scipy import stats

from campaign.science import InvalidValue, Prior
from campaign_climate.judge.fit import fit_metrics
from campaign_climate.model.compared import positions
from campaign_climate.model.likelihood import GaussianLikelihood
from campaign_climate.model.sums import ordered_sum
from campaign_climate.model.target import Target

TIMES = np.array([2000.0, 2001.0, 2003.0, 2004.0, 2010.0])
RNG = np.random.default_rng(5)
VALUES, MODEL, SIGMA = RNG.normal(2, 1, 5), RNG.normal(2, 1, 5), RNG.uniform(0.2, 0.6, 5)


def target(**errors):
    given = {} if "covariance" in errors else {"uncertainties": SIGMA}
    return Target().add_variable("T", TIMES, VALUES, **given, **errors)


def test_one_error_off_costs_a_half():
    one = Target().add_variable("T", [2000], [1.0], 0.1)
    assert GaussianLikelihood().ln_likelihood({"T": np.array([1.1])}, one) == pytest.approx(-0.5, rel=1e-12)


def test_independent_errors():
    wanted = stats.norm.logpdf(VALUES, MODEL, SIGMA).sum()
    found = GaussianLikelihood(normalize=True).ln_likelihood({"T": MODEL}, target())
    assert found == pytest.approx(wanted, rel=1e-12)
    chi2 = (((VALUES - MODEL) / SIGMA) ** 2).sum()
    assert GaussianLikelihood().ln_likelihood({"T": MODEL}, target()) == pytest.approx(-0.5 * chi2, rel=1e-12)


@pytest.mark.parametrize("rho", [0.3, 0.9])
def test_autocorrelated_errors_at_any_distances(rho):
    covariance = np.outer(SIGMA, SIGMA) * rho ** np.abs(TIMES[:, None] - TIMES)
    wanted = stats.multivariate_normal.logpdf(VALUES, MODEL, covariance)
    found = GaussianLikelihood(normalize=True).ln_likelihood({"T": MODEL}, target(rho=rho))
    assert found == pytest.approx(wanted, abs=1e-10)


def test_a_full_covariance():
    root = RNG.normal(size=(5, 5))
    covariance = root @ root.T + 0.1 * np.eye(5)
    wanted = stats.multivariate_normal.logpdf(VALUES, MODEL, covariance)
    found = GaussianLikelihood(normalize=True).ln_likelihood({"T": MODEL}, target(covariance=covariance))
    assert found == pytest.approx(wanted, abs=1e-10)


def test_a_weight_counts_like_a_smaller_error():
    weights = np.array([1.0, 2.0, 0.5, 1.0, 4.0])
    wanted = -0.5 * (weights * ((VALUES - MODEL) / SIGMA) ** 2).sum()
    found = GaussianLikelihood().ln_likelihood({"T": MODEL}, target(weights=weights))
    assert found == pytest.approx(wanted, rel=1e-12)


def test_the_models_own_mean_is_taken_from_it():
    own = target().with_reference_period(2000, 2003)
    y, m = VALUES - VALUES[:3].mean(), MODEL - MODEL[:3].mean()
    wanted = -0.5 * (((y - m) / SIGMA) ** 2).sum()
    for shift in (0.0, 287.0):
        found = GaussianLikelihood().ln_likelihood({"T": MODEL + shift}, own)
        assert found == pytest.approx(wanted, rel=1e-10)


def test_relative_errors_replace_or_add_and_are_of_the_absolute_values():
    own = target().with_reference_period(2000, 2003)
    y, m, relative = VALUES - VALUES[:3].mean(), MODEL - MODEL[:3].mean(), 0.2 * np.abs(VALUES)
    for combine, sigma in (("replace", relative), ("quadrature", np.hypot(SIGMA, relative))):
        likelihood = GaussianLikelihood(relative_error=0.2, combine=combine)
        found = likelihood.ln_likelihood({"T": MODEL}, own)
        assert found == pytest.approx(-0.5 * (((y - m) / sigma) ** 2).sum(), rel=1e-10)
    covariance = np.diag(SIGMA**2)
    found = likelihood.ln_likelihood({"T": MODEL}, target(covariance=covariance).with_reference_period(2000, 2003))
    assert found == pytest.approx(-0.5 * (((y - m) / sigma) ** 2).sum(), rel=1e-10)


def test_a_relative_error_near_nothing_names_the_index_unless_there_is_a_floor():
    values = VALUES.copy()
    values[3] = 1e-4
    own = Target().add_variable("T", TIMES, values)
    with pytest.raises(InvalidValue, match=r"`T` has the value 0.0001 at index 3 \(time 2004\)"):
        GaussianLikelihood(relative_error=0.1).compared(own)
    (one,) = GaussianLikelihood(relative_error=0.1, floor=0.05).compared(own)
    assert one.sigma[3] == 0.05


@pytest.mark.parametrize(
    ("likelihood", "own", "message"),
    [
        (GaussianLikelihood(), Target().add_variable("T", TIMES, VALUES), "no uncertainty at index 0"),
        (GaussianLikelihood(relative_error=0.1), target(covariance=np.eye(5)), "covariance"),
        (
            GaussianLikelihood(relative_error=0.1, combine="quadrature"),
            Target().add_variable("T", TIMES, VALUES),
            "no uncertainties to combine",
        ),
    ],
)
def test_missing_or_contradicting_errors_are_refused(likelihood, own, message):
    with pytest.raises(InvalidValue, match=message):
        likelihood.compared(own)


def test_impossible_options_are_refused():
    with pytest.raises(InvalidValue, match="combine"):
        GaussianLikelihood(combine="add")
    with pytest.raises(InvalidValue, match="relative_error"):
        GaussianLikelihood(relative_error=0.0)


def test_a_model_that_failed_is_impossible():
    likelihood = GaussianLikelihood()
    assert likelihood.ln_likelihood(None, target()) == -np.inf
    assert likelihood.ln_likelihood(RuntimeError("diverged"), target()) == -np.inf
    assert likelihood.ln_likelihood({"T": np.where(TIMES > 2003, np.nan, MODEL)}, target()) == -np.inf
    with pytest.raises(InvalidValue, match="gives no output `T`"):
        likelihood.ln_likelihood({"Q": MODEL}, target())


def test_ranges_of_derived_numbers():
    own = target().add_range("ar6:tcr").add_scalar("X", Prior("normal", (0.0, 2.0)))
    data = GaussianLikelihood().ln_likelihood({"T": MODEL}, target())
    tcr, x = 2.2, 1.0
    found = GaussianLikelihood().ln_likelihood({"T": MODEL, "TCR": tcr, "X": x}, own)
    sd = 0.6 / stats.norm.ppf(0.95)
    wanted = data - 0.5 * ((tcr - 1.8) / sd) ** 2 + stats.norm.logpdf(x, 0, 2)
    assert float(found) == pytest.approx(wanted, rel=1e-9)
    normal = GaussianLikelihood(normalize=True).ln_likelihood({"T": MODEL, "TCR": tcr, "X": x}, own)
    wanted = (
        stats.norm.logpdf(VALUES, MODEL, SIGMA).sum() + stats.norm.logpdf(tcr, 1.8, sd) + stats.norm.logpdf(x, 0, 2)
    )
    assert float(normal) == pytest.approx(wanted, rel=1e-9)


def test_metrics_of_a_variable():
    d = MODEL - VALUES
    found = fit_metrics(target(), {"T": MODEL})["T"]
    assert found["rmse"] == pytest.approx(np.sqrt((d**2).mean()), rel=1e-12)
    assert found["bias"] == pytest.approx(d.mean(), rel=1e-12)
    assert found["mae"] == pytest.approx(np.abs(d).mean(), rel=1e-12)
    assert found["r2"] == pytest.approx(1 - (d**2).sum() / (5 * VALUES.var()), rel=1e-12)
    assert found["chi2_per_n"] == pytest.approx(((d / SIGMA) ** 2).mean(), rel=1e-12)
    flat = Target().add_variable("T", [0, 1], [2.0, 2.0], 1.0)
    assert np.isnan(fit_metrics(flat, {"T": np.array([1.0, 2.0])})["T"]["r2"])


def test_a_year_answers_for_any_time_in_it_and_other_times_only_for_themselves():
    own = Target().add_variable("T", [1850.5, 1852.5], [1, 2], 1.0)["T"]
    np.testing.assert_array_equal(positions(own, np.array([1850, 1851, 1852])), [0, 2])
    np.testing.assert_array_equal(positions(own, np.array([1852.5, 1850.5])), [1, 0])
    with pytest.raises(InvalidValue, match=r"no `T` at 1852.5 \(1 of 2"):
        positions(own, np.array([1850, 1851]))


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 64, 175])
def test_ordered_sums(n):
    x = RNG.normal(size=(3, n))
    np.testing.assert_allclose(ordered_sum(x), x.sum(axis=-1), rtol=1e-13, atol=1e-13)
