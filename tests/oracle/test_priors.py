"""Densities, quantiles and supports of the priors against scipy.stats and against their own definition."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from campaign.errors import InvalidValue, UnknownName
from campaign.space.priors import KINDS, Prior, parse

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
LEVELS = np.linspace(1e-6, 1 - 1e-6, 501)


def test_every_kind_is_checked():
    assert SCIPY.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", SCIPY)
def test_log_density_and_quantiles(kind):
    numbers, expected = SCIPY[kind]
    prior = Prior(kind, numbers)
    x = expected.ppf(LEVELS)
    np.testing.assert_allclose(prior.ppf(LEVELS), x, rtol=1e-13)
    np.testing.assert_allclose(prior.log_density(jnp.asarray(x)), expected.logpdf(x), rtol=1e-12, atol=1e-12)
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
    with pytest.raises(UnknownName, match="did you mean `uniform`"):
        parse({"unifrom": [0, 1]})
    for wrong in (
        {"uniform": [1, 0]},
        {"normal": [0, 0]},
        {"normal": [0]},
        {"log_uniform": [0, 1]},
        {"beta": [1, math.inf]},
        [],
        {},
    ):
        with pytest.raises(InvalidValue):
            parse(wrong)
