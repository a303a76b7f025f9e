"""Densities, quantiles and supports of the priors against scipy.stats and against their own definition."""

import itertools
import json
import math
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from campaign.errors import InvalidValue, UnknownName
from campaign.priors import Bound, LogNormal, Normal, TruncatedNormal, Uniform
from campaign.space.priors import KINDS, Prior, document, parse

jax.config.update("jax_enable_x64", True)

SCIPY = {
    "uniform": ((-2.0, 3.0), stats.uniform(-2.0, 5.0)),
    "log_uniform": ((1e-3, 1e4), stats.loguniform(1e-3, 1e4)),
    "normal": ((1.0, 2.0), stats.norm(1.0, 2.0)),
    "log_normal": ((0.5, 0.8), stats.lognorm(0.8, scale=math.exp(0.5))),
    "truncated_normal": ((1.0, 2.0, -1.0, 2.5), stats.truncnorm(-1.0, 0.75, 1.0, 2.0)),
    "beta": ((2.0, 0.7), stats.beta(2.0, 0.7)),
    "gamma": ((1.5, 2.0), stats.gamma(1.5, scale=0.5)),
    "exponential": ((3.0,), stats.expon(scale=1 / 3.0)),
    "cauchy": ((1.0, 2.0), stats.cauchy(1.0, 2.0)),
    "half_normal": ((2.0,), stats.halfnorm(scale=2.0)),
    "half_cauchy": ((0.5,), stats.halfcauchy(scale=0.5)),
    "student_t": ((4.0, 1.0, 2.0), stats.t(4.0, 1.0, 2.0)),
}
LEVELS = np.linspace(1e-6, 1 - 1e-6, 1000)


def test_every_kind_is_checked():
    assert SCIPY.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", SCIPY)
