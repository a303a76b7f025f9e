"""Evidences from fits and draws against closed forms and quadrature."""

import math

import numpy as np
import pytest
from scipy import integrate, signal, stats

from campaign.analysis.chain import Chain
from campaign.analysis.evidence import Evidence, compare_evidence, laplace_evidence, savage_dickey
from campaign.errors import InvalidValue, UnknownName
from campaign.space.priors import Prior

WIDE = Prior("normal", (0.0, 3.0))


def ratio(mean, sd, value, prior):
    """ln of posterior over prior density where the posterior is this normal one."""
    return float(stats.norm.logpdf(value, mean, sd) - prior.ln_pdf(value))


@pytest.mark.parametrize("away", [0.0, 1.0, 2.0])
def test_savage_dickey_of_a_gaussian(away):
    """20 sets of draws: no bias, and errors that are honest."""
    rng = np.random.default_rng(3)
    exact = ratio(1.0, 0.5, 1.0 + 0.5 * away, WIDE)
    found = [savage_dickey(rng.normal(1.0, 0.5, 4000), None, 1.0 + 0.5 * away, WIDE) for _ in range(20)]
    values = np.array([one.log_bayes_factor for one in found])
    errors = np.array([one.stderr for one in found])
    assert abs(values.mean() - exact) < 0.03
    assert values.std() < 1.6 * errors.mean()
    assert errors.mean() < 0.08


def test_savage_dickey_knows_that_a_chain_is_correlated():
    """Autoregressions with τ = 19: the scatter of 20 of them is what each states, more than that of shuffled draws."""
    rng = np.random.default_rng(5)
    chains = signal.lfilter([math.sqrt(1 - 0.9**2)], [1.0, -0.9], rng.normal(size=(20, 20_500)), axis=1)[:, 500:]
    slow = [savage_dickey(x, None, 0.5, WIDE) for x in chains]
    values, errors = (np.array([getattr(one, name) for one in slow]) for name in ("log_bayes_factor", "stderr"))
    assert 0.6 < values.std() / errors.mean() < 1.6
    assert abs(values.mean() - ratio(0.0, 1.0, 0.5, WIDE)) < 0.02
    assert savage_dickey(rng.permutation(chains[0]), None, 0.5, WIDE).stderr < 0.8 * errors.mean()


def test_savage_dickey_at_the_bound_of_a_prior():
    """An exponential posterior: half of its kernels would lie beyond the bound."""
    draws = np.random.default_rng(7).exponential(0.2, 20_000)
    found = savage_dickey(draws, None, 0.0, Prior("uniform", (0.0, 4.0)))
    assert abs(found.log_bayes_factor - math.log(5.0 * 4.0)) < 0.1


def test_savage_dickey_takes_a_chain_by_name():
    samples = np.random.default_rng(9).normal(size=(500, 8, 2)) * [1.0, 0.1]
    chain = Chain(samples=samples, log_probs=np.zeros((500, 8)), names=("a", "b"))
    found = savage_dickey(chain, "b", 0.1, {"normal": [0.0, 3.0]})
    assert abs(found.log_bayes_factor - ratio(0.0, 0.1, 0.1, WIDE)) < 0.1
    same = savage_dickey(samples.reshape(-1, 2), 1, 0.1, WIDE)
    assert same.log_bayes_factor == pytest.approx(found.log_bayes_factor, abs=0.02)
    with pytest.raises(UnknownName, match="no parameter `c`"):
        savage_dickey(chain, "c", 0.0, WIDE)


def test_savage_dickey_says_where_the_draws_do_not_reach():
    draws = np.random.default_rng(1).normal(size=2000)
    far = savage_dickey(draws, None, 6.0, WIDE)
    assert far.log_bayes_factor is None
    assert "far below 0" in far.note
    with pytest.raises(InvalidValue, match="no density at 5"):
        savage_dickey(draws, None, 5.0, Prior("uniform", (-4.0, 4.0)))
    with pytest.raises(InvalidValue, match="too few"):
        savage_dickey(draws[:10], None, 0.0, WIDE)


