"""float64 unless asked otherwise; float32 all the way when asked."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import campaign
from campaign.errors import InvalidValue
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace

ENGINES = {
    "trf": {},
    "ensemble": {"walkers": 8, "steps": 40},
    "evaluate": {},
    "jacobian": {},
    "scan": {"grid": {"rate": {"linspace": [0.2, 0.9, 20]}}},
    "hmc": {"warmup": 20, "steps": 40, "chains": 2},
    "lbfgs": {},
    "cmaes": {"reach": 5.0, "max_steps": 20, "max_restarts": 1, "refine": "trf"},
    "particle-swarm": {"particles": 8, "max_steps": 20, "init": "ball"},
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_everything_recorded_has_the_precision_asked_for(engine: str, precision: str) -> None:
    found = campaign.fit("decay", engine, options={"data_seed": 7}, engine_options=ENGINES[engine], precision=precision)
    floats = {name: a for name, a in (found.trace | found.arrays).items() if a.dtype.kind == "f"}
    assert floats
    assert {name: str(a.dtype) for name, a in floats.items()} == dict.fromkeys(floats, precision)


def test_an_engine_may_need_double_precision() -> None:
    with pytest.raises(InvalidValue, match="engine `nuts` does not compute in float32") as found:
        campaign.fit("decay", "nuts", precision="float32")
    assert '"float64"' in (found.value.hint or "")


def test_a_fit_in_single_precision_agrees_to_its_digits() -> None:
    single, double = (
        campaign.fit("decay", "trf", options={"data_seed": 7}, precision=p) for p in ("float32", "float64")
    )
    assert single.run_id != double.run_id
    for name, value in double.theta.items():
        assert single.theta[name] == pytest.approx(value, abs=1e-2 * double.stderr[name])


SPACE = ThetaSpace((Parameter(name="slope", initial=1.0),))


class Line(Problem):
    space: ThetaSpace = eqx.field(static=True)
    x: jax.Array

    def residuals(self, theta):
        return theta[0] * self.x - 1.0


def test_data_that_lost_their_digits_are_refused() -> None:
    with pytest.raises(InvalidValue, match=r"`problem\.x` of the problem is float32: half of its digits are lost"):
        campaign.fit(Line(SPACE, jnp.ones(3, jnp.float32)))
    assert campaign.fit(Line(SPACE, jnp.ones(3, jnp.float32)), precision="float32").outcome == "converged"
    assert campaign.fit(Line(SPACE, np.ones(3))).theta["slope"] == 1.0
