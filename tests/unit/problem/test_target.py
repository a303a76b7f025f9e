"""A problem as engines see it: free and fixed parameters, priors, posterior as a density in theta and in u."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from campaign.errors import UnknownName
from campaign.problem.base import ChunkedResiduals, Problem, has_likelihood, has_residuals
from campaign.problem.target import Target
from campaign.space import Parameter, ThetaSpace
from campaign.space.priors import Prior

jax.config.update("jax_enable_x64", True)

SPACE = ThetaSpace(
    (
        Parameter(name="a", initial=1.0, prior=Prior("normal", (0.0, 2.0))),
        Parameter(name="b", initial=2.0, free=False),
        Parameter(name="c", initial=0.5, lower=0.0, upper=4.0, prior=Prior("gamma", (2.0, 1.0)), transform="log"),
        Parameter(name="d", initial=0.0, lower=-1.0, upper=1.0),
    )
)


class Linear(Problem):
    space: ThetaSpace = eqx.field(static=True)

    def residuals(self, theta):
        return jnp.array([theta[0] - theta[1], theta[2] + theta[3], 3.0 * theta[3]])

    def predict(self, theta):
        return {"double": 2.0 * theta}

    def derived(self, theta):
        return {"total": jnp.sum(theta)}


class Root(Problem):
    """ln L = √a: not a number for a < 0."""

    space: ThetaSpace = eqx.field(static=True)

    def log_likelihood(self, theta):
        return jnp.sqrt(theta[0])


def target(problem=None, base=(1.0, 2.0, 0.5, 0.0), **options):
    problem = problem or Linear(SPACE)
    return Target(problem, jnp.asarray(base), jnp.ones(3), **options)


def test_free_and_fixed():
    one = target(base=(1.0, 7.0, 0.5, 0.25))
    assert one.space.names == ("a", "c", "d")
    assert one.free == (0, 2, 3)
    np.testing.assert_array_equal(one.start_theta(), [1.0, 0.5, 0.25])
    np.testing.assert_allclose(one.start(), [1.0, np.log(0.5), 0.25], rtol=1e-15)
    np.testing.assert_array_equal(one.full(jnp.array([10.0, 20.0, 30.0])), [10.0, 7.0, 20.0, 30.0])
    np.testing.assert_allclose(one.theta(one.start()), [1.0, 0.5, 0.25], rtol=1e-15)
    np.testing.assert_allclose(one.u(jnp.array([1.0, 0.5, 0.25])), one.start(), rtol=1e-15)


def test_the_manifests_choice_of_free_parameters():
    one = target(free_names=("b", "d"))
    assert one.space.names == ("b", "d")
    np.testing.assert_array_equal(one.full(jnp.array([5.0, 0.5])), [1.0, 5.0, 0.5, 0.5])
    with pytest.raises(UnknownName, match="unknown parameter `e`"):
        target(free_names=("e",)).space  # noqa: B018


def test_the_problem_at_u():
    one = target()
    u = one.u(jnp.array([1.5, 0.25, 0.5]))
    whole = np.array([1.5, 2.0, 0.25, 0.5])
    residuals = np.array([-0.5, 0.75, 1.5])
    np.testing.assert_allclose(one.residuals(u), residuals, rtol=1e-12)
    assert float(one.log_likelihood(u)) == pytest.approx(-0.5 * residuals @ residuals, rel=1e-12)
    np.testing.assert_allclose(one.predict_at(one.theta(u))["double"], 2 * whole, rtol=1e-12)
    assert float(one.derived_at(one.theta(u))["total"]) == pytest.approx(whole.sum(), rel=1e-12)


def test_log_prior_by_scipy():
    one = target()
    u = one.u(jnp.array([1.5, 0.25, 0.5]))
    expected = stats.norm(0.0, 2.0).logpdf(1.5) + stats.gamma(2.0).logpdf(0.25)  # `d` is flat in its bounds
    assert float(one.log_prior(u)) == pytest.approx(expected, rel=1e-12)
    assert float(one.log_posterior(u)) == pytest.approx(expected + float(one.log_likelihood(u)), rel=1e-12)
    assert np.isneginf(one.log_prior(u.at[2].set(1.01)))
    assert np.isneginf(one.log_posterior(u.at[2].set(-1.01)))
    assert np.isneginf(one.log_posterior(u.at[1].set(np.log(4.01))))


def test_posterior_in_theta_and_in_u_have_the_same_mass():
    space = ThetaSpace(
        (Parameter(name="c", initial=1.0, lower=0.0, prior=Prior("gamma", (2.0, 1.0)), transform="log"),)
    )

    class Flat(Problem):
        space: ThetaSpace = eqx.field(static=True)

        def log_likelihood(self, theta):
            return jnp.zeros(())

    one = Target(Flat(space), jnp.ones(1), jnp.ones(1))
    mass_u = integrate.quad(lambda v: float(jnp.exp(one.log_posterior_u(jnp.array([v])))), np.log(0.1), np.log(3.0))[0]
    assert mass_u == pytest.approx(stats.gamma(2.0).cdf(3.0) - stats.gamma(2.0).cdf(0.1), abs=1e-9)
    np.testing.assert_allclose(one.log_posterior(jnp.array([np.log(2.0)])), stats.gamma(2.0).logpdf(2.0), rtol=1e-12)


def test_a_model_outside_its_domain_has_no_density_and_no_nan_gradient():
    space = ThetaSpace((Parameter(name="a", initial=1.0), Parameter(name="b", initial=0.0, lower=0.0)))
    one = Target(Root(space), jnp.array([1.0, 0.5]), jnp.ones(2))
    assert np.isneginf(one.log_posterior(jnp.array([-1.0, 0.5])))
    assert float(one.log_posterior(jnp.array([4.0, 0.5]))) == 2.0
    gradient = jax.grad(one.log_posterior)(jnp.array([-1.0, -0.5]))  # outside the bounds the model is not asked
    assert np.all(np.isfinite(gradient))


def test_bounds_in_u():
    lower, upper = target().bounds()
    np.testing.assert_allclose(lower, [-np.inf, np.log(1e-150), -1.0], rtol=1e-3)
    np.testing.assert_allclose(upper, [np.inf, np.log(4.0), 1.0])


def test_abilities():
    class Rows(Linear):
        n_residuals: int = eqx.field(static=True, default=3)

        def residual_rows(self, theta, start, size):
            return jax.lax.dynamic_slice(self.residuals(theta), (start,), (size,))

    class Nothing(Problem):
        space: ThetaSpace = eqx.field(static=True)

    assert [has_residuals(p) for p in (Linear(SPACE), Root(SPACE), Nothing(SPACE))] == [True, False, False]
    assert [has_likelihood(p) for p in (Linear(SPACE), Root(SPACE), Nothing(SPACE))] == [True, True, False]
    assert isinstance(Rows(SPACE), ChunkedResiduals)
    assert not isinstance(Linear(SPACE), ChunkedResiduals)
