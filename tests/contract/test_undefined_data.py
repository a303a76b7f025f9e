"""A datum that is not a number, through every engine that looks at data."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import campaign
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace

X = np.linspace(0.0, 1.0, 8)
ENGINES = {
    "trf": {},
    "jacobian": {},
    "scipy-trf": {},
    "scipy-lbfgsb": {},
    "nelder-mead": {},
    "scan": {"grid": {"b": [0.5, 1.5]}},
    "evaluate": {},
    "differential-evolution": {},
}


class Line(Problem):
    space: ThetaSpace = eqx.field(static=True)
    y: jax.Array

    def residuals(self, theta):
        return theta[0] + theta[1] * jnp.asarray(X) - self.y


def line(y):
    bounds = {"lower": -10.0, "upper": 10.0}
    return Line(ThetaSpace(tuple(Parameter(name=n, initial=1.0, **bounds) for n in "ab")), jnp.asarray(y))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_run_fails_and_gives_no_errors(engine):
    """J is finite there, so a covariance could be computed, of nothing."""
    found = campaign.fit(line(np.where(X == 0.0, np.nan, X)), engine, engine_options=ENGINES[engine])
    assert (found.outcome, found.status) == ("nonfinite", "failed")
    assert "loss" in found.nonfinite
    assert np.isnan(list(found.stderr.values())).all()  # none, or not a number
