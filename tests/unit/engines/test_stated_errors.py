"""Which parameters of a fit have no standard error although its Jacobian has full rank."""

import equinox as eqx
import jax.numpy as jnp
import pytest

import campaign
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace


class Two(Problem):
    """x is measured to 0.1, y to 10."""

    space: ThetaSpace = eqx.field(static=True)

    def residuals(self, theta):
        return jnp.stack([(theta[0] - 0.4) / 0.1, (theta[1] - 0.4) / 10.0])


def fitted(lower: float, upper: float):
    y = Parameter(name="y", initial=0.3, lower=lower, upper=upper)
    return campaign.fit(Two(ThetaSpace((Parameter(name="x", initial=0.3, lower=0.0, upper=1.0), y))), engine="trf")


def test_an_error_beyond_the_range_between_the_bounds_says_nothing():
    """The data leave y anywhere between its bounds: it is named and has no error. x is as well known as it was."""
    found = fitted(0.0, 9.9)
    assert found.outcome == "converged"
    assert list(found.unidentified) == ["y"]
    assert found.stderr["x"] == pytest.approx(0.1, rel=1e-9)
    assert found.stderr["y"] != found.stderr["y"]


@pytest.mark.parametrize("upper", [10.1, float("inf")])
def test_an_error_within_the_range_is_stated(upper):
    found = fitted(0.0, upper)
    assert list(found.unidentified) == []
    assert found.stderr["y"] == pytest.approx(10.0, rel=1e-9)