def test_laplace_is_exact_for_gaussians_with_normal_and_wide_flat_priors():
    """Two measurements of (a, b) with a correlated error; a has a normal prior, b a flat one."""
    best, covariance = np.array([1.0, -0.3]), np.array([[0.2, 0.05], [0.05, 0.1]])
    priors = {"a": Prior("normal", (0.2, 0.7)), "b": Prior("uniform", (-9.0, 6.0))}
    loss = 4.2
    spread = stats.norm.logpdf(best[0], 0.2, math.sqrt(0.7**2 + 0.2))
    exact = -loss + math.log(2 * math.pi) + 0.5 * math.log(np.linalg.det(covariance)) + spread - math.log(15.0)
    found = laplace_evidence(loss=loss, theta={"a": 1.0, "b": -0.3}, covariance=covariance, priors=priors)
    assert found.log_evidence == pytest.approx(exact, abs=1e-9)
    assert (found.stderr, found.note) == (None, "")
    peak = np.linalg.inv(np.linalg.inv(covariance) + np.diag([1 / 0.49, 0.0]))  # the same from the posterior's peak
    top = peak @ (np.linalg.inv(covariance) @ best + [0.2 / 0.49, 0.0])
    away = top - best
    again = laplace_evidence(
        loss=loss + 0.5 * away @ np.linalg.inv(covariance) @ away,
        theta=dict(zip("ab", top.tolist(), strict=True)),
        covariance=peak,
        priors=priors,
        is_posterior=True,
    )
    assert again.log_evidence == pytest.approx(exact, abs=1e-9)


def test_laplace_against_quadrature_of_a_curved_prior():
    """A likelihood that is narrower than its gamma prior: second order is enough."""
    prior = Prior("gamma", (3.0, 2.0))
    exact = math.log(integrate.quad(lambda x: math.exp(-0.5 * ((x - 1.4) / 0.1) ** 2 + prior.ln_pdf(x)), 0.5, 2.5)[0])
    found = laplace_evidence(loss=0.0, theta={"x": 1.4}, covariance=np.array([[0.01]]), priors={"x": prior})
    assert found.log_evidence == pytest.approx(exact, abs=1e-4)


def test_laplace_says_what_it_cannot_do():
    given = {"loss": 1.0, "theta": {"x": 0.1}, "priors": {"x": Prior("uniform", (0.0, 4.0))}}
    near = laplace_evidence(covariance=np.array([[0.01]]), **given)
    assert near.log_evidence is not None
    assert near.note == "a bound of `x` is 1.0 standard errors away: ln Z is too high"
    for reason, text in (({"unidentified": ["x"]}, "not determined"), ({"bounds_reached": ["x"]}, "ended on a bound")):
        none = laplace_evidence(covariance=np.array([[0.01]]), **given, **reason)
        assert none.log_evidence is None
        assert text in none.note
    assert laplace_evidence(covariance=np.array([[math.nan]]), **given).log_evidence is None
    with pytest.raises(InvalidValue, match="one row for each"):
        laplace_evidence(covariance=np.eye(2), **given)


def test_comparison_is_against_the_best():
    table = [
        Evidence(name="poor", method="nested", log_evidence=-12.0, stderr=0.3),
        Evidence(name="none", method="laplace", log_evidence=None),
        Evidence(name="best", method="nested", log_evidence=-10.0, stderr=0.4),
        Evidence(name="fit", method="laplace", log_evidence=-11.0),
    ]
    found = compare_evidence(table)
    assert [one.name for one in found] == ["best", "fit", "poor", "none"]
    assert [one.log_bayes_factor for one in found] == [0.0, -1.0, -2.0, None]
    assert [one.bayes_stderr for one in found] == [0.0, None, pytest.approx(0.5), None]