def test_log_density_and_quantiles(kind):
    numbers, expected = SCIPY[kind]
    prior = Prior(kind, numbers)
    x = expected.ppf(LEVELS)
    np.testing.assert_allclose(prior.ppf(LEVELS), x, rtol=1e-13)
    np.testing.assert_allclose(prior.log_density(jnp.asarray(x)), expected.logpdf(x), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(prior.ln_pdf(x), expected.logpdf(x), rtol=1e-13)
    np.testing.assert_allclose(prior.cdf(x), expected.cdf(x), rtol=1e-13)
    assert prior.support == expected.support()


@pytest.mark.parametrize("kind", SCIPY)
def test_nothing_outside_the_support(kind):
    numbers, expected = SCIPY[kind]
    low, high = expected.support()
    outside = np.array([v for v in (low - 1e-3, low - 50.0, high + 1e-3, high + 50.0) if math.isfinite(v)])
    assert np.all(np.isneginf(Prior(kind, numbers).log_density(jnp.asarray(outside))))


@pytest.mark.parametrize("kind", SCIPY)
def test_density_integrates_to_one(kind):
    numbers, expected = SCIPY[kind]
    prior = Prior(kind, numbers)
    edges = expected.ppf([0.001, 0.1, 0.5, 0.9, 0.999])
    total = sum(
        integrate.quad(lambda v: float(jnp.exp(prior.log_density(v))), a, b, epsabs=1e-10)[0]
        for a, b in itertools.pairwise(edges)
    )
    assert total == pytest.approx(0.998, abs=1e-8)


@pytest.mark.parametrize("kind", SCIPY)
def test_gradient_is_that_of_scipy_and_finite_everywhere(kind):
    numbers, expected = SCIPY[kind]
    gradient = jax.vmap(jax.grad(Prior(kind, numbers).log_density))
    x = expected.ppf(np.linspace(0.02, 0.98, 25))
    step = 1e-6 * np.abs(x)
    slope = (expected.logpdf(x + step) - expected.logpdf(x - step)) / (2 * step)
    np.testing.assert_allclose(gradient(jnp.asarray(x)), slope, rtol=1e-4, atol=1e-4)
    assert np.all(np.isfinite(gradient(jnp.array([-50.0, 0.0, 0.5, 1.0, 2e4]))))


@pytest.mark.parametrize("numbers", [(0.0, 1.0, 8.0, 9.0), (0.0, 1.0, 30.0, 40.0), (3.0, 0.5, -20.0, -5.0)])
def test_normal_truncated_far_in_a_tail(numbers):
    mean, sd, low, high = numbers
    expected = stats.truncnorm((low - mean) / sd, (high - mean) / sd, mean, sd)
    x = np.linspace(low, high, 9)
    np.testing.assert_allclose(
        Prior("truncated_normal", numbers).log_density(jnp.asarray(x)), expected.logpdf(x), rtol=1e-9
    )


@pytest.mark.parametrize(
    ("kind", "numbers", "ends"),
    [
        ("gamma", (0.5, 1.0), [0.0]),
        ("gamma", (2.0, 1.0), [0.0]),
        ("beta", (0.5, 0.5), [0.0, 1.0]),
        ("log_normal", (0.0, 1.0), [0.0]),
    ],
)
def test_a_pole_at_the_end_of_the_support_is_left_out(kind, numbers, ends):
    """A walker there would have an infinite density and never leave."""
    assert np.all(np.isneginf(Prior(kind, numbers).log_density(jnp.array(ends))))


def test_parse():
    assert parse({"uniform": [50, 90]}) == Prior("uniform", (50, 90))
    assert parse({"exponential": 2.0}) == Prior("exponential", (2.0,))
    assert parse({"normal": {"sd": 2, "mean": 1}}) == Prior("normal", (1, 2))
    with pytest.raises(UnknownName, match="did you mean `uniform`"):
        parse({"unifrom": [0, 1]})
    for wrong in (
        {"uniform": [1, 0]},
        {"normal": [0, 0]},
        {"normal": [0]},
        {"log_uniform": [0, 1]},
        {"beta": [1, math.inf]},
        {"normal": {"mean": 0}},
        {"normal": {"mean": 0, "sd": 1, "low": 2}},
        {"log_normal": {"mean": -1, "sd": 1}},
        {"bound": [{"normal": [0, 1]}, 0, 1]},
        {"bound": {"of": {"normal": [0, 1]}}},
        {"bound": {"of": {"normal": [0, 1]}, "lower": 2, "upper": 1}},
        {"bound": {"of": {"normal": [0, 1]}, "lower": "a"}},
        {"bound": {"of": {"normal": [0, 1]}, "low": 1}},
        {"bound": {"of": {"uniform": [0, 1]}, "lower": 1}},
        {"bound": {"of": {"normal": [0, 1]}, "lower": math.nan}},
        [],
        {},
    ):
        with pytest.raises(InvalidValue):
            parse(wrong)


BOUNDS = {
    "both ends": (Bound(Normal(3.0, 0.5), 1.5, 6.0), stats.truncnorm(-3.0, 6.0, 3.0, 0.5)),
    "from below": (Bound(Normal(0.0, 1.0), lower=-1.0), stats.truncnorm(-1.0, np.inf)),
    "from above": (Bound(Normal(1.0, 2.0), upper=0.0), stats.truncnorm(-np.inf, -0.5, 1.0, 2.0)),
    "upper tail": (Bound(Normal(0.0, 1.0), 10.0, 20.0), stats.truncnorm(10.0, 20.0)),
    "lower tail": (Bound(Normal(0.0, 1.0), -20.0, -10.0), stats.truncnorm(-20.0, -10.0)),
    "30 sd": (Bound(Normal(0.0, 1.0), lower=30.0), stats.truncnorm(30.0, np.inf)),
    "-30 sd": (Bound(Normal(2.0, 0.1), upper=-1.0), stats.truncnorm(-np.inf, -30.0, 2.0, 0.1)),
    "45 sd": (Bound(Normal(0.0, 1.0), 45.0, 50.0), stats.truncnorm(45.0, 50.0)),
    "nested": (Bound(Bound(Normal(0.0, 1.0), -1.0, 3.0), 0.5, 9.0), stats.truncnorm(0.5, 3.0)),
    "of a truncated normal": (Bound(TruncatedNormal(0.0, 1.0, -2.0, 3.0), lower=1.0), stats.truncnorm(1.0, 3.0)),
    "exponential": (Bound(Prior("exponential", (2.0,)), lower=40.0), stats.expon(loc=40.0, scale=0.5)),
    "uniform": (Bound(Uniform(0.0, 10.0), lower=4.0), stats.uniform(4.0, 6.0)),
    "log-uniform": (Bound(Prior("log_uniform", (1e-3, 1e4)), 0.1, 10.0), stats.loguniform(0.1, 10.0)),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_of_a_distribution_are_the_truncated_distribution(name):
    prior, expected = BOUNDS[name]
    x = expected.ppf(LEVELS)
    np.testing.assert_allclose(prior.ppf(LEVELS), x, rtol=1e-12)
    np.testing.assert_allclose(prior.ln_pdf(x), expected.logpdf(x), rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(prior.log_density(jnp.asarray(x)), expected.logpdf(x), rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(prior.cdf(x), LEVELS, rtol=0, atol=1e-12)
    low, high = expected.support()
    assert prior.support == pytest.approx((low, high))
    assert prior.bounds() == tuple(end if math.isfinite(end) else None for end in prior.support)
    beyond = np.array([low - 1e-3, high + 1e-3])
    beyond = beyond[np.isfinite(beyond)]
    assert np.all(np.isneginf(prior.ln_pdf(beyond)))
    assert np.all(np.isneginf(prior.log_density(jnp.asarray(beyond))))
    assert stats.kstest(prior.sample(100_000, 3), expected.cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("prior", "low", "high"),
    [
        (Bound(Normal(3.0, 0.5), 1.5, 6.0), 1.5, 6.0),
        (Bound(Prior("gamma", (2.0, 3.0)), 5.0, 6.0), 5.0, 6.0),
        (Bound(Prior("student_t", (3.0, 0.0, 1.0)), -40.0, -30.0), -40.0, -30.0),
        (Bound(Prior("cauchy", (0.0, 1.0)), 1e3, 2e3), 1e3, 2e3),
        (Bound(LogNormal(0.0, 0.1), 20.0, 21.0), 20.0, 21.0),
        (Bound(Normal(0.0, 1.0), 0.5, 0.5 + 1e-9), 0.5, 0.5 + 1e-9),  # a difference of probabilities has 7 digits
        (Bound(Normal(0.0, 1.0), 10.0, 10.0 + 1e-6), 10.0, 10.0 + 1e-6),
        (Bound(Prior("beta", (2.0, 0.7)), 0.999, 0.9999), 0.999, 0.9999),
    ],
)
def test_bounds_of_a_distribution_integrate_to_one(prior, low, high):
    total, _ = integrate.quad(lambda v: math.exp(prior.ln_pdf(v)), low, high, epsabs=0, epsrel=1e-12)
    assert total == pytest.approx(1.0, abs=1e-10)


def test_a_million_draws_of_a_far_tail_have_its_mean():
    draws = Bound(Normal(0.0, 1.0), 10.0, 20.0).sample(10**6, 1)
    exact = stats.truncnorm(10.0, 20.0)  # 10.098
    assert draws.mean() == pytest.approx(exact.mean(), abs=4 * exact.std() / 1000)
    assert (draws.min(), draws.max()) > (10.0, 10.5)


@pytest.mark.parametrize("prior", [TruncatedNormal(0.0, 1.0, 29.0, 31.0), TruncatedNormal(0.0, 1.0, -31.0, -29.0)])
def test_tails_of_a_truncated_normal_are_finite(prior):
    x = prior.ppf(LEVELS)
    assert np.isfinite(x).all()
    assert np.isfinite(prior.ln_pdf(x)).all()
    assert np.isfinite(prior.log_density(jnp.asarray(x))).all()


def test_a_bound_has_a_gradient_in_its_tail_and_none_outside():
    prior = Bound(Normal(0.0, 1.0), lower=10.0)
    gradient = jax.vmap(jax.grad(prior.log_density))(jnp.array([9.0, 10.5, 30.0]))
    np.testing.assert_allclose(gradient, [0.0, -10.5, -30.0])


def test_log_normal_by_mean_and_standard_deviation():
    prior = LogNormal.from_mean_std(3.0, 1.2)
    mean_log, sd_log = prior.numbers
    exact = stats.lognorm(sd_log, scale=math.exp(mean_log))
    assert (exact.mean(), exact.std()) == pytest.approx((3.0, 1.2), rel=1e-14)
    assert parse({"log_normal": {"mean": 3.0, "sd": 1.2}}) == prior


@pytest.mark.parametrize(
    "prior", [*(prior for prior, _ in BOUNDS.values()), *(Prior(k, n) for k, (n, _) in SCIPY.items())]
)
def test_json_gives_the_same_distribution(prior):
    text = json.dumps(document(prior), allow_nan=False)
    assert parse(json.loads(text)) == prior
    assert hash(parse(json.loads(text))) == hash(prior)


def test_bounds_of_bounds_are_one():
    once = Bound(Normal(0.0, 1.0), 0.5, 3.0)
    assert Bound(Bound(Normal(0.0, 1.0), upper=3.0), 0.5, 9.0) == once
    assert document(once) == {"bound": {"of": {"normal": [0.0, 1.0]}, "lower": 0.5, "upper": 3.0}}
    assert parse({"bound": {"of": {"normal": [0, 1]}, "lower": None, "upper": 3}}) == Bound(Normal(0, 1), upper=3)


def test_the_uniform_density_is_closed():
    assert Uniform(0, 10).ln_pdf(5) == pytest.approx(-2.302585, abs=1e-6)
    np.testing.assert_array_equal(np.isfinite(Uniform(0, 10).ln_pdf(np.array([-1e-9, 0, 10, 10.001]))), [0, 1, 1, 0])


def test_priors_need_no_jax():
    program = """
import sys
from campaign.priors import Bound, Normal, ParameterSet
theta = ParameterSet({"a": Bound(Normal(0, 1), lower=1)}).sample(5, 0)
assert theta.shape == (5, 1)
assert "jax" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
