"""The moves of the ensemble: exact draws stay exact draws, and every option reaches the same distribution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from campaign.diagnostics import autocorrelation_time
from campaign.engines.catalogue import EnsembleOptions
from campaign.engines.ensemble import build
from driving import drive, equicorrelated
from programs import compiled

MOVES = {
    "stretch": {"stretch": 1.0},
    "de": {"de": 1.0},
    "snooker": {"snooker": 1.0},
    "mixture": {"de": 0.8, "snooker": 0.2},
}


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "split"), [*((name, "random") for name in MOVES), ("stretch", "even_odd"), ("mixture", "even_odd")]
)
def test_exact_draws_stay_exact_draws(name, split):
    """4,000 ensembles of exact draws, 12 updates each. A wrong power in the snooker's factor fails by p < 1e-30."""
    target, covariance = equicorrelated(3, rho=0.3)
    engine = build(EnsembleOptions(walkers=10, steps=12, burn_in=0, moves=MOVES[name], split=split))
    exact = np.random.default_rng(1).multivariate_normal(np.zeros(3), covariance, size=(4000, 10))

    begun = engine.init(target, jax.random.key(2))

    def one(key, u):
        density = jax.vmap(target.log_posterior_u)(u)
        state = begun._replace(u=u, log_density=density, key=jax.random.key_data(key))
        state, _ = jax.lax.scan(lambda s, _: engine.step(target, s), state, length=12)
        return state.u, state.accepted

    keys = jax.random.split(jax.random.key(2), 4000)
    end, accepted = map(np.asarray, compiled(lambda u: jax.vmap(one)(keys, u))(jnp.asarray(exact)))
    assert accepted.shape == (4000, 10)
    assert np.all(accepted.sum(axis=0) > 4000)  # every walker has moved
    for walker in (0, 7):
        whitened = end[:, walker] @ np.linalg.inv(np.linalg.cholesky(covariance)).T
        for i in range(3):
            assert stats.kstest(whitened[:, i], "norm").pvalue > 0.003


@pytest.mark.parametrize("name", ["de", "mixture"])
def test_moments_of_a_correlated_gaussian(name):
    target, _ = equicorrelated(5, rho=0.8)
    engine = build(EnsembleOptions(steps=12000, burn_in=2000, moves=MOVES[name]))
    _, trace, result = drive(engine, target, jax.random.key(5))
    chain = trace["theta"][2000:]
    n = chain.shape[0] * chain.shape[1]
    assert chain.shape[1] == 32  # the default
    for i in range(5):
        tau = autocorrelation_time(chain[:, :, i])
        assert abs(chain[:, :, i].mean()) < 4 * np.sqrt(tau / n)
        assert abs(chain[:, :, i].std() - 1.0) < 4 * np.sqrt(tau / (2 * n))
    np.testing.assert_allclose(result.arrays["acceptance"].mean(), result.metrics["acceptance"])


def test_even_and_odd_walkers_move_by_each_other():
    """With two places per half the stretch move stays on the line through walker and partner."""
    target, _ = equicorrelated(2, rho=0.0)
    engine = build(EnsembleOptions(walkers=4, steps=1, burn_in=0, split="even_odd"))
    state = engine.init(target, jax.random.key(3))
    u = jnp.array([[0.0, 0.1], [5.0, 0.0], [0.2, 0.0], [5.0, 0.3]])
    state = state._replace(u=u, log_density=jnp.full(4, -1e9))  # everything is accepted
    moved = np.asarray(engine.step(target, state)[0].u)
    before = np.asarray(u)
    for walker in (0, 2):  # the even ones go first, towards odd ones where those stand now
        step = moved[walker] - before[walker]
        ways = [step[0] * way[1] - step[1] * way[0] for way in before[[1, 3]] - before[walker]]
        assert min(abs(w) for w in ways) < 1e-12


def test_thin_need_not_divide_the_steps_and_changes_no_path():
    target, _ = equicorrelated(2)
    long = drive(build(EnsembleOptions(steps=107, burn_in=0)), target, jax.random.key(4))[1]["theta"]
    thinned = drive(build(EnsembleOptions(steps=107, burn_in=0, thin=10)), target, jax.random.key(4))[1]["theta"]
    np.testing.assert_array_equal(thinned, long[9:100:10])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"moves": {"snooker": 1.0}, "walkers": 4}, "at least 6 walkers"),
        ({"moves": {"de": 0.0}}, "weights above 0"),
        ({"positions": [[1.0], [2.0]]}, "belong together"),
        ({"init": "explicit", "positions": [[1.0, 2.0]] * 8}, "parameter number 1"),
        ({"init": "explicit", "positions": [[float(i), 2.0 * i] for i in range(8)]}, "in a plane"),
        ({"init": "explicit", "positions": [[1.0, 2.0], [1.0]]}, "rows of one length"),
        ({"steps": 5, "thin": 10}, "nothing would be recorded"),
    ],
)
def test_options_that_cannot_work_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        EnsembleOptions(**options)


def test_explicit_positions_are_where_the_walkers_start():
    target, _ = equicorrelated(2)
    rows = np.random.default_rng(6).normal(size=(8, 2))
    engine = build(EnsembleOptions(init="explicit", positions=rows.tolist(), walkers=8, steps=10))
    np.testing.assert_array_equal(engine.init(target, jax.random.key(0)).u, rows)
