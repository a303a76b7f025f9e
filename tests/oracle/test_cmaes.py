"""`cmaes` against pycma, evaluations for evaluations."""

import sys
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.engines.base import Outcome
from campaign.engines.catalogue_cmaes import CmaesOptions
from campaign.engines.cmaes import build
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace
from driving import at_start
from programs import compiled, whole_run

with pytest.MonkeyPatch.context() as unchanged:  # pycma imports pyplot; tests in this process check that we do not
    unchanged.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    import cma

    sys.modules.pop("matplotlib.pyplot", None)

D, WIDTH = 10, 10.24
AXES = 10.0 ** (6.0 * np.arange(D) / (D - 1))
ENDLESS = {"generations": 5000, "max_steps": 200_000, "max_evaluations": 2_000_000, "confirmations": 0, "ftarget": 1e-8}


def ellipsoid(x, xp):
    """Condition number 10⁶."""
    return xp.sum(xp.asarray(AXES) * x**2)


def rastrigin(x, xp):
    """About 11¹⁰ minima in the box, the lowest at 0."""
    return xp.sum(10.0 + x**2 - 10.0 * xp.cos(2.0 * xp.pi * x))


class Function(Problem):
    """−ln L = f(theta)."""

    space: ThetaSpace = eqx.field(static=True)
    function: object = eqx.field(static=True)

    def log_likelihood(self, theta):
        return -self.function(theta, jnp)


def runs_of(function, seeds, **options):
    """Outcomes, losses and evaluations of runs that start at 3 in all coordinates."""
    box = {"initial": 3.0, "lower": -WIDTH / 2, "upper": WIDTH / 2}
    target = at_start(Function(ThetaSpace(tuple(Parameter(name=f"x{i}", **box) for i in range(D))), function))
    engine = build(CmaesOptions(**(ENDLESS | options)))

    def run(key):
        state, _ = whole_run(engine, target, key)
        result = engine.finish(target, state)
        return state.outcome, result.loss, result.n_evaluations

    run = compiled(run)
    return np.array([[float(value) for value in run(jax.random.key(seed))] for seed in seeds]).T


def of_pycma(function, seeds, sigma):
    """Evaluations that pycma needs for the same."""

    def one(seed):
        rng = np.random.default_rng(seed)
        begins = iter([np.full(D, 3.0)])
        options = {"bounds": [-WIDTH / 2, WIDTH / 2], "ftarget": 1e-8, "seed": seed + 1, "verbose": -9}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = cma.fmin(
                lambda x: float(function(x, np)),
                lambda: next(begins, rng.uniform(-WIDTH / 2, WIDTH / 2, D)),
                sigma * WIDTH,
                options,
                restarts=9,
                bipop=True,
            )
        assert found[1] <= 1e-8
        return found[3]

    return [one(seed) for seed in seeds]


def test_an_ill_conditioned_ellipsoid_takes_no_more_evaluations_than_pycma():
    outcome, loss, n = runs_of(ellipsoid, range(5), sigma=0.2)
    assert set(outcome) == {Outcome.CONVERGED}
    assert loss.max() <= 1e-8
    assert np.median(n) <= 1.3 * np.median(of_pycma(ellipsoid, range(5), 0.2))


def test_without_restarts_rastrigin_ends_in_a_wrong_minimum():
    outcome, loss, _ = runs_of(rastrigin, range(10), max_restarts=0)
    assert np.sum(loss < 1e-8) <= 1
    assert (loss[loss > 1e-8] > 0.9).all()  # another minimum: the next one is at 0.995
    assert set(outcome) == {Outcome.CONVERGED}  # a descent that has ended by itself


@pytest.mark.long
def test_bipop_finds_rastrigins_lowest_minimum_with_the_evaluations_of_pycma():
    outcome, loss, n = runs_of(rastrigin, range(11))
    assert set(outcome) == {Outcome.CONVERGED}
    assert loss.max() <= 1e-8
    assert np.median(n) <= 2.0 * np.median(of_pycma(rastrigin, range(7), 0.5))
