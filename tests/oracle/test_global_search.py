"""`particle-swarm` and `random-search` on functions with many minima."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from campaign.engines.base import Outcome
from campaign.engines.catalogue import ParticleSwarmOptions, RandomSearchOptions
from campaign.engines.particle_swarm import build as build_swarm
from campaign.engines.random_search import build as build_search
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace
from campaign.space.priors import Prior
from driving import at_start, drive
from programs import compiled, ended, whole_run


class Rastrigin(Problem):
    """−ln L = Σ 10 + x² − 10 cos 2πx: 121 minima in the box, the lowest at 0."""

    space: ThetaSpace = eqx.field(static=True)

    def log_likelihood(self, theta):
        return -jnp.sum(10.0 + theta**2 - 10.0 * jnp.cos(2.0 * jnp.pi * theta))


def rastrigin():
    return at_start(Rastrigin(ThetaSpace(tuple(Parameter(name=n, initial=3.0, lower=-5.12, upper=5.12) for n in "ab"))))


def test_a_swarm_finds_the_lowest_of_many_minima_nine_times_of_ten():
    engine, target = build_swarm(ParticleSwarmOptions()), rastrigin()

    def run(key):
        state, n = whole_run(engine, target, key)
        return engine.finish(target, state), n

    run = compiled(run)
    found = [run(jax.random.key(k)) for k in range(10)]
    assert sum(float(result.loss) < 1e-4 for result, _ in found) >= 9
    assert all(int(result.n_evaluations) == 40 * int(n) for result, n in found)


def test_a_swarm_that_has_drawn_together_has_converged_and_gives_laplace_errors():
    class Hill(Rastrigin):
        def log_likelihood(self, theta):
            return -0.5 * jnp.sum((theta - 1.0) ** 2 / jnp.array([0.04, 0.25]))

    target = at_start(Hill(rastrigin().space))
    found = ended(build_swarm(ParticleSwarmOptions(max_steps=500)), target, jax.random.key(1))
    assert found.outcome == Outcome.CONVERGED
    np.testing.assert_allclose(found.result.theta, 1.0, atol=1e-3)
    np.testing.assert_allclose(found.result.stderr, [0.2, 0.5], rtol=1e-8)


def test_random_search_is_the_best_of_its_draws_from_the_prior():
    space = ThetaSpace(
        (
            Parameter(name="a", initial=0.0, prior=Prior("normal", (1.0, 2.0))),
            Parameter(name="b", initial=0.0, lower=-5.12, upper=5.12),
        )
    )
    target = at_start(Rastrigin(space))
    _, trace, result = drive(build_search(RandomSearchOptions(samples=1000, chunk=256)), target, jax.random.key(2))
    points, cost = trace["point"].reshape(-1, 2), trace["cost"].ravel()
    assert (np.sum(np.isfinite(cost)), int(result.n_evaluations)) == (1000, 1000)
    best = np.nanargmin(cost)
    np.testing.assert_array_equal(result.theta, points[best])
    np.testing.assert_allclose(result.loss, cost[best])
    draws = points[:1000]
    assert abs(draws[:, 0].mean() - 1.0) < 4 * 2.0 / np.sqrt(1000)
    assert draws[:, 1].min() > -5.12
    shorter = drive(build_search(RandomSearchOptions(samples=300, chunk=256)), target, jax.random.key(2))[1]["point"]
    np.testing.assert_array_equal(shorter.reshape(-1, 2)[:300], draws[:300])
