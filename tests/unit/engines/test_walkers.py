"""Walkers start where they should, and always where the posterior is finite."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from campaign.engines.catalogue import EnsembleOptions
from campaign.engines.ensemble import build
from campaign.engines.walkers import ball, prior_draws, pull_inside
from campaign.errors import InvalidValue
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace
from campaign.space.priors import Prior
from driving import at_start


class Flat(Problem):
    space: ThetaSpace = eqx.field(static=True)

    def log_likelihood(self, theta):
        return jnp.zeros(())


class Positive(Flat):
    """Defined for a + b > 0 only."""

    def log_likelihood(self, theta):
        return jnp.log(theta[0] + theta[1])


def theta(target, u):
    return np.asarray(jax.vmap(target.theta)(u))


def test_ball_is_normal_around_the_start_in_theta():
    space = ThetaSpace(
        (
            Parameter(name="a", initial=5.0, scale=0.1),
            Parameter(name="b", initial=2.0, scale=0.02, transform="log", lower=0.0),
        )
    )
    target = at_start(Flat(space))
    draws = theta(target, ball(target, jnp.asarray(3.0), 4000, jax.random.key(1)))
    assert stats.kstest(draws[:, 0], "norm", args=(5.0, 0.3)).pvalue > 0.01
    assert stats.kstest(draws[:, 1], "norm", args=(2.0, 0.06)).pvalue > 0.01


def test_a_start_on_a_bound_keeps_all_walkers_inside():
    space = ThetaSpace(
        (
            Parameter(name="a", initial=0.0, lower=0.0, upper=1.0, scale=0.1),
            Parameter(name="b", initial=3.0, scale=0.1, prior=Prior("uniform", (2.0, 3.0))),
        )
    )
    target = at_start(Flat(space))
    draws = theta(target, ball(target, jnp.asarray(1.0), 500, jax.random.key(2)))
    assert draws[:, 0].min() > 0.0
    assert draws[:, 1].max() < 3.0
    assert stats.kstest(draws[:, 0], "halfnorm", args=(0.0, 0.1)).pvalue > 0.01


def test_walkers_outside_the_models_domain_are_pulled_in():
    space = ThetaSpace(tuple(Parameter(name=n, initial=0.1, scale=10.0) for n in "ab"))
    target = at_start(Positive(space))
    engine = build(EnsembleOptions(walkers=200, steps=10))
    state = engine.init(target, jax.random.key(0))
    sums = np.asarray(state.u).sum(axis=1)
    assert np.all(sums > 0)
    np.testing.assert_allclose(state.log_density, np.log(sums), rtol=1e-10)
    assert len(np.unique(state.u, axis=0)) == 200


def test_pull_inside_leaves_good_walkers_alone():
    def log_density(x):
        return jnp.where(x[0] < 1.0, -x[0], -jnp.inf)

    u, value = pull_inside(jnp.array([[0.5], [1.5], [6.0]]), jnp.array([0.0]), log_density)
    np.testing.assert_array_equal(u[:, 0], [0.5, 0.75, 0.75])
    np.testing.assert_array_equal(value, [-0.5, -0.75, -0.75])


PRIORS = [
    ("normal", Parameter(name="p", initial=0.0, prior=Prior("normal", (1.0, 2.0))), stats.norm(1.0, 2.0)),
    ("gamma", Parameter(name="p", initial=1.0, prior=Prior("gamma", (2.0, 3.0))), stats.gamma(2.0, scale=1 / 3.0)),
    ("bounds", Parameter(name="p", initial=1.0, lower=-1.0, upper=3.0), stats.uniform(-1.0, 4.0)),
    (
        "tail",
        Parameter(name="p", initial=11.0, lower=10.0, upper=20.0, prior=Prior("normal", (0.0, 1.0))),
        stats.truncnorm(10.0, 20.0),
    ),
]


@pytest.mark.parametrize(("parameter", "expected"), [p[1:] for p in PRIORS], ids=[p[0] for p in PRIORS])
def test_prior_draws(parameter, expected):
    target = at_start(Flat(ThetaSpace((parameter,))))
    draws = theta(target, prior_draws(target, 3000, jax.random.key(5)))[:, 0]
    assert stats.kstest(draws, expected.cdf).pvalue > 0.01


def test_prior_draws_need_a_prior_or_bounds():
    target = at_start(Flat(ThetaSpace((Parameter(name="slope", initial=0.0, lower=0.0),))))
    with pytest.raises(InvalidValue, match="`slope` has no prior"):
        prior_draws(target, 4, jax.random.key(0))


def test_too_few_walkers_for_the_parameters():
    space = ThetaSpace(tuple(Parameter(name=f"p{i}", initial=0.0) for i in range(5)))
    engine = build(EnsembleOptions(walkers=8, steps=10))
    with pytest.raises(InvalidValue, match=r"8 walkers are too few for 5 free parameters.*at least 10"):
        engine.init(at_start(Flat(space)), jax.random.key(0))
    with pytest.raises(InvalidValue, match="no free parameter"):
        engine.init(at_start(Flat(space.with_free([]))), jax.random.key(0))


@pytest.mark.parametrize(
    "options",
    [
        {"walkers": 7},
        {"walkers": 2},
        {"a": 1.0},
        {"burn_in": 2.5},
        {"steps": 50, "burn_in": 50},
    ],
)
def test_options_that_make_no_sense(options):
    with pytest.raises(ValueError, match="validation error"):
        EnsembleOptions(**options)


def test_burn_in_as_fraction_and_as_steps():
    assert EnsembleOptions(steps=1000).burn_in_updates == 250
    assert EnsembleOptions(steps=1000, burn_in=0.1).burn_in_updates == 100
    assert EnsembleOptions(steps=1000, burn_in=7).burn_in_updates == 7


@pytest.mark.parametrize(("walkers", "steps"), [(32, 2000), (64, 10**6), (4000, 10**5)])
def test_a_chunk_of_trace_stays_small(walkers, steps):
    engine = build(EnsembleOptions(walkers=walkers, steps=steps))
    assert 1 <= engine.chunk_steps <= engine.max_steps == steps
    assert engine.chunk_steps * walkers * (16 + 1) * 8 <= 16 << 20
