"""What a fit says of the transport coefficient and the shear rate at each time, with errors.

D0, α and D_offset may each be known badly while their sum D0 t^α + D_offset is known well: it is what one compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from campaign.science import Fit, InvalidValue, Problem
from campaign_xpcs.model.marginal import MarginalProblem
from campaign_xpcs.model.two_time import TwoTimeProblem


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A rate at the times of the frames.

    Attributes:
        times_s, value, stderr: (N,); covariance: (N, N), of the same errors.
    """

    times_s: Float[np.ndarray, " N"]
    value: Float[np.ndarray, " N"]
    stderr: Float[np.ndarray, " N"]
    covariance: Float[np.ndarray, "N N"]


def free_of(problem: Problem, found: Fit) -> Iterator[int]:
    """Positions of the parameters that a fit moved, in the order of its covariance."""
    return (i for i, name in enumerate(problem.space.names) if name in found.stderr)


def theta_of(problem: Problem, found: Fit) -> Float[np.ndarray, " d"]:
    """The whole theta of a fit."""
    return np.array([found.theta[name] for name in problem.space.names])


def rate_bands(problem: TwoTimeProblem | MarginalProblem, found: Fit) -> dict[str, Band]:
    """J(t) as ``D`` [Å²/s] and the shear rate as ``gamma_dot`` [1/s], by C_rate = G C Gᵀ with G = ∂rate/∂theta.

    Parameters that have no error (null directions, at a bound) count as known.

    Raises:
        InvalidValue: the fit has no covariance.

    Checked: tests/oracle/test_xpcs_golden.py, tests/unit/xpcs/test_xpcs_rates.py against central differences.
    """
    if "covariance" not in found.arrays:
        raise InvalidValue("the fit has no covariance", hint="an engine of least squares gives one")
    own = problem.inner if isinstance(problem, MarginalProblem) else problem
    theta = jnp.asarray(theta_of(problem, found))

    def rates(values):
        return own.rates(problem.whole(values) if isinstance(problem, MarginalProblem) else values)

    values, slopes = jax.jit(lambda t: (rates(t), jax.jacfwd(rates)(t)))(theta)
    free = np.array(list(free_of(problem, found)), int)
    covariance = np.nan_to_num(np.asarray(found.arrays["covariance"]), nan=0.0)
    times = np.asarray(own.times)
    bands = {}
    for name, value in values.items():
        slope = np.asarray(slopes[name])[:, free]
        spread = slope @ covariance @ slope.T
        error = np.sqrt(np.maximum(np.diag(spread), 0.0))
        bands[name] = Band(times_s=times, value=np.asarray(value), stderr=error, covariance=spread)
    return bands
