"""`trf` with default options against NIST: certified answers, every data set, from the far start and the near one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.engines.base import Outcome
from campaign.engines.trf import Trf
from campaign.problem.reference import nist
from campaign.problem.reference.catalogue import NistOptions
from campaign.problem.reference.nist_data import NIST_NAMES, read_nist
from campaign.problem.target import Target
from programs import compiled, whole_run

pytestmark = pytest.mark.long

jax.config.update("jax_enable_x64", True)
ENGINE = Trf()

# Lanczos1: certified residual sum of squares 1.4e-25 of data given to 14 digits; float64 residuals have no digit of it,
# so neither it nor the standard deviations that follow from it can be reproduced.
PARAMETERS_ONLY = {"Lanczos1"}


def digits(value, certified) -> float:
    """Smallest number of agreeing digits, −log₁₀ of the relative error; at most 11, as many as are certified."""
    error = np.max(np.abs(np.asarray(value) - certified) / np.abs(certified))
    return float(min(11.0, -np.log10(max(error, 1e-16))))


@compiled
def run(goal):
    state, steps = whole_run(ENGINE, goal)
    return ENGINE.finish(goal, state), ENGINE.outcome(state), steps


@pytest.mark.parametrize("start", [1, 2])
@pytest.mark.parametrize("name", NIST_NAMES)
def test_certified_values(name, start, record_property):
    problem = nist.build(NistOptions(dataset=name, start_point=start))
    data = read_nist(name)
    one = nist.build(NistOptions(dataset=name))  # both starts are fits of one program
    result, outcome, steps = run(Target(one, jnp.asarray(problem.space.initial), jnp.asarray(problem.space.typical)))
    found = {
        "parameters": digits(result.theta, data.certified),
        "standard errors": digits(result.stderr, data.certified_sd),
        "residuals": digits(2 * result.loss, data.certified_rss),
    }
    line = f"{name:9} start {start}: {int(steps):3} steps, digits: " + ", ".join(
        f"{k} {v:4.1f}" for k, v in found.items()
    )
    print(line)
    record_property("digits", line)
    assert int(outcome) == Outcome.CONVERGED
    wanted = ("parameters",) if name in PARAMETERS_ONLY else tuple(found)
    assert {k: v for k, v in found.items() if k in wanted and v < 6.0} == {}, line


@pytest.mark.parametrize("name", NIST_NAMES)
def test_the_certified_parameters_give_the_certified_residuals(name):
    """The model and the data, without an engine."""
    problem = nist.build(NistOptions(dataset=name))
    data = read_nist(name)
    residuals = np.asarray(problem.residuals(jnp.asarray(data.certified)))
    if name == "Lanczos1":  # certified 1.43e-25: certified parameters of 11 digits leave about 1e-20
        assert residuals @ residuals < 1e-18
    else:
        np.testing.assert_allclose(residuals @ residuals, data.certified_rss, rtol=2e-9)
