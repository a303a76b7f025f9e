"""`cmaes`: bounds, starts, seeds, places without a cost, refinement."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

import campaign
from campaign.engines.base import Outcome
from campaign.engines.catalogue_cmaes import CmaesOptions
from campaign.engines.cmaes import build
from campaign.errors import InvalidValue
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace
from driving import at_start
from programs import compiled, ended, whole_run
from separable import made

WIDE = {"lower": -4.0, "upper": 6.0}


class Curve(Problem):
    """Two exponentials and an offset, with the residuals of a perfect fit at (1, 0.1, 2)."""

    space: ThetaSpace = eqx.field(static=True)
    absolute_sigma = True

    def residuals(self, theta):
        t = jnp.linspace(0.0, 3.0, 20)
        model = theta[0] * jnp.exp(-t / theta[1]) + theta[2]
        return (model - (jnp.exp(-t / 0.1) + 2.0)) / 0.01


class Cost(Problem):
    """−ln L = a function of theta."""

    space: ThetaSpace = eqx.field(static=True)
    function: object = eqx.field(static=True)

    def log_likelihood(self, theta):
        return -self.function(theta)


def cost(function, *parameters):
    return at_start(Cost(ThetaSpace(parameters), function))


def pair(initial=3.0, **bounds):
    return tuple(Parameter(name=n, initial=initial, **(bounds or WIDE)) for n in "ab")


def sphere(theta):
    return jnp.sum((theta + jnp.array([5.0, -1.0])) ** 2)  # lowest at (−5, 1): a is held by its bound


def test_a_minimum_on_a_bound_is_found_and_said_to_be_there():
    found = ended(build(CmaesOptions(generations=400)), cost(sphere, *pair()))
    assert found.outcome == Outcome.CONVERGED
    np.testing.assert_allclose(found.result.theta, [-4.0, 1.0], atol=1e-4)
    assert (float(found.result.theta[0]), found.result.at_bound.tolist()) == (-4.0, [-1, 0])
    assert found.result.stderr is None
    np.testing.assert_allclose(found.result.loss, 1.0, rtol=1e-7)
    assert int(found.result.metrics["n_descents"]) >= 2


def test_the_same_key_gives_the_same_run_and_another_another():
    engine, target = build(CmaesOptions(max_steps=40)), cost(sphere, *pair())
    run = compiled(lambda key: engine.finish(target, whole_run(engine, target, key)[0]))
    first, again, other = (run(jax.random.key(k)) for k in (3, 3, 4))
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool(jnp.array_equal(a, b)), first, again)))
    assert not np.array_equal(first.theta, other.theta)


def test_places_without_a_cost_are_avoided():
    def holed(theta):
        return jnp.where(theta[0] < 0.5, jnp.nan, jnp.sum((theta - jnp.array([0.6, 1.0])) ** 2))

    found = ended(build(CmaesOptions(confirmations=1, generations=300)), cost(holed, *pair()))
    np.testing.assert_allclose(found.result.theta, [0.6, 1.0], atol=1e-3)
    assert found.outcome == Outcome.CONVERGED


def test_where_nothing_has_a_cost_the_run_fails():
    engine = build(CmaesOptions(max_restarts=1))
    found = ended(engine, cost(lambda theta: jnp.sum(theta) * jnp.nan, *pair()))
    assert found.outcome == Outcome.NONFINITE


def test_a_start_that_is_better_than_everything_is_returned():
    needle = jnp.array([1.2345678901234567, 3.0])

    def function(theta):
        return jnp.where(jnp.all(theta == needle), -100.0, jnp.sum(theta**2))

    start = (
        Parameter(name="a", initial=float(needle[0]), **WIDE),
        Parameter(name="b", initial=float(needle[1]), **WIDE),
    )
    found = ended(build(CmaesOptions(max_steps=60)), cost(function, *start))
    assert found.result.theta.tolist() == needle.tolist()
    assert float(found.result.loss) == float(found.result.loss_initial) == -100.0


def test_a_logarithmic_parameter_is_searched_in_its_logarithm_and_refined_with_errors():
    space = ThetaSpace(
        (
            Parameter(name="a", initial=5.0, lower=0.0, upper=100.0),
            Parameter(name="tau", initial=50.0, lower=1e-4, upper=1e4, transform="log"),
            Parameter(name="c", initial=0.0, lower=-10.0, upper=10.0),
        )
    )
    problem = Curve(space)
    options = {"preset": "thorough", "refine": "trf"}
    fit = campaign.fit(problem, "cmaes", engine_options=options, seed=1)
    np.testing.assert_allclose(list(fit.theta.values()), [1.0, 0.1, 2.0], rtol=1e-6)
    best = campaign.fit(problem, "trf", start=fit.theta)
    np.testing.assert_allclose(list(fit.stderr.values()), list(best.stderr.values()), rtol=1e-5)
    np.testing.assert_allclose(fit.arrays["covariance"], best.arrays["covariance"], rtol=1e-4, atol=1e-12)
    assert (fit.metric["refined"], fit.metric["refine_converged"], fit.outcome) == (1, 1, "converged")
    assert fit.metric["n_large"] >= 2  # a plateau of this model fooled two descents with few points
    assert fit.metric["chi2"] < 1e-10
    assert fit.n_evaluations > fit.trace["n_evaluations"][-1]
    np.testing.assert_array_equal(np.minimum.accumulate(fit.trace["loss"]), fit.trace["loss"])
    assert {"sigma", "popsize", "descent", "generation_loss"} <= set(fit.trace)


def test_a_search_without_refinement_gives_no_errors():
    space = ThetaSpace(tuple(Parameter(name=n, initial=1.0, lower=0.01, upper=10.0) for n in ("a", "tau", "c")))
    fit = campaign.fit(Curve(space), "cmaes", engine_options={"preset": "fast", "confirmations": 1})
    assert fit.stderr == {}
    assert "covariance" not in fit.arrays
    np.testing.assert_allclose(fit.metric["chi2"], 2.0 * fit.loss, rtol=1e-12)


def test_a_refinement_that_does_not_converge_gives_no_errors():
    space = ThetaSpace(tuple(Parameter(name=n, initial=1.0, lower=0.01, upper=10.0) for n in ("a", "tau", "c")))
    options = {"generations": 2, "max_restarts": 0, "refine": "trf", "refine_steps": 1}
    fit = campaign.fit(Curve(space), "cmaes", engine_options=options)
    assert fit.metric["refine_converged"] == 0
    assert "refinement has not converged" in fit.message
    assert np.isnan(list(fit.stderr.values())).all()
    assert fit.loss <= fit.trace["loss"][-1]


def test_what_it_cannot_do_is_said():
    with pytest.raises(InvalidValue, match="`b` has no finite one"):
        ended(
            build(CmaesOptions()),
            cost(sphere, Parameter(name="a", initial=0.0, **WIDE), Parameter(name="b", initial=0)),
        )
    with pytest.raises(InvalidValue, match="gives no residuals"):
        ended(build(CmaesOptions(refine="trf")), cost(sphere, *pair()))
    with pytest.raises(ValidationError, match="knows no priors"):
        CmaesOptions(refine="trf", objective="posterior")
    assert (CmaesOptions().width, CmaesOptions(warm=True).width, CmaesOptions(warm=True, sigma=0.3).width) == (
        0.5,
        0.05,
        0.3,
    )


def test_reach_stands_for_a_bound_that_is_infinite():
    free = tuple(Parameter(name=n, initial=0.0, scale=1.0) for n in "ab")
    found = ended(build(CmaesOptions(reach=10.0, max_restarts=0, generations=300)), cost(sphere, *free))
    assert found.outcome == Outcome.CONVERGED
    np.testing.assert_allclose(found.result.theta, [-5.0, 1.0], atol=1e-4)


def test_linear_parameters_are_solved_for_and_only_the_others_searched():
    amplitudes = np.random.default_rng(2).uniform(0.5, 2.0, (3, 3))
    problem = made((0.4, 2.5), amplitudes, start=(9.0, 9.5), lower=0.0, upper=10.0)
    options = {"reach": 100.0, "refine": "varpro", "confirmations": 1, "generations": 200}
    fit = campaign.fit(problem, "cmaes", engine_options=options)
    best = campaign.fit(problem, "varpro", start={"rate0": 0.4, "rate1": 2.5})
    assert fit.trace["popsize"][0] == 4 + int(3 * np.log(2))  # two rates, nine amplitudes
    np.testing.assert_allclose(fit.loss, best.loss, rtol=1e-10)
    assert fit.metric["refined"] == 1
    assert fit.metric["information_left"] > 0
    swap = fit.theta["rate0"] > 1.0  # the two rates are the same but for their order
    assert sorted((fit.theta["rate0"], fit.theta["rate1"])) == pytest.approx(
        [best.theta["rate0"], best.theta["rate1"]], rel=1e-6
    )
    pair = ("rate1", "rate0") if swap else ("rate0", "rate1")
    assert [fit.stderr[n] for n in pair] == pytest.approx([best.stderr["rate0"], best.stderr["rate1"]], rel=1e-4)
    np.testing.assert_allclose(fit.trace["loss"][-1], best.loss, rtol=1e-6)
    last = dict(zip(problem.space.names, fit.trace["theta"][-1], strict=True))
    np.testing.assert_allclose(campaign.fit(problem, "evaluate", start=last).loss, fit.trace["loss"][-1], rtol=1e-9)


def test_linear_parameters_of_a_posterior_are_not_eliminated():
    problem = made((0.4,), np.ones((1, 2)), start=(1.0,), lower=0.0, upper=10.0)
    target = at_start(problem)
    with pytest.raises(InvalidValue, match="of a posterior"):
        ended(build(CmaesOptions(eliminate=True, objective="posterior", reach=10.0)), target)
    searched = build(CmaesOptions(eliminate=False, reach=10.0))._searched(target)
    assert searched.target is target
