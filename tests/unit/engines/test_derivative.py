"""Derivatives against closed forms, exact and by differences, inside and at a bound."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.engines.derivative import kind_of, n_evaluations, scale_of_u, with_derivative
from campaign.problem.base import Problem
from campaign.problem.target import Target
from campaign.space import Parameter, ThetaSpace

jax.config.update("jax_enable_x64", True)


class Waves(Problem):
    space: ThetaSpace = eqx.field(static=True)

    def residuals(self, theta):
        return jnp.stack([jnp.sin(theta[0]) * theta[1], jnp.exp(theta[1]), theta[0] ** 3])


def target(start, *parameters: Parameter) -> Target:
    space = ThetaSpace(parameters or (Parameter(name="a", initial=1.0), Parameter(name="b", initial=1.0)))
    return Target(Waves(space), jnp.asarray(start), jnp.asarray(space.typical))


def closed_form(a, b):
    return np.array([[np.cos(a) * b, 0.0, 3 * a**2], [np.sin(a), np.exp(b), 0.0]])


@pytest.mark.parametrize(("kind", "rtol"), [("forward", 1e-14), ("finite", 1e-9)])
def test_rows_of_a_jacobian(kind, rtol):
    goal, u = target([0.7, -1.3]), jnp.array([0.7, -1.3])
    value, rows = with_derivative(goal.residuals, goal, u, kind)
    np.testing.assert_allclose(rows, closed_form(0.7, -1.3), rtol=rtol, atol=1e-10 if kind == "finite" else 0)
    np.testing.assert_array_equal(value, goal.residuals(u))


@pytest.mark.parametrize(("kind", "rtol"), [("reverse", 1e-14), ("forward", 1e-14), ("finite", 1e-9)])
def test_gradient(kind, rtol):
    goal, u = target([0.7, -1.3]), jnp.array([0.7, -1.3])
    r = np.array([np.sin(0.7) * -1.3, np.exp(-1.3), 0.7**3])
    _, slope = with_derivative(goal.log_likelihood, goal, u, kind)
    np.testing.assert_allclose(slope, -closed_form(0.7, -1.3) @ r, rtol=rtol)


@pytest.mark.parametrize(("lower", "upper"), [(0.7, 9.0), (-9.0, 0.7), (-9.0, 9.0)])
def test_differences_stay_inside_the_bounds(lower, upper):
    """Where the model is NaN outside: one-sided differences of the same order."""

    class Inside(Waves):
        def residuals(self, theta):
            is_inside = (theta[0] >= lower) & (theta[0] <= upper)
            return jnp.where(is_inside, super().residuals(theta), jnp.nan)

    space = ThetaSpace(
        (Parameter(name="a", initial=0.7, lower=lower, upper=upper), Parameter(name="b", initial=-1.3, lower=-2.0))
    )
    goal = Target(Inside(space), jnp.array([0.7, -1.3]), jnp.asarray(space.typical))
    _, rows = with_derivative(goal.residuals, goal, goal.start(), "finite")
    np.testing.assert_allclose(rows, closed_form(0.7, -1.3), rtol=1e-7, atol=1e-7)


def test_differences_of_numbers_far_from_one():
    small = Parameter(name="a", initial=1e-9, scale=1e-11)
    goal = target([1e-9, 1.0], small, Parameter(name="b", initial=1.0))
    _, rows = with_derivative(goal.residuals, goal, goal.start(), "finite")
    np.testing.assert_allclose(rows[0, 0], np.cos(1e-9), rtol=1e-9)


def test_what_jax_cannot_differentiate_is_recognised():
    goal = target([0.7, -1.3])

    def looped(t, u):
        return jax.lax.while_loop(lambda x: jnp.sum(x) < 5, lambda x: 2 * x, jnp.exp(u))

    def python(t, u):
        return jax.pure_callback(lambda x: np.sum(x), jax.ShapeDtypeStruct((), u.dtype), u)

    assert kind_of(lambda t, u: t.log_likelihood(u), goal) == "reverse"
    assert kind_of(lambda t, u: jnp.sum(looped(t, u)), goal) == "forward"
    assert kind_of(lambda t, u: t.residuals(u), goal) == "forward"
    assert kind_of(python, goal) == "finite"
    assert [n_evaluations(kind, 4) for kind in ("reverse", "forward", "finite")] == [1, 5, 9]
    with pytest.raises(TypeError, match="dot_general"):
        kind_of(lambda t, u: jnp.zeros(3) @ u, goal)  # an error of the model itself is not swallowed


def test_typical_changes_of_u():
    log = Parameter(name="a", initial=5.0, scale=0.5, lower=0.0, transform="log")
    logit = Parameter(name="b", initial=0.25, scale=0.01, lower=0.0, upper=1.0, transform="logit")
    goal = target([5.0, 0.25], log, logit)
    np.testing.assert_allclose(scale_of_u(goal), [0.5 / 5.0, 0.01 / (0.25 * 0.75)], rtol=1e-12)


def test_along_a_parameter_that_does_nothing_differences_are_zero():
    class One(Waves):
        def residuals(self, theta):
            return jnp.exp(theta[1] * jnp.arange(4.0)) / 0.3

    space = ThetaSpace((Parameter(name="a", initial=0.7), Parameter(name="b", initial=-1.3)))
    goal = Target(One(space), jnp.array([0.7, -1.3]), jnp.asarray(space.typical))
    _, rows = with_derivative(goal.residuals, goal, goal.start(), "finite")
    np.testing.assert_array_equal(rows[0], 0.0)
    assert (rows[1][1:] != 0.0).all()
