"""`lbfgs` from a bound of a logarithm, where e^(ln bound) lies a rounding error beyond the bound."""

import equinox as eqx
import jax.numpy as jnp
import pytest

from campaign.problem.base import Problem
from campaign.science import fit
from campaign.space import Parameter, ThetaSpace


class Line(Problem):
    space: ThetaSpace = eqx.field(static=True)
    best: float

    def residuals(self, theta):
        return jnp.stack([(theta[0] - self.best) / 1e4, theta[1] - 1.0])


@pytest.mark.parametrize(("best", "expected"), [(5e4, 5e4), (3e5, 1e5)])
def test_it_leaves_the_bound_where_the_optimum_is_inside_and_stays_on_it_elsewhere(best, expected):
    a = Parameter(name="a", initial=1e5, lower=100.0, upper=1e5, transform="log")
    found = fit(Line(ThetaSpace((a, Parameter(name="b", initial=0.0))), best), "lbfgs")
    assert found.outcome == "converged"
    assert found.theta["a"] == pytest.approx(expected, rel=1e-6)
    assert found.theta["a"] <= 1e5
    assert bool(found.bounds_reached) == (expected == 1e5)
